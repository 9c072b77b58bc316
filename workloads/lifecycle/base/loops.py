"""Long-lived loops: each repeats one step in a thread of its own, survives the step's errors, and reports its state.

    loop = loops.add(Loop("champion", champion.look, pause_seconds=1.0, stuck_seconds=60.0))
    loop.start()

A step that raises is counted, logged once per reason, and repeated after a growing pause with jitter: an unreachable
dependency never ends a loop. A loop is broken only when its thread has died or one step exceeds `stuck_seconds`;
liveness checks ask `Loops.broken`. Leaves out one-off background tasks.
"""

import logging
import random
import threading
import time
from collections.abc import Callable

from prometheus_client import Counter, Gauge

from workloads.lifecycle.base import metrics
from workloads.lifecycle.base.errors import WorkloadError
from workloads.lifecycle.base.exposition import COUNTED

FIRST_BACKOFF_SECONDS = 1.0
LONGEST_BACKOFF_SECONDS = 15.0
"""Pause after the first failure, doubled after each further one up to the longest; a random half of it is left out."""

_log = logging.getLogger(__name__)
_LABELS = [metrics.LABEL_LOOP]
_failures = Counter(metrics.LOOP_FAILURES.removesuffix("_total"), "Failed steps of a loop", _LABELS, registry=COUNTED)
_in_a_row = Gauge(metrics.LOOP_FAILURES_IN_A_ROW, "Failed steps since the last success", _LABELS, registry=COUNTED)
_succeeded = Gauge(metrics.LOOP_LAST_SUCCESS, "When a step last succeeded", _LABELS, registry=COUNTED)
_broken = Gauge(metrics.LOOP_BROKEN, "1 while a loop is dead or stuck", _LABELS, registry=COUNTED)
COLLECTORS = (_failures, _in_a_row, _succeeded, _broken)
"""The metrics, for processes whose registry is not the default one."""


class Loop:
    """One step, repeated until `stop`."""

    def __init__(
        self,
        name: str,
        step: Callable[[], object],
        *,
        pause_seconds: float,
        stuck_seconds: float | None,
        until_success: bool = False,
        step_on_stop: bool = False,
    ) -> None:
        """`name`: value of the metrics' label `loop`.

        `pause_seconds`: time between a successful step and the next one. `stuck_seconds`: duration of one step beyond
        which the loop counts as stuck; None: the step limits itself. `until_success`: end with the first success.
        `step_on_stop`: run the step once more after `stop`.
        """
        self.name = name
        self._step = step
        self._pause = pause_seconds
        self._stuck = stuck_seconds
        self._until_success = until_success
        self._step_on_stop = step_on_stop
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._begun: float | None = None
        self._finished = False
        self._reason = ""
        self.failures = 0
        """Failures since the last success."""
        _failures.labels(name)
        _in_a_row.labels(name).set(0)
        _broken.labels(name).set_function(lambda: float(self.trouble() is not None))

    def start(self) -> None:
        """Start the thread; a process that ends does not wait for it."""
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Cut the pause after a success short; a backoff after a failure is kept."""
        self._wake.set()

    def stop(self, timeout_seconds: float | None = 0.0) -> None:
        """Tell the loop to end after its current step, and wait at most `timeout_seconds` for that; None: no limit."""
        self._stopping.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout=timeout_seconds)

    def trouble(self) -> str | None:
        """Why the loop is broken; None while it works, backs off, or has ended as it should."""
        if self._thread is None or self._finished:
            return None
        if not self._thread.is_alive():
            return f"the loop {self.name} has died; see the log"
        begun = self._begun
        seconds = 0.0 if begun is None else time.monotonic() - begun
        if self._stuck is not None and seconds > self._stuck:
            return f"the loop {self.name} is stuck: one step has run for {seconds:.0f} s (limit {self._stuck:.0f} s)"
        return None

    def _run(self) -> None:
        while not self._stopping.is_set():
            if not self._succeeds():
                self._stopping.wait(self._backoff())
            elif self._until_success:
                self._finished = True
                return
            else:
                self._wake.wait(self._pause)
                self._wake.clear()
        if self._step_on_stop:
            self._succeeds()
        self._finished = True

    def _succeeds(self) -> bool:
        self._begun = time.monotonic()
        try:
            self._step()
        except Exception as error:  # noqa: BLE001  a loop outlives every error of its step
            self._note_failure(error)
            return False
        finally:
            self._begun = None
        self._note_success()
        return True

    def _note_failure(self, error: Exception) -> None:
        self.failures += 1
        _failures.labels(self.name).inc()
        _in_a_row.labels(self.name).set(self.failures)
        reason = f"{type(error).__name__}: {error}"
        if reason != self._reason:
            self._reason = reason
            trace = None if isinstance(error, WorkloadError) else error
            _log.warning("the loop %s failed and will try again: %s", self.name, reason, exc_info=trace)

    def _note_success(self) -> None:
        if self.failures:
            _log.info("the loop %s succeeds again after %s failures", self.name, self.failures)
        self.failures, self._reason = 0, ""
        _in_a_row.labels(self.name).set(0)
        _succeeded.labels(self.name).set_to_current_time()

    def _backoff(self) -> float:
        longest = min(LONGEST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2.0 ** min(self.failures - 1, 10))
        return longest * random.uniform(0.5, 1)  # noqa: S311  jitter is no secret


class Loops:
    """The loops of one process, for its liveness check."""

    def __init__(self) -> None:
        self._loops: list[Loop] = []

    def add(self, loop: Loop) -> Loop:
        """Watch a loop, started or not; returns it."""
        self._loops.append(loop)
        return loop

    def broken(self) -> list[str]:
        """One sentence per dead or stuck loop; empty while all work."""
        return [trouble for loop in self._loops if (trouble := loop.trouble()) is not None]
