"""The hops of the loop, how long each may take, and the timeline that a drill prints."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from workloads.lifecycle.base.errors import WorkloadError

ROLLBACK_SECONDS = 10.0
CAPTURED, COMPUTED, METRIC, FIRING = "captured", "drift computed", "metric", "alert firing"
WEBHOOK, PIPELINE, GATE, PROMOTED, SERVED = "webhook", "pipeline", "gate", "promoted", "served"
RESOLVED, BACK, DETECTED = "alert resolved", "rolled back", "detected"
LIMITS = {
    CAPTURED: 90.0,
    COMPUTED: 150.0,
    METRIC: 45.0,
    FIRING: 120.0,
    WEBHOOK: 60.0,
    PIPELINE: 300.0,
    GATE: 5.0,
    PROMOTED: 10.0,
    SERVED: 30.0,
    RESOLVED: 150.0,
    BACK: ROLLBACK_SECONDS,
    DETECTED: 90.0,
}
"""Seconds that each hop may take."""


class Wait(Protocol):
    """Returns once something is reached; raises HopBrokenError when the hop's time is over."""

    def __call__(self, reached: Callable[[], bool], pause: float = 0.0) -> None:
        """`pause`: seconds between two looks, when not the usual ones."""
        ...


class HopBrokenError(WorkloadError):
    """A hop did not follow in time; the text begins with its name."""


@dataclass
class Timeline:
    """What happened when, printed as it happens."""

    begun: float = field(default_factory=time.monotonic)
    hops: dict[str, float] = field(default_factory=dict)
    """Seconds since the start, by hop."""

    def say(self, hop: str, text: str) -> None:
        """Note the end of a hop."""
        at = time.monotonic() - self.begun
        self.hops[hop] = at
        print(f"{at:7.1f} s  {hop:<15} {text}", flush=True)
