"""Drive the real Pulumi CLI on a temporary file backend, through the Automation API.

The CLI sees neither the user's home nor the user's Pulumi, cloud or Kubernetes settings: its environment is built from
a short list. A program may be a function (run in this process, no language host needed) or a project folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pulumi import automation
from simulated_pulumi.errors import PulumiTestError
from simulated_pulumi.project import copy_project
from simulated_pulumi.providers.server import attached, serving
from simulated_pulumi.values import SecretValue

from pytest_pulumi.command import HOST, Command, NoEngineError, TimeLimitError
from pytest_pulumi.initiated import initiate
from pytest_pulumi.result import OperationError, Result, result_of, shown_outputs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from simulated_pulumi.backend import TemporaryBackend
    from simulated_pulumi.providers.base import SimulatedProvider

    from pytest_pulumi.command import Cli
    from pytest_pulumi.result import Step

_TAIL_LINES: Final = 30
_LOOP_SECONDS: Final = 2


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
        self._command = Command(cli, backend, timeout_seconds)
        folder = backend.folder / "project"
        folder.mkdir()
        if work_dir is not None:
            copy_project(work_dir, folder, config_file, name)
        workspace = automation.LocalWorkspace(
            str(folder), str(backend.home), env_vars=variables, pulumi_command=self._command
        )
        if work_dir is None:
            workspace.save_project_settings(automation.ProjectSettings(project, "python", main=str(Path.cwd())))
        self._stack = _SdkStack(name, workspace)
        initiate(workspace, backend, name, (str(cli.command), *sorted((environment or {}).items())))
        if work_dir is None:
            self.program = program
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
        stored = self.backend.stored(self.name)
        if stored is None:
            stored = json.loads(self.pulumi("stack", "export", "--stack", self.name))["deployment"]
        return dict(stored or {})

    def pulumi(self, *words: str) -> str:
        """Run another command of the CLI in the project's folder; what it prints.

        Raises: automation.CommandError.
        """
        for server in self._servers:
            server.revive()
        workspace = self._stack.workspace
        return self._command.run(list(words), workspace.work_dir, workspace.env_vars).stdout

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
        except (automation.CommandError, TimeLimitError, RuntimeError) as error:  # RuntimeError: a preview cut short
            failure = error
        finally:
            self._close_loops()
        result = result_of(operation, events, self._outputs(events) if operation == "up" and outcome else {})
        if failure is not None:
            told = result.diagnostics or str(failure).strip().splitlines()[-_TAIL_LINES:]
            limit = [str(failure)] if isinstance(failure, TimeLimitError) else []
            raise OperationError("\n".join([f"pulumi {operation} failed", *limit, *told]), result)
        return result

    def _outputs(self, events: list[Any]) -> automation.OutputMap:
        """Read the outputs from an update's events; the CLI is asked only where events hide a value, as of secrets."""
        shown = shown_outputs(events)
        if shown is None:
            return self._stack.workspace.stack_outputs(self.name)
        return {key: automation.OutputValue(value=value, secret=False) for key, value in shown.items()}

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


class _SdkStack(automation.Stack):
    """The SDK's stack without the commands that it adds to an update: three for outputs and history, a second each."""

    def __init__(self, name: str, workspace: automation.Workspace) -> None:
        # The base class would run `pulumi stack init`.
        self.name = name
        self.workspace = workspace

    def __repr__(self) -> str:
        return f"<stack {self.name}>"

    def outputs(self) -> automation.OutputMap:
        """See `Stack._outputs`."""
        return {}

    def info(self, show_secrets: bool = True) -> automation.UpdateSummary:  # noqa: ARG002  (the SDK's)
        """Leave the history unread: events say what an update did."""
        return _UNREAD


_UNREAD: Final = automation.UpdateSummary(
    kind="", start_time=dt.datetime.now(dt.UTC), message="", environment={}, config={}, result=""
)


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


def _refuse(expectation: str, steps: Sequence[Step]) -> None:
    __tracebackhide__ = True
    if steps:
        raise PulumiTestError("\n".join([f"{expectation}, but would:", *(f"  {step}" for step in steps)]))


def _config_value(value: Any) -> automation.ConfigValue:
    inner = value.value if isinstance(value, SecretValue) else value
    text = inner if isinstance(inner, str) else json.dumps(inner)
    return automation.ConfigValue(value=text, secret=isinstance(value, SecretValue))
