"""A real node with what its registry holds: stand-ins for others' images, made of programs of this machine."""

import pytest
from pytest_pulumi.command import NoEngineError, find_cli
from pytest_pulumi.engine import Stack
from pytest_pulumi_kubernetes import KubeTools, MissingToolError
from pytest_pulumi_kubernetes.real_node import NodeOptions, RealNode, require_running
from simulated_pulumi.backend import TemporaryBackend

from infra.base import paths
from tests.node import images
from tools import install

PARTS = ("kubernetes", "node", "tools")


@pytest.fixture(scope="session")
def kube_tools() -> KubeTools:
    """The control plane and the node that the installer builds."""
    built = [module for part in PARTS for module in install.GO_PARTS[part]]
    return KubeTools(
        folders=(*(module.folder / "bin" for module in built), *images.SYSTEM),
        hint=f"run `python3 -m tools.install {' '.join(PARTS)} node-system`",
    )


@pytest.fixture(scope="session")
def kube_node_options(request: pytest.FixtureRequest, kube_tools: KubeTools) -> NodeOptions:
    """Every image that the tests name."""
    try:
        made = images.stand_ins(kube_tools)
    except MissingToolError as error:
        pytest.skip(str(error))
    named = [f"{each.reference}: {each.stands_for}" for each in made if each.stands_for]
    request.config.stash[images.NAMED] = named
    return NodeOptions(images=made, cache=paths.cache_dir() / "stand-ins")


@pytest.fixture(scope="module")
def made_stack(tmp_path_factory: pytest.TempPathFactory):
    """Make stacks that all tests of a module share, closed after them."""
    made = []

    def make(program, **options) -> Stack:
        try:
            stack = Stack(
                find_cli(),
                TemporaryBackend(tmp_path_factory.mktemp("pulumi")),
                program=program,
                project="mlplatform",
                **options,
            )
        except NoEngineError as error:
            pytest.skip(str(error))
        made.append(stack)
        return stack

    yield make
    for stack in made:
        stack.close()


@pytest.fixture
def node(kube_node: RealNode):
    """The node, which must still be whole after the test."""
    yield kube_node
    require_running(kube_node)


def pytest_terminal_summary(terminalreporter, config) -> None:
    """Name the images that were stand-ins."""
    named = config.stash.get(images.NAMED, [])
    if named:
        terminalreporter.section("stand-ins: not the images of these names")
        terminalreporter.write_line("\n".join(named))
