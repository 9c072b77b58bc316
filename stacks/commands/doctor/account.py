"""Probes of the AWS account that a stack is in: quotas and zones, and roles bound to service accounts."""

from collections.abc import Iterable, Mapping

import yaml

from infra.identity.settings import IrsaSettings
from stacks.aws_settings import AwsStack
from stacks.commands import preflight
from stacks.commands.kubectl import Kubectl
from stacks.commands.preflight import Account
from workloads.lifecycle.operations.doctor.probes import Finding

ROLE_ANNOTATION = "eks.amazonaws.com/role-arn"


def quotas(account: Account, settings: AwsStack) -> Finding:
    """What `make preflight` asks; raises AccountError."""
    found = preflight.examine(settings, account)
    if not found:
        return Finding(status="ok", detail="every pool can reach its limit, every add-on is offered")
    blocked = any(each.blocks for each in found)
    text = "; ".join(each.text for each in found)
    return Finding(
        status="failed" if blocked else "warning", detail=text, fix="as said; `make preflight` says it by line"
    )


def bindings(account: Account, cluster: Kubectl, settings: AwsStack, kubeconfig: str, pods: Iterable[str]) -> Finding:
    """Every pod that the program gives a role has it: `pods` are their `namespace/service account`.

    Raises: AccountError, ClusterError.
    """
    wanted = set(pods)
    if isinstance(settings.identity, IrsaSettings):
        # EKS' own add-ons come with the agent, and keep to it.
        bound = annotated(cluster) | account.pod_identities(cluster_name(kubeconfig))
        fix = f"make up: the service account has lost its annotation {ROLE_ANNOTATION}"
    else:
        bound = account.pod_identities(cluster_name(kubeconfig))
        fix = "make up: the association is gone; then restart the pods, which get a role when they start"
    missing = sorted(wanted - set(bound))
    if missing:
        return Finding(status="failed", detail=f"without their role: {', '.join(missing)}", fix=fix)
    return Finding(status="ok", detail=f"{len(wanted)} service accounts have their roles")


def annotated(cluster: Kubectl) -> frozenset[str]:
    """Service accounts whose tokens stand for a role."""
    found = cluster.get("serviceaccounts", "--all-namespaces")
    return frozenset(
        f"{each['metadata']['namespace']}/{each['metadata']['name']}"
        for each in found
        if ROLE_ANNOTATION in (each["metadata"].get("annotations") or {})
    )


def cluster_name(kubeconfig: str) -> str:
    """Name of the EKS cluster that the stack's kubeconfig gets tokens for."""
    user: Mapping[str, Mapping[str, list[str]]] = yaml.safe_load(kubeconfig)["users"][0]["user"]
    arguments = user["exec"]["args"]
    return arguments[arguments.index("--cluster-name") + 1]
