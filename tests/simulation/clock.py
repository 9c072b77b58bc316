"""The virtual clock: a queue of timers, put in place of `time`, `datetime` and the databases' clocks.

`sleep` moves the clock and runs what falls due meanwhile, in order and in the one thread of the simulation. So replicas
take turns, a lease is renewed or runs out, and the same seed gives the same run.
"""

import datetime as dt
import heapq
import itertools
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

import sqlalchemy as sa

DAY_SECONDS = 86_400.0
_EPOCH = 2_440_587.5
"""Julian day of UNIX time 0."""

PACKAGES = ("workloads.lifecycle.", "tests.simulation.")
POSTGRES_CLOCK = """
CREATE FUNCTION {schema}.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
AS $$ SELECT to_timestamp(current_setting('simulation.now')::double precision) $$
"""
"""Replaces the server's clock for sessions whose search path names the schema before `pg_catalog`."""


class Clock:
    """Virtual UNIX time, and what happens when."""

    def __init__(self, start: float) -> None:
        """`start`: UNIX time in seconds."""
        self.start = self.now = start
        self._timers: list[tuple[float, int, Callable[[], object]]] = []
        self._count = itertools.count()

    @property
    def day(self) -> float:
        """Days since the start."""
        return (self.now - self.start) / DAY_SECONDS

    def at(self, moment: float, action: Callable[[], object]) -> None:
        """Call `action` once at a UNIX time; one that has passed means now."""
        heapq.heappush(self._timers, (max(moment, self.now), next(self._count), action))

    def every(self, seconds: float, action: Callable[[], object], active: Callable[[], bool]) -> None:
        """Call `action` again and again, for as long as `active()`."""

        def again() -> None:
            if active():
                self.at(self.now + seconds, again)
                action()

        self.at(self.now + seconds, again)

    def advance(self, seconds: float) -> None:
        """Let time pass; timers that fall due may let time pass too."""
        until = self.now + seconds
        while self._timers and self._timers[0][0] <= until:
            moment, _, action = heapq.heappop(self._timers)
            self.now = max(self.now, moment)
            action()
        self.now = max(self.now, until)


class VirtualLoop:
    """Stands in for `base.loops.Loop`: its step is a timer of the virtual clock instead of a thread."""

    def __init__(self, clock: Clock, stalled: Callable[[], bool], step: Callable[[], object], pause: float) -> None:
        """`stalled`: whether the process of the loop is suspended, and the step is left out."""
        self._clock = clock
        self._stalled = stalled
        self._step = step
        self._pause = pause
        self._running = False

    def start(self) -> None:
        """Begin to repeat the step."""
        self._running = True
        self._clock.every(self._pause, self._beat, lambda: self._running)

    def stop(self, _timeout_seconds: float | None = 0.0) -> None:
        """End it."""
        self._running = False

    def _beat(self) -> None:
        if not self._stalled():
            self._step()


class _AlsoReal(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, dt.datetime)


def _virtual_time(clock: Clock) -> Any:
    """The functions of `time` that the platform calls."""
    return SimpleNamespace(
        time=lambda: clock.now,
        monotonic=lambda: clock.now,
        time_ns=lambda: int(clock.now * 1e9),
        sleep=clock.advance,
        perf_counter=time.perf_counter,
    )


def _virtual_datetime(clock: Clock) -> Any:
    """`datetime` whose `now` is the virtual one."""

    class Datetime(dt.datetime, metaclass=_AlsoReal):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> dt.datetime:  # type: ignore[override]
            return dt.datetime.fromtimestamp(clock.now, tz)

    return Datetime


def _modules() -> Iterator[ModuleType]:
    """What was imported of the platform and of the simulator."""
    for name, module in list(sys.modules.items()):
        if name.startswith(PACKAGES) and name != __name__:
            yield module


@contextmanager
def installed(clock: Clock) -> Iterator[None]:
    """Put the clock in place of every clock that the platform's modules, which are imported already, read."""

    def connected(connection: Any, _record: object) -> None:
        if hasattr(connection, "create_function"):  # SQLite: the function that `database.clock` calls there
            connection.create_function("julianday", 1, lambda _text: clock.now / DAY_SECONDS + _EPOCH)

    def begun(connection: sa.Connection) -> None:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SET LOCAL simulation.now = '{clock.now!r}'")

    replaced = {"time": (time, _virtual_time(clock)), "datetime": (dt.datetime, _virtual_datetime(clock))}
    with ExitStack() as stack:
        for module in _modules():
            for attribute, (real, virtual) in replaced.items():
                if getattr(module, attribute, None) is real:
                    stack.enter_context(mock.patch.object(module, attribute, virtual))
        for event, listener in (("connect", connected), ("begin", begun)):
            sa.event.listen(sa.Engine, event, listener)
            stack.callback(sa.event.remove, sa.Engine, event, listener)
        yield
