"""The virtual clock: a queue of timers, put in place of `time`, `datetime` and the databases' clocks.

`sleep` moves the clock and runs what falls due meanwhile, in order and in the one thread of the simulation. So replicas
take turns, a lease is renewed or runs out, and the same seed gives the same run.
"""

import datetime as real_datetime
import heapq
import itertools
import sys
import time as real_time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

DAY_SECONDS = 86_400.0
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


@contextmanager
def installed(clock: Clock) -> Iterator[None]:
    """Put the clock in place of every clock that the platform's modules, which are imported already, read."""

    class Time:
        """The functions of `time` that the platform calls."""

        time = staticmethod(lambda: clock.now)
        monotonic = staticmethod(lambda: clock.now)
        time_ns = staticmethod(lambda: int(clock.now * 1e9))
        sleep = staticmethod(clock.advance)
        perf_counter = staticmethod(real_time.perf_counter)

    class _AlsoReal(type):
        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, real_datetime.datetime)

    class Datetime(real_datetime.datetime, metaclass=_AlsoReal):
        """`datetime` whose `now` is the virtual one."""

        @classmethod
        def now(cls, tz: real_datetime.tzinfo | None = None) -> real_datetime.datetime:  # type: ignore[override]
            return real_datetime.datetime.fromtimestamp(clock.now, tz)

    def connected(connection: Any, _record: object) -> None:
        if hasattr(connection, "create_function"):  # SQLite: the function that `database.clock` calls there
            connection.create_function("julianday", 1, lambda _text: clock.now / DAY_SECONDS + 2440587.5)

    def begun(connection: sa.Connection) -> None:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SET LOCAL simulation.now = '{clock.now!r}'")

    replaced = []
    for name, module in list(sys.modules.items()):
        if not name.startswith(PACKAGES) or name == __name__:
            continue
        for attribute, real, virtual in (("time", real_time, Time), ("datetime", real_datetime.datetime, Datetime)):
            if getattr(module, attribute, None) is real:
                setattr(module, attribute, virtual)
                replaced.append((module, attribute, real))
    sa.event.listen(sa.Engine, "connect", connected)
    sa.event.listen(sa.Engine, "begin", begun)
    try:
        yield
    finally:
        sa.event.remove(sa.Engine, "connect", connected)
        sa.event.remove(sa.Engine, "begin", begun)
        for module, attribute, real in replaced:
            setattr(module, attribute, real)
