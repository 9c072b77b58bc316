"""The long watch after a promotion: outcomes that come weeks later can still take the release back.

The champion and the version before it are compared on the same captured requests, those that the champion answered and
whose outcome was due and is known: drift weakens both, so that it takes nothing back. Bounds are as wide as for many
looks (`comparison.Z`). Nothing happens while a retrain, a challenge or a watch window runs.
"""

import logging
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workloads.lifecycle.base.environment import Environment
from workloads.lifecycle.base.errors import DataError
from workloads.lifecycle.base.mlflow_api import mlflow_client
from workloads.lifecycle.monitoring import outcomes
from workloads.lifecycle.quality.bounds import ranking_estimate, units_of
from workloads.lifecycle.quality.measures import RANKING_TITLES
from workloads.lifecycle.registry.audit import Journal
from workloads.lifecycle.registry.audit_entry import Action
from workloads.lifecycle.retraining.champion import ChampionAlias, registry_outages_named
from workloads.lifecycle.retraining.comparison import Z
from workloads.lifecycle.retraining.ledger import Ledger
from workloads.lifecycle.training import reference

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt
    import pandas as pd

LOOK_SECONDS = 3600.0
"""Time between two looks."""

_FEWEST = 2
_log = logging.getLogger(__name__)


class LateWatch:
    """Looks at the champion's outcomes for as long as `retraining.late_watch_days` says."""

    def __init__(
        self,
        environment: Environment,
        ledger: Ledger,
        alias: ChampionAlias,
        score: "Callable[[Environment, str, pd.DataFrame], npt.NDArray[Any]] | None" = None,
    ) -> None:
        """`score`: what a version answers to captured rows."""
        self._environment = environment
        self._ledger = ledger
        self._alias = alias
        self._score = score or scored
        self._journal = Journal(environment)

    def look(self) -> str | None:
        """Go back when outcomes show that the version before was better; returns why. Raises WorkloadError."""
        days = self._environment.settings.retraining.late_watch_days
        if not days or self._ledger.running() is not None:
            return None
        try:
            champion = reference.champion(self._environment)
        except DataError:
            return None
        lasting = timedelta(days=days) + outcomes.LATE * self._environment.definition.outcome.delay
        age = timedelta(seconds=time.time() - champion.registered_at)
        if not self._environment.definition.outcome.delay <= age <= lasting:  # younger: no request of its own is due
            return None
        before = self._alias.target(champion.version)
        if before is None:
            return None
        reason = self._worse(champion.version, before, age)
        if reason is not None:
            _log.warning("%s", reason)
            self._alias.go_back(expected=champion.version)
            self._journal.record(Action.ROLLBACK, f"version {champion.version}", "late outcomes", reason)
        return reason

    def _worse(self, version: str, before: str, age: timedelta) -> str | None:
        workload = self._environment.definition
        rows = outcomes.labelled(self._environment, outcomes.captured(self._environment, age))
        due = datetime.now(UTC) - workload.outcome.delay
        rows = rows[(rows["version"] == version) & (rows["captured_at"] <= due)].reset_index(drop=True)
        label = workload.outcome.label
        least = self._environment.settings.monitoring.min_labelled_rows
        if len(rows) < least or rows[label].nunique() < _FEWEST:
            return None
        labels, units = (
            rows[label].to_numpy(dtype=float),
            units_of(*(rows[key].astype(str).to_numpy() for key in workload.keys)),
        )
        theirs = ranking_estimate(workload.problem, labels, self._score(self._environment, before, rows), units)
        mine = ranking_estimate(workload.problem, labels, rows["score"].to_numpy(), units)
        loss = theirs.minus(mine, paired=True)
        reach = Z * loss.standard_error
        if loss.value - reach <= 0:
            return None
        return (
            f"version {version} goes back to {before}: on {len(rows)} requests whose outcomes are known now, it ranks "
            f"with {RANKING_TITLES[workload.problem]} {mine.value:.3f}, version {before} with {theirs.value:.3f}; the "
            f"difference is {loss.value - reach:.3f} to {loss.value + reach:.3f}"
        )


def scored(environment: Environment, version: str, rows: "pd.DataFrame") -> "npt.NDArray[Any]":
    """What a version answers to captured rows; raises BundleError when it must not be served."""
    from workloads.lifecycle.training.bundle import Scorer  # noqa: PLC0415

    with registry_outages_named(), tempfile.TemporaryDirectory(dir=environment.work) as scratch:
        from workloads.lifecycle.registry.versions import download_bundle  # noqa: PLC0415

        client = mlflow_client(environment)
        run_id = str(client.get_model_version(environment.definition.model_name, version).run_id)
        folder, checksum = download_bundle(client, run_id, Path(scratch))
        scorer = Scorer.load(folder, checksum, environment.definition)
        return scorer.score(scorer.inputs(rows)).astype(float)
