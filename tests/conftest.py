"""What every test of the program shares: the facts that the plugin asks for, and stacks to run."""

import zlib
from collections.abc import Mapping
from typing import Any

import pytest
from pytest_pulumi import SecretValue


def port_for(name: str) -> int:
    """The same port for the same name in every run."""
    return 20_000 + zlib.crc32(name.encode()) % 10_000


AUTONAMED = ("core/v1:ConfigMap", "core/v1:Secret")
"""Objects whose generated names others are told."""


def autonamed(asked: Any) -> dict[str, Any]:
    """Metadata as the provider `kubernetes` completes it."""
    metadata = asked.inputs.get("metadata") or {}
    return {"metadata": {"name": f"{asked.name}-1a2b3c4d", **metadata}}


@pytest.fixture
def pulumi_project() -> str:
    return "mlplatform"


@pytest.fixture
def pulumi_outputs() -> Mapping[str, Any]:
    """What the host provider and those of clusters would compute."""
    return {
        **{f"kubernetes:{kind}": autonamed for kind in AUTONAMED},
        "random:index/randomPassword:RandomPassword": lambda asked: {"result": SecretValue(f"{asked.name}-value")},
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
