"""What pytest sees of the control plane: fixtures. Nothing of it is imported until a fixture is used."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from pytest_pulumi.plugin import skip_or_fail

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_pulumi_kubernetes.control_plane import ControlPlane, Options
    from pytest_pulumi_kubernetes.gatekeeper import Gatekeeper
    from pytest_pulumi_kubernetes.kserve import KServe
    from pytest_pulumi_kubernetes.real_node import NodeOptions, RealNode
    from pytest_pulumi_kubernetes.tools import KubeTools


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the files of the control plane last: until the session ends, it keeps a tenth of a core busy."""
    late = {item.path for item in items if "kube_apiserver" in getattr(item, "fixturenames", ())}
    items.sort(key=lambda item: item.path in late)


@pytest.fixture(scope="session")
def kube_tools() -> KubeTools:
    """Override: where the executables of a control plane are, and the go.mod files that pin its sources."""
    from pytest_pulumi_kubernetes import KubeTools  # noqa: PLC0415

    return KubeTools()


@pytest.fixture(scope="session")
def kube_options() -> Options:
    """Override: nodes, load balancers and admission plugins of the control plane."""
    from pytest_pulumi_kubernetes.control_plane import Options  # noqa: PLC0415

    return Options()


@pytest.fixture(scope="session")
def kube_apiserver(
    request: pytest.FixtureRequest, kube_tools: KubeTools, kube_options: Options
) -> Iterator[ControlPlane]:
    """Give a real Kubernetes control plane with simulated nodes, started once; skip where a tool is missing."""
    from pytest_pulumi_kubernetes import ControlPlane, MissingToolError  # noqa: PLC0415

    try:
        control_plane = ControlPlane(kube_tools, kube_options)
    except MissingToolError as error:
        skip_or_fail(request, str(error))
    with control_plane:
        yield control_plane


@pytest.fixture
def kube_cluster(kube_apiserver: ControlPlane) -> Iterator[ControlPlane]:
    """Give the control plane of `kube_apiserver`, emptied after the test, however the test left it."""
    yield kube_apiserver
    kube_apiserver.reset()


@pytest.fixture(scope="session")
def kube_crds(request: pytest.FixtureRequest, kube_apiserver: ControlPlane) -> Callable[..., None]:
    """Give a function that installs definitions of custom resources by project, until the session ends.

    `kube_crds("kserve", "gateway-api")`; the names are the keys of `pytest_pulumi_kubernetes.crds.CRDS`.
    """
    from pytest_pulumi_kubernetes import MissingToolError  # noqa: PLC0415

    def install(*names: str) -> None:
        try:
            kube_apiserver.install_definitions(*names)
        except MissingToolError as error:
            skip_or_fail(request, str(error))

    return install


@pytest.fixture
def kube_gatekeeper(request: pytest.FixtureRequest, kube_cluster: ControlPlane) -> Iterator[Gatekeeper]:
    """Give the real Gatekeeper in front of the control plane, for one test."""
    from pytest_pulumi_kubernetes import Gatekeeper, MissingToolError  # noqa: PLC0415

    try:
        gatekeeper = Gatekeeper(kube_cluster)
    except MissingToolError as error:
        skip_or_fail(request, str(error))
    with gatekeeper:
        yield gatekeeper


@pytest.fixture
def kube_kserve(request: pytest.FixtureRequest, kube_cluster: ControlPlane) -> Iterator[KServe]:
    """Give the real KServe controller manager in Standard mode with Gateway API, for one test."""
    from pytest_pulumi_kubernetes import KServe, MissingToolError  # noqa: PLC0415

    try:
        kserve = KServe(kube_cluster)
    except MissingToolError as error:
        skip_or_fail(request, str(error))
    with kserve:
        yield kserve


@pytest.fixture(scope="session")
def kube_node_options() -> NodeOptions:
    """Override: the images that a real node can pull, and where their layers are kept."""
    from pytest_pulumi_kubernetes.real_node import NodeOptions  # noqa: PLC0415

    return NodeOptions()


@pytest.fixture(scope="session")
def kube_node(
    request: pytest.FixtureRequest, kube_tools: KubeTools, kube_node_options: NodeOptions
) -> Iterator[RealNode]:
    """Give a control plane with a real node, started once; skip where a right, a feature or a tool is missing.

    What no installation brings, such as root or cgroup v1, fails where `PULUMI_REQUIRE_NODE` is set, and nowhere else.
    """
    from pytest_pulumi_kubernetes import MissingToolError  # noqa: PLC0415
    from pytest_pulumi_kubernetes.enclosure import NoNodeError  # noqa: PLC0415
    from pytest_pulumi_kubernetes.real_node import RealNode  # noqa: PLC0415

    try:
        node = RealNode(kube_tools, kube_node_options)
    except NoNodeError as error:
        if os.environ.get("PULUMI_REQUIRE_NODE", "") in ("", "0"):
            pytest.skip(str(error))
        pytest.fail(f"{error} (a real node is required here)", pytrace=False)
    except MissingToolError as error:
        skip_or_fail(request, str(error))
    with node:
        yield node
