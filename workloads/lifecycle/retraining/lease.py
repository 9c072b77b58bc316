"""Renews the lease of one row of the ledger for as long as its owner works on it."""

import logging
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from workloads.lifecycle.base.errors import WorkloadError
from workloads.lifecycle.base.loops import Loop
from workloads.lifecycle.retraining.database import LeaseLostError

BEAT_SECONDS = 5.0
"""Seconds between two renewals; several fit into one lease."""

_log = logging.getLogger(__name__)


class Lease:
    """A context in which a loop renews a row's lease; `lost` is true once another owner has the row.

    A database outage loses nothing: another replica needs the same database to take the row over, and the first
    renewal after the outage finds out. What must not happen twice asks `check` right before it.
    """

    def __init__(self, what: str, renew: Callable[[], bool]) -> None:
        """`renew` prolongs the lease and returns whether the row is still the owner's; raises WorkloadError."""
        self._what = what
        self._renew = renew
        self._lost = threading.Event()
        self._loop = Loop("lease", self._beat, pause_seconds=BEAT_SECONDS, stuck_seconds=None)

    def __enter__(self) -> Self:
        self._loop.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._loop.stop(None)

    @property
    def lost(self) -> bool:
        """Whether another owner is known to have the row."""
        return self._lost.is_set()

    def check(self) -> None:
        """Prolong the lease now; raises LeaseLostError when another owner has the row, WorkloadError in an outage."""
        if self.lost or not self._renew():
            self._lost.set()
            raise LeaseLostError(f"{self._what}: another owner has taken it over")

    def _beat(self) -> None:
        if self.lost:
            return
        try:
            self.check()
        except LeaseLostError as error:
            _log.warning("%s", error)
        except WorkloadError as error:  # the next beat tries again, without the growing pause of a failed loop
            _log.warning("%s: the lease could not be renewed: %s", self._what, error)
