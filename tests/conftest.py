"""What every test of the program shares: the facts that the plugin asks for, and stacks to run."""

import dataclasses
import gc
import zlib
from collections.abc import Mapping
from typing import Any

import pytest
from pytest_pulumi import SecretValue
from pytest_pulumi_kubernetes import KubeTools
from simulated_pulumi.facts import Facts

from infra.base import paths
from tools import install

COLLECTED_AFTER = (50_000, 20, 100)
"""Python's default of 700 objects makes the collector take 40 % of the time of a program with hundreds of resources."""

PROGRAM_SECONDS = 120.0

CLUSTER_PARTS = ("kubernetes", "gatekeeper", "kserve", "helm")


def pytest_collection_finish() -> None:
    """Keep the garbage collector from looking again and again at what the session keeps: modules, SDKs, tests."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTED_AFTER)


def port_for(name: str) -> int:
    """The same port for the same name in every run."""
    return 20_000 + zlib.crc32(name.encode()) % 10_000


AUTONAMED = ("core/v1:ConfigMap", "core/v1:Secret")
"""Objects whose generated names others are told."""


def autonamed(asked: Any) -> dict[str, Any]:
    """Metadata as the provider `kubernetes` completes it."""
    metadata = asked.inputs.get("metadata") or {}
    return {"metadata": {"name": f"{asked.name}-1a2b3c4d", **metadata}}


OUTPUTS: Mapping[str, Any] = {
    **{f"kubernetes:{kind}": autonamed for kind in AUTONAMED},
    "random:index/randomPassword:RandomPassword": lambda asked: {"result": SecretValue(f"{asked.name}-value")},
    "random:index/randomId:RandomId": lambda asked: {"hex": "0a1b2c3d4e5f6071"[: 2 * asked.inputs["byteLength"]]},
    "host:index:KindCluster": lambda asked: {
        "kubeconfig": SecretValue(f"kubeconfig of {asked.inputs['cluster_name']}")
    },
    "host:index:Port": lambda asked: {"chosen": asked.inputs.get("number") or port_for(asked.name)},
    "host:index:Secret": lambda asked: {"value": SecretValue(f"{asked.name}-value")},
    "host:index:Folder": lambda asked: {"absolute_path": f"/stack/{asked.inputs['path']}"},
    "host:index:File": lambda asked: {"absolute_path": f"/stack/{asked.inputs['path']}", "sha256": "0" * 64},
    "host:index:Process": lambda asked: {"state": "running", "log_path": f"/stack/logs/{asked.name}.log"},
    "host:index:Job": lambda asked: {"digest": "0" * 64, "log_path": f"/stack/logs/{asked.name}.log"},
    "host:index:Supervisor": {"state": "running"},
}
"""What the host provider and those of clusters would compute, by type."""


@pytest.fixture
def pulumi_project() -> str:
    return "mlplatform"


@pytest.fixture
def on_aws(request: pytest.FixtureRequest) -> bool:
    """Whether AWS answers, simulated: modules say so by `pytestmark = pytest.mark.aws`."""
    return request.node.get_closest_marker("aws") is not None


@pytest.fixture
def pulumi_answers(on_aws: bool) -> Mapping[str, Any]:
    """What clouds answer to questions of the program."""
    if not on_aws:
        return {}
    from tests.aws import ANSWERS  # noqa: PLC0415  needs AWS' SDK, which not every environment has

    return ANSWERS


@pytest.fixture
def pulumi_outputs(on_aws: bool) -> Mapping[str, Any]:
    """What providers would compute."""
    if not on_aws:
        return OUTPUTS
    from tests.aws import Outputs  # noqa: PLC0415  as above

    return Outputs(OUTPUTS)


@pytest.fixture
def pulumi_facts(pulumi_facts: Facts) -> Facts:
    """Patience for a machine whose cores other suites keep busy; a program takes 3 s on an idle one."""
    return dataclasses.replace(pulumi_facts, timeout_seconds=PROGRAM_SECONDS)


@pytest.fixture(scope="session")
def kube_tools() -> KubeTools:
    """The control plane that the installer builds."""
    built = [module for part in CLUSTER_PARTS for module in install.GO_PARTS[part]]
    return KubeTools(
        folders=tuple(module.folder / "bin" for module in built),
        modules=tuple(paths.CHECKOUT / "tools" / module.name for module in built),
        hint=f"run `python3 -m tools.install {' '.join(CLUSTER_PARTS)}`",
    )
