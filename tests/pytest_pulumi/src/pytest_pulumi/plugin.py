"""What pytest sees: options, markers and fixtures. Nothing of Pulumi is imported until a fixture is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_pulumi.facts import Answer, Facts, Outputs
    from pytest_pulumi.golden import Golden
    from pytest_pulumi.graph import Graph


class Runner:
    """Runs programs with the facts of one test; what the fixture `pulumi_run` gives."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts

    def __call__(self, program: Any, *, preview: bool = False) -> Graph:
        """Run `program()` (a function or a coroutine function) to its end and give its graph.

        With `preview`, ids and computed outputs are unknown, as before the first update.
        """
        __tracebackhide__ = True
        from pytest_pulumi.runner import run  # noqa: PLC0415  (Pulumi takes a second to import)

        return run(program, self.facts, preview=preview)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options; each is prefixed `--pulumi-`."""
    group = parser.getgroup("pulumi", "Pulumi programs")
    group.addoption("--pulumi-update", action="store_true", help="write golden texts instead of comparing with them")
    parser.addini("pulumi_allow", "checks of pulumi_run that are off in every test", type="args", default=[])
    parser.addini("pulumi_timeout", "seconds that a program may take in pulumi_run", default="30")


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
def pulumi_facts(request: pytest.FixtureRequest) -> Facts:
    """Gather the fixtures above, the markers and the ini file into the surroundings of one run."""
    from pytest_pulumi.facts import Facts  # noqa: PLC0415

    return Facts(
        project=request.getfixturevalue("pulumi_project"),
        stack=request.getfixturevalue("pulumi_stack_name"),
        config=request.getfixturevalue("pulumi_config"),
        answers=request.getfixturevalue("pulumi_answers"),
        outputs=request.getfixturevalue("pulumi_outputs"),
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


def _allowed(request: pytest.FixtureRequest) -> frozenset[str]:
    from pytest_pulumi.facts import CHECKS  # noqa: PLC0415

    names = [name for marker in request.node.iter_markers("pulumi_allow") for name in marker.args]
    names += request.config.getini("pulumi_allow")
    wrong = sorted(set(names) - set(CHECKS))
    if wrong:
        raise pytest.UsageError(f"pulumi_allow: no check is called {', '.join(wrong)}; there are {', '.join(CHECKS)}")
    return frozenset(names)
