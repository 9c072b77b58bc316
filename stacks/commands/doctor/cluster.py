"""Probes of a stack's cluster: admission, identities, GPUs."""

from collections.abc import Iterator, Mapping
from typing import Any

from infra.base import names
from infra.gpu_node_pool.settings import GpuNodePoolSettings, LabelledNodesSettings, NoGpuNodesSettings
from stacks.aws_settings import AwsStack
from stacks.cluster_settings import ClusterStack
from stacks.commands.kubectl import LABEL, ClusterError, Kubectl
from stacks.settings import KubernetesStack
from workloads.lifecycle.operations.doctor.probes import Finding

WEBHOOK = "gatekeeper-validating-webhook-configuration"
"""Made by Gatekeeper's chart."""
RULE = "K8S-19"
FORBIDDEN = f"""\
apiVersion: v1
kind: ConfigMap
metadata: {{name: mlplatform-doctor, namespace: {names.PLATFORM}}}
data: {{api-key: a-key-that-opens-nothing}}
"""
"""Breaks `RULE`, and nothing else that the cluster would refuse; it is only tried."""
REFUSED = "denied the request"
GPU = "nvidia.com/gpu"
WORKLOADS = ("deployments", "statefulsets", "cronjobs", "jobs")
SHOWN = 5
ENDED = ("Succeeded", "Failed")


def admission(cluster: Kubectl, settings: ClusterStack) -> Finding:
    """The webhook answers, refuses what a rule forbids, and is as strict as the stack file says while it is away.

    Raises: ClusterError.
    """
    wanted = settings.admission.failure_policy
    found = [each for each in cluster.get("validatingwebhookconfigurations") if each["metadata"]["name"] == WEBHOOK]
    if not found:
        return _failed(
            f"there is no {WEBHOOK}: nobody judges what is put into the cluster", "make up: Gatekeeper is gone"
        )
    policies = {each.get("failurePolicy") for each in found[0]["webhooks"] if each["name"].startswith("validation")}
    if policies != {wanted}:
        said = ", ".join(sorted(map(str, policies)))
        return _failed(f"failurePolicy is {said}, the stack file asks for {wanted}", "make up: the webhook was changed")
    if settings.policies.level(RULE) != "mandatory":
        return Finding(status="unknown", detail=f"{RULE}, which would be tried, is advisory in this stack")
    try:
        cluster.run("apply", "--dry-run=server", "--filename=-", given=FORBIDDEN)
    except ClusterError as error:
        if REFUSED in error.said and "gatekeeper" in error.said:
            return Finding(status="ok", detail=f"what {RULE} forbids is refused; failurePolicy {wanted}")
        raise
    return _failed(
        f"what {RULE} forbids was let in (tried only)",
        "kubectl get constraints, and the log of gatekeeper-controller-manager: the webhook does not answer, or its "
        "constraints are gone (make up)",
    )


def identity(cluster: Kubectl, settings: ClusterStack) -> Finding:
    """Workloads run as service accounts of their own, or without a token, and every Secret that they name is there.

    A server that calls no store has no account: it runs as `default` without a token.
    Raises: ClusterError.
    """
    ours = (names.PLATFORM, *(each.name for each in settings.definitions.values()))
    accounts, secrets = _named(cluster, "serviceaccounts"), _named(cluster, "secrets")
    wrong, count = [], 0
    for each in (found for space in ours for found in _workloads(cluster, space)):
        space, name = each["metadata"]["namespace"], f"{each['kind']} {each['metadata']['name']}"
        count += 1
        account = next(_values(each["spec"], "serviceAccountName"), "default")
        anonymous = account == "default" and False in _values(each["spec"], "automountServiceAccountToken")
        if not anonymous and (account == "default" or (space, account) not in accounts):
            wrong.append(f"{name} runs as {space}/{account}, which is {'nobody' if account == 'default' else 'gone'}")
        wrong += [
            f"{name} needs the Secret {space}/{secret}" for secret in _secrets(each) if (space, secret) not in secrets
        ]
    if wrong:
        return _failed(
            "; ".join([*wrong[:SHOWN], *([f"{len(wrong) - SHOWN} more"] if len(wrong) > SHOWN else [])]), "make up"
        )
    if not count:
        return _failed(f"nothing of the stack runs in {' or '.join(ours)}", "make up")
    return Finding(
        status="ok",
        detail=f"{count} workloads run as their own service accounts or without a token, with the Secrets they name",
    )


def _workloads(cluster: Kubectl, namespace: str) -> list[Mapping[str, Any]]:
    return cluster.get(WORKLOADS, f"--namespace={namespace}", f"--selector={LABEL}")


def _named(cluster: Kubectl, kind: str) -> set[tuple[str, str]]:
    """Namespace and name, without contents."""
    columns = "--output=custom-columns=:.metadata.namespace,:.metadata.name"
    lines = cluster.run("get", kind, "--all-namespaces", "--no-headers", columns).splitlines()
    return {(space, name) for space, name in (line.split() for line in lines)}


def _secrets(workload: Mapping[str, Any]) -> set[str]:
    """Names of the Secrets that its pods cannot do without."""
    references = [*_values(workload["spec"], "secretKeyRef"), *_values(workload["spec"], "secretRef")]
    mounted = (each["secretName"] for each in _values(workload["spec"], "secret") if not each.get("optional"))
    return {each["name"] for each in references if not each.get("optional")} | set(mounted)


def _values(found: Any, key: str) -> Iterator[Any]:
    """Every value of a key, however deep."""
    if isinstance(found, Mapping):
        if key in found:
            yield found[key]
        for each in found.values():
            yield from _values(each, key)
    elif isinstance(found, list):
        for each in found:
            yield from _values(each, key)


def gpus(cluster: Kubectl, settings: KubernetesStack | AwsStack) -> Finding:
    """What pods ask for, against what the nodes have and what the pool may grow to.

    Raises: ClusterError.
    """
    pool = settings.gpu_node_pool
    nodes = {each["metadata"]["name"]: _count(each["status"].get("allocatable")) for each in cluster.get("nodes")}
    running = [each for each in cluster.get("pods", "--all-namespaces") if each["status"].get("phase") not in ENDED]
    asked = {_full(each): sum(map(_count, _limits(each))) for each in running}
    wanted, there = sum(asked.values()), sum(nodes.values())
    limit = _limit(pool, there)
    bare = [name for name in _promised(pool) if not nodes.get(name)]
    if bare:
        return _failed(
            f"{', '.join(bare)} should have GPUs and offers none",
            "kubectl describe node: is the driver there? see the log of the device plugin on it",
        )
    if wanted > limit:
        most = ", ".join(
            sorted((name for name, number in asked.items() if number), key=lambda name: -asked[name])[:SHOWN]
        )
        return _failed(
            f"{wanted} GPUs are asked for ({most}), and there are {limit} at most",
            "raise gpu_node_pool.gpus_max, add nodes, or end what need not run",
        )
    if not limit:
        return Finding(status="ok", detail="no GPU is there, and none is asked for")
    return Finding(status="ok", detail=f"{wanted} of {there} GPUs are asked for; there can be {limit}")


def _limit(pool: GpuNodePoolSettings | Any, there: int) -> int:
    return there if isinstance(pool, NoGpuNodesSettings | LabelledNodesSettings) else max(there, int(pool.gpus_max))


def _promised(pool: Any) -> list[str]:
    return pool.nodes if isinstance(pool, LabelledNodesSettings) else []


def _limits(pod: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [each.get("resources", {}).get("limits") or {} for each in pod["spec"]["containers"]]


def _count(resources: Mapping[str, Any] | None) -> int:
    return int((resources or {}).get(GPU, 0))


def _full(found: Mapping[str, Any]) -> str:
    return f"{found['metadata']['namespace']}/{found['metadata']['name']}"


def _failed(detail: str, fix: str) -> Finding:
    return Finding(status="failed", detail=detail, fix=fix)
