"""Replays the histories of entities: all begin together, each ends at its own row, and its outcomes are known then."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from workloads.lifecycle.ingestion.observation import EVENT_TIMESTAMP
from workloads.lifecycle.workload import Workload

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

UNFINISHED_SHARE = 0.2
"""Entities that the drill does not see to their end, so that their outcomes stay unknown."""


@dataclass(frozen=True)
class Replay:
    """Rows in the order in which they are sent."""

    rows: "pd.DataFrame"

    known_after: "np.ndarray[tuple[int], np.dtype[np.int64]]"
    """Of each row, the place of the row after which its outcome is known; -1: it stays unknown."""

    says: str
    """What is replayed, for people."""

    def due(self, start: int, stop: int) -> "pd.DataFrame":
        """Rows whose outcome becomes known while the rows from `start` up to `stop` are sent."""
        return self.rows[(self.known_after >= start) & (self.known_after < stop)]


def replayed(known: "pd.DataFrame", workload: Workload, count: int, seed: int) -> Replay:
    """At most `count` rows with a known outcome, as a replay.

    Without an event time, or of a model whose rows were kept without it, a sample whose outcomes are known at the end.
    """
    if workload.time is None or EVENT_TIMESTAMP not in known:
        return _sample(known, count, seed)
    return _histories(known, workload, count, seed)


def _sample(known: "pd.DataFrame", count: int, seed: int) -> Replay:
    import numpy as np  # noqa: PLC0415

    rows = known.sample(min(count, len(known)), random_state=seed).reset_index(drop=True)
    return Replay(rows, np.full(len(rows), len(rows) - 1), f"{len(rows)} rows")


def _histories(known: "pd.DataFrame", workload: Workload, count: int, seed: int) -> Replay:
    import numpy as np  # noqa: PLC0415

    keys = list(workload.keys)
    entity = known.groupby(keys, sort=True).ngroup()
    order = np.random.default_rng(seed).permutation(entity.nunique())
    lengths = entity.value_counts().reindex(order)
    chosen = order[: max(1, int((lengths.cumsum() <= count).sum()))]
    running = chosen[: int(len(chosen) * UNFINISHED_SHARE)]
    step = known.sort_values(EVENT_TIMESTAMP, kind="stable").groupby(keys).cumcount().reindex(known.index)
    left_out = entity.isin(running) & (step >= entity.map(lengths) / 2)
    rows = known.assign(_entity=entity, _step=step)[entity.isin(chosen) & ~left_out]
    rows = rows.sort_values(["_step", "_entity"], kind="stable").reset_index(drop=True)
    last = rows.groupby("_entity")["_step"].transform(lambda steps: steps.index[-1]).to_numpy(np.int64)
    ends = lengths.reindex(chosen[len(running) :])
    ended = f"{len(ends)} of which ended, after {ends.min()} to {ends.max()} rows"
    known_after = np.where(rows["_entity"].isin(running), -1, last)
    says = f"{len(rows)} rows of {len(chosen)} entities, {ended}"
    return Replay(rows.drop(columns=["_entity", "_step"]), known_after, says)
