"""What must hold before EKS moves to the version that a stack file names, and whether nodes' images are there."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from infra.cluster.settings import EksSettings
from stacks.aws_settings import AwsStack


class Versions(Protocol):
    """What is asked about a cluster of an account and about AWS's images."""

    def cluster_version(self, name: str) -> str | None:
        """Kubernetes' version of a cluster, None where there is none; raises AccountError."""

    def node_versions(self, cluster: str) -> Mapping[str, str]:
        """Managed node group to its version of Kubernetes; raises AccountError."""

    def upgrade_errors(self, cluster: str, version: str) -> list[str]:
        """What EKS has found that keeps a cluster from a version, one text each; raises AccountError."""

    def has_parameter(self, path: str) -> bool:
        """Whether AWS publishes a parameter, such as the id of an image; raises AccountError."""


def out_of_order(settings: AwsStack, account: Versions) -> Iterator[str]:
    """What keeps the cluster from the version of the stack file; raises AccountError when it cannot be asked.

    Source: https://docs.aws.amazon.com/eks/latest/userguide/update-cluster.html
    """
    cluster = settings.cluster
    if not isinstance(cluster, EksSettings):
        return
    there = account.cluster_version(cluster.name)
    if there is None or there == cluster.version:
        return
    steps = _minor(cluster.version) - _minor(there)
    if steps < 0:
        yield f"cluster.version: the cluster has {there}, and EKS takes none back to {cluster.version}: give {there}"
        return
    if steps > 1:
        following = f"1.{_minor(there) + 1}"
        yield (
            f"cluster.version: the cluster has {there}, and EKS goes one version up at a time: give {following}, run "
            f"`make up`, then {cluster.version}"
        )
        return
    behind = {name: version for name, version in account.node_versions(cluster.name).items() if version != there}
    if behind:
        listed = ", ".join(f"{name} ({version})" for name, version in sorted(behind.items()))
        yield f"cluster.version: the node groups {listed} must reach {there} first: run `make up` with version {there}"
    for text in account.upgrade_errors(cluster.name, cluster.version):
        yield f"cluster.version: EKS reports for {cluster.version}: {text}; mend it, EKS looks again within a day"


def without_image(settings: AwsStack, account: Versions) -> Iterator[str]:
    """Pinned images of nodes that AWS does not publish for the cluster's version; raises AccountError.

    Sources: https://docs.aws.amazon.com/eks/latest/userguide/retrieve-ami-id.html,
    https://docs.aws.amazon.com/eks/latest/userguide/retrieve-ami-id-bottlerocket.html
    """
    cluster = settings.cluster
    if not isinstance(cluster, EksSettings):
        return
    pools: list[tuple[str, Any, bool]] = [
        ("cluster.system_nodes", cluster.system_nodes, False),
        ("node_pool", settings.node_pool, False),
        ("gpu_node_pool", settings.gpu_node_pool, True),
    ]
    for role, pool, gpu in pools:
        for key in ("ami_alias", "release_version"):
            pinned = getattr(pool, key, None)
            if pinned is None:
                continue
            path = image(pinned, getattr(pool, "system", "al2023"), cluster.version, gpu=gpu)
            if not account.has_parameter(path):
                yield (
                    f"{role}.{key}: AWS publishes no image {pinned} for Kubernetes {cluster.version} (no parameter "
                    f"{path}): give a later release"
                )


def image(pinned: str, system: str, kubernetes: str, *, gpu: bool) -> str:
    """The parameter in which AWS publishes the id of an image for x86.

    `pinned`: Karpenter's alias `al2023@v20260709`, or a group's release: `1.36.2-20260709` of Amazon Linux, `1.20.0` or
    `1.20.0-fcf71a47` of Bottlerocket.
    """
    if "@" in pinned:
        system, _, pinned = pinned.partition("@")
    if system == "bottlerocket":
        release = re.sub("-[0-9a-f]+$", "", pinned.removeprefix("v"))
        variant = f"aws-k8s-{kubernetes}{'-nvidia' if gpu else ''}"
        return f"/aws/service/bottlerocket/{variant}/x86_64/{release}/image_id"
    variant, date = "nvidia" if gpu else "standard", pinned.rpartition("-")[2].removeprefix("v")
    folder = f"/aws/service/eks/optimized-ami/{kubernetes}/amazon-linux-2023/x86_64/{variant}"
    return f"{folder}/amazon-eks-node-al2023-x86_64-{variant}-{kubernetes}-v{date}/image_id"


def _minor(version: str) -> int:
    return int(version.split(".")[1])
