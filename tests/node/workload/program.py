"""The dev stack for a node of two cores: everything that comes without a chart, in smaller sizes.

Left out: Gatekeeper, and the charts of cert-manager, Envoy Gateway and Spark's operator. KServe's manager runs beside
the node. The chart kube-prometheus-stack is a stand-in of one object (`watching.py` has its servers), and retrains run
in the retraining service instead of on Kubeflow Pipelines.
"""

import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from unittest import mock

from pytest_pulumi_kubernetes.client import Client
from pytest_pulumi_kubernetes.cluster_dns import ADDRESS as DNS
from pytest_pulumi_kubernetes.real_node import RealNode

from infra.base import images
from infra.base.paths import CHECKOUT
from stacks import cluster, composition
from stacks.settings import StackSettings
from stacks.surroundings import Surroundings
from tests import dev
from workloads.lifecycle.base.settings import drill_profile

SPACES = ("mlplatform", "loan-default", "monitoring")
KEEP = {"volume": {"size_gib": 1, "protection": "delete"}}


class Absent:
    """A role that is not there; nothing waits for it."""

    ready = ()


def of(node: RealNode, folder: Path, built: Mapping[images.Target, str], charts: Path | None) -> Callable[[], None]:
    """The program; `built`: the stack's images; `charts`: folder of stand-ins, None where charts are recorded only."""
    chosen = settings(node, charts)

    def run() -> None:
        absent = mock.Mock(build=mock.Mock(return_value=Absent()))
        with mock.patch.multiple(cluster, admission=absent, controllers=absent, _rules=mock.Mock()):
            composition.declare(chosen, Surroundings(stack="dev", folder=folder, image=built.__getitem__))

    return run


def settings(node: RealNode, charts: Path | None) -> StackSettings:
    """The dev stack's file with the drill's durations, and one pod of each server."""
    workload = {
        "server_resources": {"cpu_millicores": 10, "memory_mib": 1024},
        "stage_resources": {"cpu_millicores": 10, "memory_mib": 2560, "ephemeral_storage_mib": 2048},
        "ingestion": {"spark_master": "local[2]", "spark_driver_memory_mib": 768},
    }
    chosen = dev.settings(
        cluster={"kind": "existing-cluster", "kubeconfig": str(node.cluster.kubeconfig_path), "context": "admin"},
        substrate={"kind": "kubernetes", "supply": {"folder": charts and str(charts)}},
        database={"kind": "postgres-on-kubernetes", **KEEP},
        artifact_store={"kind": "versitygw-on-kubernetes", **KEEP},
        online_store={"kind": "redis-on-kubernetes", **KEEP},
        feature_store={"kind": "feast-on-kubernetes", "replicas": 1},
        tracking={"kind": "mlflow-on-kubernetes", "replicas": 1, "workers": 1},
        pipelines={"kind": "kfp-in-process"},
        policy_server={"kind": "opa-on-kubernetes", "replicas": 1},
        serving={"kind": "kserve-on-kubernetes", "max_replicas": 1},
        loan_default=workload,
    )
    return chosen.model_copy(update={"loan_default": drill_profile(chosen.blocks["loan_default"])})


def reserve_little(client: Client) -> None:
    """Let every pod reserve a hundredth of a core: together they reserve more than two. Limits stay."""
    container = (
        'Object.spec.containers{name: each.name, resources: Object.spec.containers.resources{requests: {"cpu": "10m"}}}'
    )
    expression = f"Object{{spec: Object.spec{{containers: object.spec.containers.map(each, {container})}}}}"
    version, name = "admissionregistration.k8s.io/v1", "reserve-little"
    pods = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    spec = {
        "failurePolicy": "Fail",
        "reinvocationPolicy": "Never",
        "matchConstraints": {"resourceRules": [pods]},
        "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}],
    }
    for kind, made in (
        ("MutatingAdmissionPolicy", spec),
        ("MutatingAdmissionPolicyBinding", {"policyName": name}),
    ):
        client.apply({"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": made})


def inside(node: RealNode, folder: Path, command: Sequence[str], **environment: str) -> list[str]:
    """Give the command by which one of this machine runs in the node's network, where the cluster's names are known."""
    names = folder / "resolv.conf"
    names.write_text(f"nameserver {DNS}\n")
    script = 'mount --bind "$1" "$(realpath /etc/resolv.conf)"; shift; cd "$1"; shift; exec "$@"'
    own = ["unshare", "--mount", "sh", "-ec", script, "sh", str(names), str(CHECKOUT)]
    variables = ["env", *(f"{key}={value}" for key, value in environment.items())]
    return [str(word) for word in node.enclosure.command([*own, *variables, *command])]


def within(node: RealNode, folder: Path, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    words = inside(node, folder, command)
    return subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=600)
