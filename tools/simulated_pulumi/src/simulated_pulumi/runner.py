"""Run a program against the recorder: in a thread, a context and an event loop of its own, within a time limit.

Nothing of a run outlives it. A program that hangs in a C call cannot be stopped by Python; its thread is left behind
(it is a daemon and can register nothing any more), and the failure says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import ctypes
import gc
import inspect
import os
import sys
import threading
import traceback
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, cast

import pulumi
from pulumi.runtime import resource, run_in_stack, set_all_config, settings
from pulumi.runtime.proto import source_pb2
from pulumi.runtime.stack import Stack, wait_for_rpcs

from simulated_pulumi import checks
from simulated_pulumi.errors import CheckError, HungError
from simulated_pulumi.program import ModuleProgram
from simulated_pulumi.recorder import (
    STACK_TYPE,
    Engine,
    Monitor,
    Recording,
    RecordingRpcManager,
    is_program_file,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from simulated_pulumi.facts import Facts
    from simulated_pulumi.graph import Graph

_GRACE_SECONDS: Final = 1.0
"""How long a program may take to notice that it is being stopped."""

_COLLECT_AFTER: Final = 100_000
"""Allocations between two garbage collections during a run. The SDK makes dozens of short-lived objects per resource,
and Python's own 700 would spend half of a run on collections."""

_STRING_FLAG: Final = "PULUMI_ERROR_OUTPUT_STRING"
_STACK_TRACE: Final = "_get_stack_trace"
"""A private function of the SDK, which another version may lack."""


def run(program: Callable[[], Any], facts: Facts, *, preview: bool = False) -> Graph:
    """Run a program to its end and give its graph.

    Raises: what the program raised, with a note that says where; CheckError, HungError, UnknownInvokeError.
    """
    __tracebackhide__ = True
    if not callable(program):
        raise TypeError(f"pulumi_run takes a function without arguments, not {program!r}")
    if inspect.iscoroutinefunction(program) and not preview:
        return _run_twice(program, facts)
    recording = _Run(program, facts, preview=preview).result()
    problems = checks.violations(recording)
    if not preview and "resource_in_apply" not in facts.allowed and checks.needs_second_run(recording):
        problems += checks.differences(recording, _Run(program, facts, preview=True).result())
    _refuse(problems)
    return recording.graph()


def run_module(path: str | os.PathLike[str], facts: Facts, *, preview: bool = False) -> Graph:
    """Run a program that is a module, in its folder, with the project's name and configuration, and give its graph.

    Raises: FileNotFoundError; and what `run` raises.
    """
    __tracebackhide__ = True
    program = ModuleProgram.at(path, facts.stack)
    with program.surroundings():
        return run(program, program.facts(facts), preview=preview)


def _run_twice(program: Callable[[], Any], facts: Facts) -> Graph:
    """Run a coroutine as a preview, then for real: last, so that what it captured has values."""
    __tracebackhide__ = True
    problem: BaseException | None = None
    unknown = None
    if "resource_in_apply" not in facts.allowed:
        try:
            unknown = _Run(program, facts, preview=True).result()
        except HungError:
            raise
        except Exception as error:  # noqa: BLE001  (raised below, once it is known whether the update fails too)
            problem = error
    known = _Run(program, facts, preview=False).result()
    if problem is not None:
        problem.add_note("pytest-pulumi: only in a preview, where ids are unknown and awaited outputs give None")
        raise problem
    _refuse(checks.violations(known) + ([] if unknown is None else checks.differences(known, unknown)))
    return known.graph()


def _refuse(problems: list[str]) -> None:
    __tracebackhide__ = True
    if problems:
        advice = "Switch a check off for one test with @pytest.mark.pulumi_allow('name'), or in the ini file."
        raise CheckError("\n".join([f"{len(problems)} problem(s) in the program:", *problems, advice]))


class _InlineExecutor(ThreadPoolExecutor):
    """Runs the SDK's calls of the recorder at once, in the loop's thread; the program's own work gets real threads."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        if not getattr(fn, "__module__", "").startswith("pulumi."):
            return super().submit(fn, *args, **kwargs)
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001  (an executor hands every failure to the waiting caller)
            future.set_exception(error)
        return future


class _Run:
    """One run of a program."""

    def __init__(self, program: Callable[[], Any], facts: Facts, *, preview: bool) -> None:
        self._program = program
        self._facts = facts
        self._recording = Recording(facts, preview)
        self._manager = RecordingRpcManager(self._recording)
        self._failure: BaseException | None = None
        self._hung: str | None = None
        self._closing = False
        self._loop = asyncio.new_event_loop()
        self._done = threading.Event()
        self._thread = threading.Thread(
            target=contextvars.copy_context().run, args=(self._main,), name="pulumi-program", daemon=True
        )

    def result(self) -> Recording:
        """Wait for the end of the program and give what it recorded."""
        __tracebackhide__ = True
        with _environment(strict="output_in_string" not in self._facts.allowed):
            self._thread.start()
            try:
                ended = self._done.wait(self._facts.timeout_seconds)
            except BaseException:
                self._stop()
                raise
            if not ended:
                self._stop()
        contextvars.Context().run(_forget)
        if self._hung is not None:
            raise HungError(self._hung)
        if self._failure is not None:
            raise self._failure
        return self._recording

    def _main(self) -> None:
        asyncio.set_event_loop(self._loop)
        executor = _InlineExecutor(max_workers=4)
        self._loop.set_default_executor(executor)
        self._loop.set_exception_handler(lambda _loop, _context: None)  # failures are reported from the tasks
        try:
            self._configure()
            self._loop.run_until_complete(self._drained())
        except _GivenUpError:
            return
        except asyncio.CancelledError:
            return
        except BaseException as error:  # noqa: BLE001  (handed to the test's thread)
            note = _note(error)
            if note:
                error.add_note(f"pytest-pulumi: {note}")
            self._failure = error
        finally:
            executor.shutdown(wait=False)
            self._close()
            self._done.set()

    def _configure(self) -> None:
        facts = self._facts
        monitor = Monitor(self._recording)
        settings.reset_options(
            project=facts.project,
            stack=facts.stack,
            organization=facts.organization,
            preview=self._recording.preview,
            monitor_address=cast("Any", monitor),  # objects pass through, as in set_mocks
            engine_address=cast("Any", Engine(self._recording)),
        )
        settings.SETTINGS.rpc_manager = self._manager
        settings.SETTINGS.callbacks = monitor.transforms
        set_all_config(*facts.engine_config())

    async def _drained(self) -> None:
        try:
            await run_in_stack(self._called)
        except Exception as error:
            if "unawaited_failure" not in self._facts.allowed or self._failure is error:
                raise
            self._recording.failures.append(error)
            await self._drain_the_rest()

    async def _drain_the_rest(self) -> None:
        while True:
            self._manager.unhandled_exception = None
            try:
                await wait_for_rpcs()
            except Exception as error:  # noqa: BLE001  (the test allows failures in applies)
                self._recording.failures.append(error)
            else:
                return

    def _called(self) -> Any:
        try:
            result = self._program()
        except Exception as error:
            self._failure = error
            raise
        return result if inspect.isawaitable(result) else _settle()

    def _stop(self) -> None:
        """Find out what the program waits for, then end it."""
        self._recording.closed = True
        asked = threading.Event()
        with contextlib.suppress(RuntimeError):  # the loop has just been closed: the program ended after all
            self._loop.call_soon_threadsafe(self._cancel, asked)
        if not asked.wait(_GRACE_SECONDS) and not self._done.is_set():
            self._interrupt()
        self._done.wait(_GRACE_SECONDS)
        limit = f"the program did not end within {self._facts.timeout_seconds:g} s"
        left = "" if self._done.is_set() else "\n(its thread cannot be stopped and is left behind)"
        self._hung = f"{limit}\n{self._hung or ''}{left}"

    def _cancel(self, asked: threading.Event) -> None:
        if self._closing:
            return
        self._hung = self._hung or _waiting(self._recording, self._loop)
        asked.set()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()

    def _interrupt(self) -> None:
        frame = sys._current_frames().get(self._thread.ident or 0)  # noqa: SLF001
        lines = [item for item in traceback.extract_stack(frame) if is_program_file(item.filename)]
        last = lines[-1] if lines else None
        self._hung = "it is busy outside the event loop" + (f" at {last.filename}:{last.lineno}" if last else "")
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(self._thread.ident or 0), ctypes.py_object(_GivenUpError)
        )

    def _close(self) -> None:
        self._closing = True
        pending = asyncio.all_tasks(self._loop)
        for task in pending:
            task.cancel()
        if pending:
            self._loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        asyncio.set_event_loop(None)
        self._loop.close()


async def _settle() -> None:
    """Wait until no output is open or one has failed, which the SDK then finds.

    The SDK itself asks every open output again after each that ends: a third of a run's CPU time at 700 resources.
    """
    while True:
        with settings.SETTINGS.lock:
            open_ = [output for output in settings.SETTINGS.outputs if not output.done()]
        if not open_:
            return
        done, _ = await asyncio.wait(open_, return_when=asyncio.FIRST_EXCEPTION)
        if any(output.cancelled() or output.exception() for output in done):
            return


class _GivenUpError(BaseException):
    """Raised inside a program that is being stopped; not an Exception, so that no handler of the program eats it."""


@contextlib.contextmanager
def _environment(*, strict: bool) -> Iterator[None]:
    """For the time of a run: let an Output in a string raise where it happens, and collect garbage less often.

    The SDK sends a stack trace with each registration, a seventh of a run; the recorder notes lines itself.
    """
    before = os.environ.get(_STRING_FLAG)
    traced = getattr(resource, _STACK_TRACE, None)
    thresholds = gc.get_threshold()
    os.environ[_STRING_FLAG] = "true" if strict else "false"
    gc.set_threshold(max(thresholds[0], _COLLECT_AFTER), *thresholds[1:])
    if traced is not None:
        setattr(resource, _STACK_TRACE, source_pb2.StackTrace)
    try:
        yield
    finally:
        if traced is not None:
            setattr(resource, _STACK_TRACE, traced)
        gc.set_threshold(*thresholds)
        if before is None:
            os.environ.pop(_STRING_FLAG, None)
        else:
            os.environ[_STRING_FLAG] = before


def _forget() -> None:
    """Drop what the SDK keeps outside of contexts: its settings remember the first value as everyone's default."""
    settings.reset_options(project="project", stack="stack", organization="organization")


def _waiting(recording: Recording, loop: asyncio.AbstractEventLoop) -> str:
    """Say what every unfinished task waits for."""
    lines = sorted({line for task in asyncio.all_tasks(loop) for line in _describe(task, recording)})
    return "\n".join(["it waits:", *(f"  {line}" for line in lines)]) if lines else "no task says what it waits for"


def _describe(task: asyncio.Task[Any], recording: Recording) -> Iterator[str]:
    frames = list(_coroutine_frames(task))
    for frame in frames:
        name = frame.f_code.co_name
        if name in ("do_register", "do_read"):
            key = next((f.f_locals["k"] for f in frames if f.f_code.co_name == "serialize_properties"), None)
            label = _label(recording, frame.f_locals["ty"], frame.f_locals["name"])
            yield f"{label} is not registered" + (f": input {key!r} never gets a value" if key else "")
        elif is_program_file(frame.f_code.co_filename):
            yield f"{name} at {frame.f_code.co_filename}:{frame.f_lineno}"


def _label(recording: Recording, type_: str, name: str) -> str:
    if type_ == STACK_TYPE:
        return "the stack"
    return next((str(o) for o in recording.origins if o.type == type_ and o.name == name), f"{type_} {name!r}")


def _coroutine_frames(task: asyncio.Task[Any]) -> Iterator[Any]:
    coroutine: Any = task.get_coro()
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None)
        if frame is not None:
            yield frame
        coroutine = getattr(coroutine, "cr_await", None)


def _note(error: BaseException) -> str:
    """Say which resource and which line of the program a failure belongs to."""
    line, resource = "", ""
    for seen in _causes(error):
        for frame, number in traceback.walk_tb(seen.__traceback__):
            path = frame.f_code.co_filename
            if is_program_file(path):
                line = f"{path}:{number}"
            resource = _resource_in(frame) or resource
        if line and resource:
            break
    parts = [f"raised at {line}" if line else "", f"in {resource}" if resource else ""]
    if "attached to a different loop" in str(error):
        parts.append("an Output was made outside of the program; make it inside the function given to pulumi_run")
    return ", ".join(part for part in parts if part)


def _causes(error: BaseException) -> list[BaseException]:
    """Give a failure and what caused it; the SDK at times names a failure as its own cause."""
    chain = [error]
    while chain[-1].__cause__ is not None and chain[-1].__cause__ not in chain:
        chain.append(chain[-1].__cause__)
    if error.__cause__ is error:
        error.__cause__ = None
    return chain


def _resource_in(frame: Any) -> str:
    """Name the resource that a frame of a traceback works on."""
    scope = frame.f_locals
    name = frame.f_code.co_name
    if name in ("do_register", "do_read") and scope.get("ty") != STACK_TYPE:
        return f"{scope['ty']} {scope['name']!r}"
    if name == "run" and frame.f_globals.get("__name__") == "pulumi.output":
        found = scope.get("resources") or getattr(scope.get("data"), "resources", ())
        names = sorted(f"{r._type} {r._name!r}" for r in found if getattr(r, "_name", ""))  # noqa: SLF001
        return f"an apply on {', '.join(names)}" if names else ""
    owner = scope.get("self")
    if name == "__init__" and isinstance(owner, pulumi.ComponentResource) and "urn" in owner.__dict__:
        return "" if isinstance(owner, Stack) else f"{owner._type} {owner._name!r}"  # noqa: SLF001
    return ""
