"""Drive the real Pulumi CLI on a temporary file backend, through the Automation API.

The CLI sees neither the user's home nor the user's Pulumi, cloud or Kubernetes settings: its environment is built from
a short list. A program may be a function (run in this process, no language host needed) or a project folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import fnmatch
import json
import os
import shutil
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml
from pulumi import automation
from pulumi.automation.errors import create_command_error
from semver import VersionInfo

from pytest_pulumi.errors import EngineError, PulumiTestError
from pytest_pulumi.providers.server import attached, serving
from pytest_pulumi.values import SecretValue

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pytest_pulumi.backend import TemporaryBackend
    from pytest_pulumi.providers.base import SimulatedProvider

HOST: Final = "pulumi-language-python"
_PASSED_ON: Final = ("PATH", "LANG", "LC_ALL", "TMPDIR", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "VIRTUAL_ENV")
_QUIET: Final = ("same", "read", "refresh")
_TAIL_LINES: Final = 30
_INTERRUPT_SECONDS: Final = 15
_LOOP_SECONDS: Final = 2


class NoEngineError(Exception):
    """The CLI or the language host is not there; the message says what to install."""


@dataclass(frozen=True)
class Cli:
    """The CLI that was found."""

    command: Path
    host: Path | None
    """The Python language host; None if there is none, which is enough for programs that are functions."""


def find_cli() -> Cli:
    """Find `pulumi` on PATH, and the language host beside it or on PATH.

    Raises: NoEngineError.
    """
    found = shutil.which("pulumi")
    if found is None:
        raise NoEngineError("there is no pulumi on PATH; see https://www.pulumi.com/docs/install/")
    command = Path(found)
    beside = command.resolve().parent / HOST
    host = str(beside) if beside.exists() else shutil.which(HOST)
    return Cli(command, None if host is None else Path(host))


@dataclass(frozen=True)
class Step:
    """What the engine did, or would do, to one resource."""

    op: str
    """`same`, `create`, `update`, `delete`, `replace`, `create-replacement`, `delete-replaced`, `read`, `refresh`, …"""

    type: str
    name: str
    urn: str
    changed: tuple[str, ...]
    """Paths of the inputs that differ."""

    replaced_by: tuple[str, ...]
    """Those of them that make it a replacement."""

    def __str__(self) -> str:
        why = f" because of {', '.join(self.changed)}" if self.changed else ""
        return f"{self.op} {self.type} {self.name!r}{why}"


@dataclass(frozen=True)
class Result:
    """The outcome of one operation."""

    operation: str
    steps: tuple[Step, ...]
    diagnostics: tuple[str, ...]
    """Messages of severity warning and error, without colours."""

    violations: tuple[str, ...]
    """`policy (level): message` for every policy violation."""

    events: tuple[Any, ...] = field(repr=False)
    """The Automation API's events, in order."""

    outputs: dict[str, Any] = field(default_factory=dict)
    """The stack's exports after `up`; secrets unwrapped."""

    secret_outputs: frozenset[str] = frozenset()

    @property
    def changes(self) -> tuple[Step, ...]:
        """The steps that change something."""
        return tuple(step for step in self.steps if step.op not in _QUIET)

    @property
    def counts(self) -> dict[str, int]:
        """How often each kind of change occurs."""
        ops = [step.op for step in self.changes]
        return {op: ops.count(op) for op in sorted(set(ops))}

    def step(self, name: str, type_: str = "*") -> Step:
        """Give the step for a logical name (and a type pattern, where a component and its child share the name).

        Of a replacement's three steps it gives the one called `replace`.

        Raises: EngineError.
        """
        parts = ("create-replacement", "delete-replaced")
        found = [
            step
            for step in self.steps
            if step.name == name and fnmatch.fnmatchcase(step.type, type_) and step.op not in parts
        ]
        if len(found) != 1:
            raise EngineError("\n".join([f"{len(found)} steps are about {name!r}; there are:", *map(str, self.steps)]))
        return found[0]


class OperationError(EngineError):
    """An operation failed; `result` holds what happened until then."""

    def __init__(self, message: str, result: Result) -> None:
        super().__init__(message)
        self.result = result


class Stack:
    """One stack of one test on a temporary backend."""

    def __init__(
        self,
        cli: Cli,
        backend: TemporaryBackend,
        *,
        program: Callable[[], Any] | None = None,
        work_dir: Path | None = None,
        providers: Sequence[SimulatedProvider] = (),
        config: Mapping[str, Any] | None = None,
        config_file: Path | None = None,
        project: str = "project",
        name: str = "test",
        policy_packs: Sequence[Path | str] = (),
        environment: Mapping[str, str] | None = None,
        timeout_seconds: float = 120.0,
    ) -> None:
        if (program is None) == (work_dir is None):
            raise TypeError("a stack needs either a program (a function) or a work_dir (a folder with Pulumi.yaml)")
        if cli.host is None and (work_dir is not None or policy_packs):
            raise NoEngineError(f"there is no {HOST} beside {cli.command} or on PATH; only functions can be run")
        self.backend = backend
        self.providers = tuple(providers)
        self.policy_packs = [str(pack) for pack in policy_packs]
        self._closing = contextlib.ExitStack()
        self._servers = self._closing.enter_context(serving(backend, self.providers))
        variables = attached(self._servers) | dict(environment or {})
        self._program: Callable[[], Any] | None = None
        self._loops: list[asyncio.AbstractEventLoop] = []
        self._command = _Command(cli, backend, timeout_seconds)
        folder = backend.folder / "project"
        folder.mkdir()
        options = automation.LocalWorkspaceOptions(
            pulumi_home=str(backend.home), env_vars=variables, pulumi_command=self._command, work_dir=str(folder)
        )
        if work_dir is None:
            self._stack = automation.create_stack(name, project_name=project, program=_noop, opts=options)
            self.program = program
        else:
            copy_project(work_dir, folder, config_file, name)
            self._stack = automation.create_stack(name, work_dir=str(folder), opts=options)
        self._configure({} if config is None else dict(config))

    @property
    def name(self) -> str:
        """The stack's name."""
        return self._stack.name

    @property
    def program(self) -> Callable[[], Any] | None:
        """The function that is run; set another one to test a change of the program."""
        return self._program

    @program.setter
    def program(self, program: Callable[[], Any] | None) -> None:
        self._program = program

        def watched() -> Any:
            self._loops.append(asyncio.get_event_loop())
            return program() if program is not None else None

        self._stack.workspace.program = watched

    def preview(self, **options: Any) -> Result:
        """Say what an update would do. Options are those of the Automation API.

        Raises: OperationError.
        """
        return self._run("preview", self._stack.preview, self._with_policies(options))

    def up(self, **options: Any) -> Result:
        """Update the stack.

        Raises: OperationError.
        """
        return self._run("up", self._stack.up, self._with_policies(options))

    def refresh(self, **options: Any) -> Result:
        """Read the real state of everything; its steps say what had drifted.

        Raises: OperationError.
        """
        return self._run("refresh", self._stack.refresh, options)

    def destroy(self, **options: Any) -> Result:
        """Delete everything.

        Raises: OperationError.
        """
        return self._run("destroy", self._stack.destroy, options)

    def export(self) -> dict[str, Any]:
        """Give the state, as `pulumi stack export` prints it; secrets are encrypted in it."""
        workspace = self._stack.workspace
        words = ["stack", "export", "--stack", self.name]
        printed = self._command.run(words, workspace.work_dir, workspace.env_vars)
        return dict(json.loads(printed.stdout)["deployment"] or {})

    def resources(self) -> list[dict[str, Any]]:
        """Give the resources in the state."""
        return list(self.export().get("resources") or [])

    def assert_no_changes(self) -> None:
        """Fail unless a preview changes nothing."""
        _refuse("a preview should change nothing", self.preview().changes)

    def assert_only_updates(self, *names: str) -> None:
        """Fail unless a preview only updates in place, and only these logical names if any are given."""
        wrong = [s for s in self.preview().changes if s.op != "update" or (names and s.name not in names)]
        _refuse(f"a preview should only update {', '.join(names) or 'in place'}", wrong)

    def assert_no_replacements(self) -> None:
        """Fail if a preview replaces or deletes anything."""
        wrong = [s for s in self.preview().changes if "replace" in s.op or s.op == "delete"]
        _refuse("a preview should replace and delete nothing", wrong)

    def cancel(self) -> None:
        """Break the lock that a killed CLI left behind."""
        self._stack.cancel()

    def close(self) -> None:
        """Stop the providers."""
        self._closing.close()

    def leaves_something_real(self) -> bool:
        """Say whether the state holds resources of providers that are not simulated."""
        simulated = {provider.package for provider in self.providers} | {"pulumi"}
        return any(item["custom"] and item["type"].split(":")[0] not in simulated for item in self.resources())

    def _with_policies(self, options: dict[str, Any]) -> dict[str, Any]:
        return {"policy_packs": self.policy_packs} | options if self.policy_packs else options

    def _configure(self, config: dict[str, Any]) -> None:
        if config:
            self._stack.set_all_config({key: _config_value(value) for key, value in config.items()})

    def _run(self, operation: str, method: Callable[..., Any], options: dict[str, Any]) -> Result:
        __tracebackhide__ = True
        for server in self._servers:
            server.revive()
        events: list[Any] = []
        failure: Exception | None = None
        outcome = None
        try:
            outcome = method(on_event=events.append, color="never", **options)
        except (automation.CommandError, _TimeLimitError, RuntimeError) as error:  # RuntimeError: a preview cut short
            failure = error
        finally:
            self._close_loops()
        outputs = getattr(outcome, "outputs", None) or {}
        result = _result(operation, events, outputs)
        if failure is not None:
            told = result.diagnostics or str(failure).strip().splitlines()[-_TAIL_LINES:]
            limit = [str(failure)] if isinstance(failure, _TimeLimitError) else []
            raise OperationError("\n".join([f"pulumi {operation} failed", *limit, *told]), result)
        return result

    def _close_loops(self) -> None:
        """Close event loops that the SDK leaves open where the engine is gone before the program."""
        limit = time.monotonic() + _LOOP_SECONDS
        while any(loop.is_running() for loop in self._loops) and time.monotonic() < limit:
            time.sleep(0.01)
        for loop in self._loops:
            if not loop.is_closed() and not loop.is_running():
                _end_tasks(loop)
                loop.close()
        self._loops = [loop for loop in self._loops if not loop.is_closed()]


def _end_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel what is left in a loop that nobody runs any more."""
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.set_exception_handler(lambda _loop, _context: None)
        runner = threading.Thread(target=loop.run_until_complete, args=(asyncio.wait(tasks, timeout=1),))
        runner.start()
        runner.join()


def _noop() -> None:
    """Stand for a program until it is set."""


class _TimeLimitError(Exception):
    """The CLI took too long and was ended."""


class _Command(automation.PulumiCommand):
    """Starts the CLI with an environment of its own and ends it when it takes too long."""

    def __init__(self, cli: Cli, backend: TemporaryBackend, timeout_seconds: float) -> None:
        # The base class would ask for the version with the user's environment.
        self.command = str(cli.command)
        self._timeout_seconds = timeout_seconds
        kept = {key: os.environ[key] for key in _PASSED_ON if key in os.environ}
        if cli.host is not None:
            kept["PATH"] = os.pathsep.join([str(cli.host.parent), kept["PATH"]])
        self._base = kept | backend.environment() | {"HOME": str(backend.home), "PULUMI_AUTOMATION_API": "true"}
        told = self.run(["version"], str(backend.folder), {}).stdout
        self.version = VersionInfo.parse(told.strip().removeprefix("v"))

    def run(
        self,
        args: list[str],
        cwd: str,
        additional_env: Mapping[str, str],
        on_output: Callable[[str], Any] | None = None,
        on_error: Callable[[str], Any] | None = None,
    ) -> automation.CommandResult:
        """See the base class."""
        words = args if "--non-interactive" in args else ["--non-interactive", *args]
        with subprocess.Popen(
            [self.command, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            cwd=cwd,
            env=self._base | dict(additional_env),
            encoding="utf-8",
            start_new_session=True,
        ) as process:
            readers = [_Reader(process.stdout, on_output), _Reader(process.stderr, on_error)]
            try:
                process.wait(self._timeout_seconds)
            except subprocess.TimeoutExpired:
                _end(process)
                raise _TimeLimitError(
                    f"pulumi did not end within {self._timeout_seconds:g} s: {' '.join(words)}"
                ) from None
            except BaseException:
                _end(process)
                raise
            stdout, stderr = (reader.text() for reader in readers)
        result = automation.CommandResult(stderr=stderr, stdout=stdout, code=process.returncode)
        if result.code != 0:
            raise create_command_error(result)
        return result


class _Reader:
    """Collects one stream of the CLI and passes its lines on."""

    def __init__(self, stream: Any, callback: Callable[[str], Any] | None) -> None:
        self._lines: list[str] = []
        self._thread = threading.Thread(target=self._read, args=(stream, callback), daemon=True)
        self._thread.start()

    def _read(self, stream: Any, callback: Callable[[str], Any] | None) -> None:
        for line in stream:
            self._lines.append(line.rstrip())
            if callback is not None:
                callback(line.rstrip())

    def text(self) -> str:
        self._thread.join()
        return "\n".join(self._lines)


def _end(process: subprocess.Popen[str]) -> None:
    """Ask the CLI to stop, as Ctrl-C does, then make it."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(_INTERRUPT_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _result(operation: str, events: list[Any], outputs: Mapping[str, Any]) -> Result:
    kind = "res_outputs_event" if operation == "refresh" else "resource_pre_event"
    steps = [getattr(event, kind).metadata for event in events if getattr(event, kind, None)]
    policies = [event.policy_event for event in events if event.policy_event]
    return Result(
        operation=operation,
        steps=tuple(_step(metadata) for metadata in steps),
        diagnostics=_diagnostics(events),
        violations=tuple(f"{p.policy_name} ({p.enforcement_level}): {p.message.strip()}" for p in policies),
        events=tuple(events),
        outputs={key: output.value for key, output in outputs.items()},
        secret_outputs=frozenset(key for key, output in outputs.items() if output.secret),
    )


def _diagnostics(events: list[Any]) -> tuple[str, ...]:
    """Give warnings and errors once each; the engine repeats a program's error inside its own."""
    told: list[str] = []
    for event in events:
        message = event.diagnostic_event
        if message and message.severity in ("warning", "error"):
            text = message.message.strip()
            if text and not any(text in earlier or earlier in text for earlier in told):
                told.append(text)
    return tuple(told)


def _step(metadata: Any) -> Step:
    detailed = metadata.detailed_diff or {}
    changed = sorted(detailed) or sorted(metadata.diffs or [])
    kinds = {path: str(getattr(diff, "diff_kind", "")) for path, diff in detailed.items()}
    return Step(
        op=getattr(metadata.op, "value", metadata.op),
        type=metadata.type,
        name=metadata.urn.split("::", 3)[3],
        urn=metadata.urn,
        changed=tuple(changed),
        replaced_by=tuple(path for path in changed if "replace" in kinds.get(path, "").lower()),
    )


def _refuse(expectation: str, steps: Sequence[Step]) -> None:
    __tracebackhide__ = True
    if steps:
        raise PulumiTestError("\n".join([f"{expectation}, but would:", *(f"  {step}" for step in steps)]))


def _config_value(value: Any) -> automation.ConfigValue:
    inner = value.value if isinstance(value, SecretValue) else value
    text = inner if isinstance(inner, str) else json.dumps(inner)
    return automation.ConfigValue(value=text, secret=isinstance(value, SecretValue))


def copy_project(
    work_dir: Path, target: Path, config_file: Path | None, stack: str, virtualenv: Path | None = None
) -> None:
    """Write a project that runs another folder's program, so that nothing is written there.

    The stack gets the settings of `config_file` that another backend can read; `virtualenv` replaces the project's own.
    """
    source = work_dir.resolve()
    settings = yaml.safe_load((source / "Pulumi.yaml").read_text(encoding="utf-8"))
    settings["main"] = str(source / settings.get("main", "."))
    settings.pop("stackConfigDir", None)
    runtime = settings.get("runtime")
    options = runtime.get("options", {}) if isinstance(runtime, dict) else {}
    if "virtualenv" in options:
        options["virtualenv"] = str(virtualenv or source / options["virtualenv"])
    for plugins in (settings.get("plugins") or {}).values():
        for plugin in plugins:
            if "path" in plugin:
                plugin["path"] = str(source / plugin["path"])
    (target / "Pulumi.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    if config_file is not None:
        plain = plain_config(yaml.safe_load(config_file.read_text(encoding="utf-8")) or {})
        (target / f"Pulumi.{stack}.yaml").write_text(yaml.safe_dump(plain), encoding="utf-8")


def plain_config(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Keep of a stack file what another backend can read: no secrets provider, no encrypted value."""
    config = settings.get("config") or {}
    return {"config": {key: _without_secure(value) for key, value in config.items() if not _is_secure(value)}}


def _is_secure(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == {"secure"}


def _without_secure(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_secure(item) for key, item in value.items() if not _is_secure(item)}
    if isinstance(value, list):
        return [_without_secure(item) for item in value if not _is_secure(item)]
    return value
