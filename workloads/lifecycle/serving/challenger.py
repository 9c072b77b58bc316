"""A challenger beside the champion: whom it answers (canary), or what it scores unseen (shadow), and what is counted.

Who is answered by which version depends on the key and the version alone, so that every replica and every request
agree. A challenge ends for this process at its time limit, whether or not the registry says so. What a challenger fails
to score, the champion answers. Leaves out the decision: the retraining service makes it by the tallies.
"""

import hashlib
import json
import logging
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from prometheus_client import Counter, Gauge

from workloads.lifecycle.base import metrics
from workloads.lifecycle.base.errors import WorkloadError
from workloads.lifecycle.base.exposition import COUNTED
from workloads.lifecycle.base.loops import Loop
from workloads.lifecycle.base.names import SMOKE, TALLIES
from workloads.lifecycle.base.store import Store
from workloads.lifecycle.base.takeover_settings import TakeoverSettings
from workloads.lifecycle.registry.challenge import Challenge
from workloads.lifecycle.schema import Key
from workloads.lifecycle.serving.capture import Capture, Scored
from workloads.lifecycle.serving.tally import Arm, Tally
from workloads.lifecycle.workload import Workload

if TYPE_CHECKING:
    import numpy.typing as npt

    from workloads.lifecycle.serving.source import Loaded

WRITE_SECONDS = 5.0
"""Time between two writes of a replica's tally."""

GRACE_SECONDS = 120.0
"""Time after its limit at which a challenge ends for a server that was not told: the decision takes its part of it."""

_PAUSE_SECONDS = 0.05
_STUCK_SECONDS = 600.0
_STOP_SECONDS = 5.0
_DIGEST_BYTES = 8
_log = logging.getLogger(__name__)
_rows = Counter(
    metrics.CHALLENGER_ROWS.removesuffix("_total"),
    "Rows of a challenger",
    [metrics.LABEL_OUTCOME],
    registry=COUNTED,
)
for _outcome in metrics.CHALLENGER_OUTCOMES:
    _rows.labels(_outcome)
_until = Gauge(metrics.CHALLENGER_UNTIL, "When the announced challenge must be over", registry=COUNTED)

Numbers = Callable[["Loaded", "npt.NDArray[Any]"], "npt.NDArray[Any]"]
"""What a model takes of a request's vectors."""


def note_announced(challenge: Challenge | None) -> None:
    """Show until when the registry's challenge lasts; 0 without one."""
    _until.set(challenge.until if challenge is not None else 0.0)


def digest(version: str, key: Key) -> int:
    """64 bits that only the key and the challenger's version decide: a different tenth of the entities each time."""
    text = json.dumps([version, *key]).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=_DIGEST_BYTES).digest(), "big")


def is_answered(found: int, share: float) -> bool:
    """Whether a challenger answers an entity with this digest."""
    return bool(found < share * 2 ** (8 * _DIGEST_BYTES))


@dataclass
class Duel:
    """A champion and its challenger on this replica, with what is counted of both."""

    challenge: Challenge
    champion: "Loaded"
    challenger: "Loaded"
    settings: TakeoverSettings
    workload: Workload
    ends: float
    """When it ends here, by the monotonic clock, if `until` has not passed before."""
    number: int = 0
    """Of this process; each duel has a tally of its own."""
    arms: dict[str, Arm] = field(default_factory=lambda: {"champion": Arm(), "challenger": Arm()})

    @property
    def is_canary(self) -> bool:
        """Whether the challenger answers."""
        return self.settings.mode == "canary"

    def is_over(self) -> bool:
        """Whether the time limit has passed."""
        return time.time() > self.challenge.until or time.monotonic() > self.ends

    def divided(self, keys: Sequence[Key]) -> tuple[list[int], list[int], list[int]]:
        """Places of the rows that the challenger answers, of the others, and the mark of each row."""
        marks = [digest(self.challenger.version, key) for key in keys]
        mine = [place for place, mark in enumerate(marks) if is_answered(mark, self.settings.share)]
        others = [place for place, mark in enumerate(marks) if not is_answered(mark, self.settings.share)]
        return mine, others, marks

    def given(self, numbers: Numbers, vectors: "npt.NDArray[Any]", rows: int) -> "npt.NDArray[Any] | None":
        """What the challenger's model takes of vectors; None when it takes none such, which counts as a failure."""
        try:
            return numbers(self.challenger, vectors)
        except Exception as error:  # noqa: BLE001  whatever a broken model raises, the champion answers
            self._failed(rows, error)
            return None

    def score(self, numbers: "npt.NDArray[Any]", marks: Sequence[int]) -> "npt.NDArray[Any] | None":
        """The challenger's answers, counted; None when it fails, which is counted and logged."""
        begun = time.perf_counter()
        try:
            scores = self.challenger.scorer.score(numbers)
            whole = len(scores) == len(marks) and bool(np.isfinite(scores).all())
        except Exception as error:  # noqa: BLE001  as above
            self._failed(len(marks), error)
            return None
        if not whole:
            self._failed(len(marks), ValueError("an answer is missing or not finite"))
            return None
        self.count("challenger", marks, scores, time.perf_counter() - begun)
        return scores

    def _failed(self, rows: int, error: Exception) -> None:
        arm = self.arms["challenger"]
        arm.fail()
        _rows.labels("failed").inc(rows)
        if arm.failed == 1:
            _log.warning("version %s failed to score: %s: %s", self.challenger.version, type(error).__name__, error)

    def count(self, arm: str, marks: Sequence[int], scores: "npt.NDArray[Any]", seconds: float) -> None:
        """Count one version's answers."""
        self.arms[arm].add(self.workload.outcome, marks, scores.tolist(), seconds)

    def tally(self) -> Tally:
        """What this replica has counted."""
        return Tally(
            versions={"champion": self.champion.version, "challenger": self.challenger.version},
            arms={name: arm.counted() for name, arm in self.arms.items()},
        )


class Challengers:
    """The duel of a process, its shadow's queue, and the threads that score it and write tallies."""

    def __init__(
        self,
        workload: Workload,
        settings: TakeoverSettings,
        store: Store | None,
        capture: Capture | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`store`: None writes no tallies. `capture`: of what a shadow scores."""
        self._workload = workload
        self._settings = settings
        self._store = store
        self._capture = capture
        self._clock = clock
        self._name = f"{socket.gethostname()}-{os.getpid()}-{time.time_ns()}"
        self._first_seen: dict[str, float] = {}
        self._queue: deque[tuple[Duel, Scored, float, Numbers]] = deque()
        self._added = 0  # written by the event loop only
        self._removed = 0  # written by the shadow's thread only
        self._written: tuple[int, int] = (0, 0)
        self._duels = 0
        self.duel: Duel | None = None
        """What runs now."""
        self.loops = [
            Loop("shadow", self.shadow, pause_seconds=_PAUSE_SECONDS, stuck_seconds=_STUCK_SECONDS),
            Loop("tally", self.write, pause_seconds=WRITE_SECONDS, stuck_seconds=_STUCK_SECONDS, step_on_stop=True),
        ]
        """Of the process, not started."""

    @property
    def mode(self) -> str:
        """As the settings say."""
        return self._settings.mode

    def admits(self, challenge: Challenge) -> bool:
        """Whether a challenge may run here now: before its limit, and no longer than its time since it was seen."""
        if self._settings.mode == "direct" or time.time() > challenge.until:
            return False
        return self._clock() <= self._ends(challenge)

    def _ends(self, challenge: Challenge) -> float:
        first = self._first_seen.setdefault(challenge.id, self._clock())
        return first + self._settings.seconds + GRACE_SECONDS

    def set(self, challenge: Challenge | None, champion: "Loaded | None", challenger: "Loaded | None") -> None:
        """Begin, go on with, or end a duel."""
        new, old = None, self.duel
        if challenge is not None and champion is not None and challenger is not None:
            ends = self._ends(challenge)
            made = Duel(challenge, champion, challenger, self._settings, self._workload, ends, self._duels + 1)
            # A champion that cannot be verified leaves another one serving: that one was challenged by nobody.
            new = made if (champion.version, challenger.version) == (challenge.champion, challenge.version) else None
        if old is not None and new is not None and _same(old, new):
            return
        if old is not None:
            self.duel = None
            try:
                self._write(old)
            except WorkloadError as error:  # the next duel must begin all the same
                _log.warning("what was counted last of %s is lost: %s", old.challenge, error)
        self._duels += 1
        self.duel = new

    def begun(self) -> Duel | None:
        """The duel, unless its time is over."""
        duel = self.duel
        if duel is None or duel.is_over():
            return None
        return duel

    def add(self, duel: Duel, scored: Scored, seconds: float, numbers: Numbers) -> None:
        """Queue what the champion answered for its shadow, or count it as dropped; from the event loop only."""
        rows = len(scored.scores)
        if scored.request_id.startswith(SMOKE):
            return
        if self._added - self._removed + rows > self._settings.shadow_queue_rows:
            _rows.labels("dropped").inc(rows)
            return
        self._added += rows
        self._queue.append((duel, scored, seconds, numbers))
        self.loops[0].wake()

    def shadow(self) -> None:
        """Score what is queued, off the way of answers."""
        while self._queue:
            duel, scored, seconds, numbers = self._queue.popleft()
            try:
                if duel is self.duel and not duel.is_over():
                    self._score(duel, scored, seconds, numbers)
            finally:
                self._removed += len(scored.scores)

    def _score(self, duel: Duel, scored: Scored, seconds: float, numbers: Numbers) -> None:
        marks = [digest(duel.challenger.version, key) for key in scored.keys] or _marks_of(scored.vectors)
        duel.count("champion", marks, scored.scores, seconds)
        taken = duel.given(numbers, scored.vectors, len(marks))
        scores = None if taken is None else duel.score(taken, marks)
        if scores is None:
            return
        _rows.labels("shadowed").inc(len(marks))
        if self._capture is not None:
            self._capture.add(scored._replace(alias="challenger", version=duel.challenger.version, scores=scores))

    def write(self) -> None:
        """Write the tally, if anything was counted since the last time; raises WorkloadError."""
        if (duel := self.duel) is not None:
            self._write(duel)

    def _write(self, duel: Duel) -> None:
        counted = duel.number, sum(arm.calls for arm in duel.arms.values())
        if self._store is None or not counted[1] or counted == self._written:
            return
        path = f"{TALLIES}/{duel.challenge.id}/{self._name}-{duel.number}.json"
        self._store.write(path, duel.tally().content())
        self._written = counted

    def start(self) -> None:
        """Start the threads."""
        if self._capture is not None:
            self._capture.start()
            self.loops.append(self._capture.loop)
        for loop in self.loops[:2]:
            loop.start()

    def stop(self) -> None:
        """Write what was counted, and end."""
        for loop in self.loops[:2]:
            loop.stop(_STOP_SECONDS)
        if self._capture is not None:
            self._capture.stop()


def answered(rows: int) -> None:
    """Count rows that a canary answered."""
    _rows.labels("answered").inc(rows)


def _same(old: Duel, new: Duel) -> bool:
    return (old.challenge.id, old.champion.version, old.challenger.version) == (
        new.challenge.id,
        new.champion.version,
        new.challenger.version,
    )


def _marks_of(vectors: "npt.NDArray[Any]") -> list[int]:
    """A mark for each vector of a request that named no entity."""
    rows = (repr(row.tolist()).encode() for row in vectors)
    return [int.from_bytes(hashlib.blake2b(row, digest_size=_DIGEST_BYTES).digest(), "big") for row in rows]
