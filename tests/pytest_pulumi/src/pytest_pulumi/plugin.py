"""What pytest sees: options, markers and fixtures. Nothing of Pulumi is imported until a fixture is used."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from simulated_pulumi.facts import Facts, Outputs
    from simulated_pulumi.graph import Graph
    from simulated_pulumi.providers import SimulatedProvider
    from simulated_pulumi.values import Answer

    from pytest_pulumi.command import Cli
    from pytest_pulumi.engine import Stack
    from pytest_pulumi.golden import Golden


_REQUIRE = "PULUMI_REQUIRE_ENGINE"
_KEPT = pytest.StashKey[list[str]]()


class Runner:
    """Runs programs with the facts of one test; what the fixture `pulumi_run` gives."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts

    def __call__(
        self, program: Any = None, *, path: str | os.PathLike[str] | None = None, preview: bool = False
    ) -> Graph:
        """Run `program()` (a function or a coroutine function) to its end and give its graph.

        `path` names a module instead, or a folder with `__main__.py` or `Pulumi.yaml`: its top level is the program.
        With `preview`, ids and computed outputs are unknown, as before the first update.
        """
        __tracebackhide__ = True
        from simulated_pulumi.runner import run, run_module  # noqa: PLC0415  (Pulumi takes a second to import)

        if (program is None) == (path is None):
            raise TypeError("pulumi_run takes either a program (a function) or path= (a module or a project's folder)")
        if path is not None:
            return run_module(path, self.facts, preview=preview)
        return run(program, self.facts, preview=preview)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options; each is prefixed `--pulumi-`."""
    group = parser.getgroup("pulumi", "Pulumi programs")
    group.addoption("--pulumi-update", action="store_true", help="write golden texts instead of comparing with them")
    group.addoption("--pulumi-keep", action="store_true", help="keep the stacks of pulumi_stack and say where they are")
    group.addoption(
        "--pulumi-require-engine",
        action="store_true",
        help=f"fail, not skip, where the CLI is missing (or set {_REQUIRE}=1)",
    )
    parser.addini("pulumi_allow", "checks of pulumi_run that are off in every test", type="args", default=[])
    parser.addini("pulumi_timeout", "seconds that a program may take in pulumi_run", default="30")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say how to reach the stacks that were kept."""
    kept = config.stash.get(_KEPT, [])
    if kept:
        terminalreporter.section("stacks kept by --pulumi-keep")
        terminalreporter.write_line("\n".join(kept))


def pytest_configure(config: pytest.Config) -> None:
    """Describe the marker."""
    config.addinivalue_line("markers", "pulumi_allow(*checks): switch checks of pulumi_run off for this test")


@pytest.fixture
def pulumi_project() -> str:
    """Override: the project's name."""
    return "project"


@pytest.fixture
def pulumi_stack_name() -> str:
    """Override: the stack's name."""
    return "test"


@pytest.fixture
def pulumi_config() -> Mapping[str, Any]:
    """Override: the stack's configuration; `SecretValue` marks secrets, keys without a colon get the project's name."""
    return {}


@pytest.fixture
def pulumi_answers() -> Mapping[str, Answer]:
    """Override: answers of providers' functions by token, each a dictionary or a function of the arguments."""
    return {}


@pytest.fixture
def pulumi_outputs() -> Mapping[str, Outputs]:
    """Override: outputs by resource type, each a dictionary or a function of the registration (`Asked`)."""
    return {}


@pytest.fixture
def pulumi_providers() -> Sequence[SimulatedProvider]:
    """Override: simulated providers, for the functions and outputs that the two fixtures above do not give."""
    return ()


@pytest.fixture
def pulumi_facts(request: pytest.FixtureRequest) -> Facts:
    """Gather the fixtures above, the markers and the ini file into the surroundings of one run."""
    from simulated_pulumi.facts import Facts  # noqa: PLC0415

    return Facts(
        project=request.getfixturevalue("pulumi_project"),
        stack=request.getfixturevalue("pulumi_stack_name"),
        config=request.getfixturevalue("pulumi_config"),
        answers=request.getfixturevalue("pulumi_answers"),
        outputs=request.getfixturevalue("pulumi_outputs"),
        providers=request.getfixturevalue("pulumi_providers"),
        allowed=_allowed(request),
        timeout_seconds=float(request.config.getini("pulumi_timeout")),
    )


@pytest.fixture
def pulumi_run(pulumi_facts: Facts) -> Runner:
    """Give a function that runs a program without an engine and returns its frozen graph."""
    return Runner(pulumi_facts)


@pytest.fixture
def pulumi_golden(request: pytest.FixtureRequest) -> Golden:
    """Give a function that compares a graph with its golden text; `--pulumi-update` writes it."""
    from pytest_pulumi.golden import Golden  # noqa: PLC0415

    return Golden(request.path, request.node.name, update=request.config.getoption("--pulumi-update"))


@pytest.fixture
def pulumi_cli(request: pytest.FixtureRequest) -> Cli:
    """Give the CLI; skip where there is none, or fail with `--pulumi-require-engine`."""
    from pytest_pulumi.command import NoEngineError, find_cli  # noqa: PLC0415

    try:
        return find_cli()
    except NoEngineError as error:
        skip_or_fail(request, str(error))


@pytest.fixture
def pulumi_stack(
    request: pytest.FixtureRequest, pulumi_cli: Cli, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Stack]]:
    """Give a function that makes a stack on the real engine: `pulumi_stack(program, providers=[Aws()])`.

    Its arguments are those of `pytest_pulumi.engine.Stack`. Project and configuration come from `pulumi_project` and
    `pulumi_config` unless they are given. After the test, what is not simulated is destroyed and the state removed.
    """
    from simulated_pulumi.backend import TemporaryBackend  # noqa: PLC0415

    from pytest_pulumi.command import NoEngineError  # noqa: PLC0415
    from pytest_pulumi.engine import Stack  # noqa: PLC0415

    made: list[Stack] = []

    def make(program: Callable[[], Any] | None = None, **options: Any) -> Stack:
        given = {
            "project": request.getfixturevalue("pulumi_project"),
            "config": request.getfixturevalue("pulumi_config"),
        } | options
        backend = TemporaryBackend(tmp_path_factory.mktemp("pulumi"))
        try:
            made.append(Stack(pulumi_cli, backend, program=program, **given))
        except NoEngineError as error:
            skip_or_fail(request, str(error))
        return made[-1]

    yield make
    _clear_away(made, request.config)


def _clear_away(stacks: list[Stack], config: pytest.Config) -> None:
    import shlex  # noqa: PLC0415
    import shutil  # noqa: PLC0415

    for stack in stacks:
        try:
            if config.getoption("--pulumi-keep"):
                bound = " ".join(f"{key}={shlex.quote(value)}" for key, value in stack.backend.environment().items())
                config.stash.setdefault(_KEPT, []).append(
                    f"cd {shlex.quote(str(stack.backend.folder / 'project'))} && {bound} pulumi stack -s {stack.name}"
                )
                continue
            if stack.leaves_something_real():
                stack.destroy()
            shutil.rmtree(stack.backend.folder)
        finally:
            stack.close()


def skip_or_fail(request: pytest.FixtureRequest, reason: str) -> NoReturn:
    """Skip a test whose tool is missing, or fail it where the engine is required."""
    if request.config.getoption("--pulumi-require-engine") or os.environ.get(_REQUIRE, "") not in ("", "0"):
        pytest.fail(f"{reason} (the engine is required here)", pytrace=False)
    pytest.skip(reason)


def _allowed(request: pytest.FixtureRequest) -> frozenset[str]:
    from simulated_pulumi.facts import CHECKS  # noqa: PLC0415

    names = [name for marker in request.node.iter_markers("pulumi_allow") for name in marker.args]
    names += request.config.getini("pulumi_allow")
    wrong = sorted(set(names) - set(CHECKS))
    if wrong:
        raise pytest.UsageError(f"pulumi_allow: no check is called {', '.join(wrong)}; there are {', '.join(CHECKS)}")
    return frozenset(names)
