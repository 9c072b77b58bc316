"""`python -m stacks.commands.preflight --stack NAME`: what its account must allow before a stack can reach its limits.

Quotas, instance types that are sold in the zones, add-ons' versions, nodes' images, the order of an upgrade, and the
hosted zone of the servers' hosts. Asks, and changes nothing; whatever is asked of AWS goes through `Account`, so that
tests need none.
"""

import argparse
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from infra.cluster.eks_versions import ADDONS
from infra.cluster.settings import EksClusterSettings, EksSettings
from infra.exposure.settings import AwsExposureSettings, AwsGatewaySettings
from infra.gpu_node_pool.gpu_types import GPU_TYPES
from infra.gpu_node_pool.settings import (
    EksGpuNodePoolSettings,
    KarpenterGpuNodesSettings,
    ManagedGpuNodesSettings,
    NoGpuNodesSettings,
)
from infra.node_pool.settings import Capacity, KarpenterNodesSettings, NodePoolSettings
from stacks.aws_settings import AwsStack
from stacks.commands import upgrades
from stacks.commands.aws_account import AccountError, AwsCli
from stacks.settings import StackFileError, read_on_aws

QUOTAS: Mapping[tuple[str, str], tuple[str, str]] = {
    ("standard", "on-demand"): ("L-1216C47A", "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances"),
    ("standard", "spot"): ("L-34B43A08", "All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests"),
    ("g", "on-demand"): ("L-DB2E81BA", "Running On-Demand G and VT instances"),
    ("g", "spot"): ("L-3819A6DF", "All G and VT Spot Instance Requests"),
    ("p", "on-demand"): ("L-417A185B", "Running On-Demand P instances"),
    ("p", "spot"): ("L-7212CCBC", "All P Spot Instance Requests"),
}
"""Family and way of buying to the code and name of the quota, which counts vCPUs.
Source: https://docs.aws.amazon.com/ec2/latest/instancetypes/ec2-instance-quotas.html"""

WAYS: Mapping[Capacity, tuple[str, ...]] = {
    "on-demand": ("on-demand",),
    "spot": ("spot",),
    "spot-then-on-demand": ("spot", "on-demand"),
}
_TYPE = re.compile(r"(?P<family>[a-z]+)[0-9][a-z0-9-]*\.(?:(?P<times>[0-9]*)x)?(?P<size>medium|large)")
_FAMILIES = {"standard": set("acdhimrtz"), "g": {"g", "gr", "vt"}, "p": {"p"}}
SHOWN = 3


class Account(upgrades.Versions, Protocol):
    """What is asked about an account's region."""

    def quota(self, code: str) -> float:
        """The value of a quota of EC2; raises AccountError."""

    def zones_of(self, instance_types: Sequence[str]) -> Mapping[str, frozenset[str]]:
        """Type to the zones that it is sold in, without those that it is sold nowhere in; raises AccountError."""

    def addon_versions(self, kubernetes: str) -> Mapping[str, frozenset[str]]:
        """Add-on of EKS to the versions that are offered for a version of Kubernetes; raises AccountError."""

    def pod_identities(self, cluster: str) -> frozenset[str]:
        """`namespace/service account` of those that a role is bound to on an EKS cluster; raises AccountError."""

    def hosted_zone(self, zone_id: str) -> str:
        """Domain of a hosted zone of Route 53, e.g. `example.org`; raises AccountError."""

    def service_linked_roles(self) -> frozenset[str]:
        """Services that have a role of their own in the account, e.g. `spot.amazonaws.com`; raises AccountError."""


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Nodes that a stack may start."""

    name: str

    instance_types: tuple[str, ...]

    ways: tuple[str, ...]
    """`spot`, `on-demand` or both, the preferred one first."""

    zones: tuple[str, ...]

    vcpus: int
    """vCPUs at the pool's limit, on the types with the fewest."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something that keeps a pool from its limit, or people from the servers."""

    blocks: bool
    """Whether the part cannot do its work; else only something worth knowing."""

    text: str
    """What is wrong, what would be right, and what to do."""


def vcpus(instance_type: str) -> int:
    """Number of vCPUs of an instance, which its size tells for the families in `QUOTAS`; raises ValueError for others.

    Source: https://docs.aws.amazon.com/ec2/latest/instancetypes/instance-type-names.html
    """
    found = _TYPE.fullmatch(instance_type)
    if found is None:
        raise ValueError(f"{instance_type!r} is no instance type whose size is known; give e.g. `m7i.xlarge`")
    if found["times"] is not None:
        return 4 * int(found["times"] or 1)
    return {"medium": 1, "large": 2}[found["size"]]


def family(instance_type: str) -> str:
    """`standard`, `g` or `p`; raises ValueError for a family whose quota is not known here."""
    letters = re.match("[a-z]*", instance_type)
    for name, members in _FAMILIES.items():
        if letters and letters[0] in members:
            return name
    raise ValueError(f"{instance_type!r} is of a family without a known quota; give one of {', '.join(_FAMILIES)}")


def pools(
    cluster: EksClusterSettings, cpu: NodePoolSettings, gpu: EksGpuNodePoolSettings, zones: Sequence[str]
) -> Iterator[Pool]:
    """The pools of a stack on AWS, whose network has these zones."""
    everywhere = tuple(zones)
    if isinstance(cluster, EksSettings):
        system = cluster.system_nodes
        most = system.nodes_max * max(map(vcpus, system.instance_types))
        yield Pool(
            name="cluster.system_nodes",
            instance_types=system.instance_types,
            ways=("on-demand",),
            zones=everywhere,
            vcpus=most,
        )
    limit = (
        cpu.cpus_max if isinstance(cpu, KarpenterNodesSettings) else cpu.nodes_max * max(map(vcpus, cpu.instance_types))
    )
    yield Pool(
        name="node_pool",
        instance_types=cpu.instance_types,
        ways=WAYS[cpu.capacity],
        zones=cpu.zones or everywhere,
        vcpus=limit,
    )
    if not isinstance(gpu, NoGpuNodesSettings):
        yield Pool(
            name="gpu_node_pool",
            instance_types=gpu.instance_types,
            ways=WAYS[gpu.capacity],
            zones=gpu.zones or everywhere,
            vcpus=_gpu_vcpus(gpu),
        )


def pools_of(settings: AwsStack) -> list[Pool]:
    """The pools of a whole stack file."""
    return list(pools(settings.cluster, settings.node_pool, settings.gpu_node_pool, settings.network.zones))


def _gpu_vcpus(gpu: ManagedGpuNodesSettings | KarpenterGpuNodesSettings) -> int:
    return min(vcpus(each) * -(-gpu.gpus_max // GPU_TYPES[each].gpus) for each in gpu.instance_types)


def findings(asked: Iterable[Pool], account: Account) -> list[Finding]:
    """What the account does not allow; raises AccountError when it cannot be asked."""
    every = list(asked)
    sold = account.zones_of(sorted({each for pool in every for each in pool.instance_types}))
    return [found for pool in every for found in _unsold(pool, sold)] + list(_short(every, account))


def examine(settings: AwsStack, account: Account) -> list[Finding]:
    """What the account does not allow of a whole stack file; raises AccountError when it cannot be asked."""
    return [
        *findings(pools_of(settings), account),
        *unoffered(settings.cluster, account),
        *(Finding(blocks=True, text=each) for each in upgrades.out_of_order(settings, account)),
        *(Finding(blocks=True, text=each) for each in upgrades.without_image(settings, account)),
        *unlinked(settings, account),
        *out_of_reach(settings.exposure, account),
    ]


def unoffered(cluster: EksClusterSettings, account: Account) -> list[Finding]:
    """Add-ons in versions that EKS does not offer any more; raises AccountError when it cannot be asked."""
    if not isinstance(cluster, EksSettings):
        return []
    offered = account.addon_versions(cluster.version)
    wanted = {**ADDONS[cluster.version], **cluster.addon_versions}
    return [
        Finding(
            blocks=True,
            text=f"cluster.addon_versions.{addon}: {version} is not offered for Kubernetes {cluster.version}: give one "
            f"of {', '.join(sorted(offered.get(addon, ()), reverse=True)[:SHOWN]) or 'none, it is not known there'}",
        )
        for addon, version in wanted.items()
        if version not in offered.get(addon, ())
    ]


def unlinked(settings: AwsStack, account: Account) -> list[Finding]:
    """Services that start instances but have no role for it; the stack's own roles may not make one.

    Raises: AccountError when it cannot be asked. Source: https://karpenter.sh/docs/troubleshooting/
    """
    every = pools_of(settings)
    needed = {
        "autoscaling.amazonaws.com": [each.name for each in every if each.name == "cluster.system_nodes"],
        "spot.amazonaws.com": [each.name for each in every if "spot" in each.ways],
    }
    there = account.service_linked_roles()
    return [
        Finding(
            blocks=True,
            text=f"{' and '.join(users)}: {service} has no service-linked role in the account yet: "
            f"`aws iam create-service-linked-role --aws-service-name {service}`",
        )
        for service, users in needed.items()
        if users and service not in there
    ]


def out_of_reach(exposure: AwsExposureSettings, account: Account) -> Iterator[Finding]:
    """What keeps people from the servers; raises AccountError when it cannot be asked."""
    if not isinstance(exposure, AwsGatewaySettings):
        return
    zone = account.hosted_zone(exposure.zone_id)
    if exposure.domain != zone and not exposure.domain.endswith(f".{zone}"):
        yield Finding(
            blocks=True,
            text=f"exposure.domain: {exposure.domain} is not in {zone}, the domain of exposure.zone_id "
            f"{exposure.zone_id}: give a domain below {zone}, or the zone of the domain",
        )


def _unsold(pool: Pool, sold: Mapping[str, frozenset[str]]) -> Iterator[Finding]:
    offers = {each: sold.get(each, frozenset()) & set(pool.zones) for each in pool.instance_types}
    zones = ", ".join(pool.zones)
    none = [each for each, found in offers.items() if not found]
    if none:
        yield Finding(
            blocks=len(none) == len(offers),
            text=f"{pool.name}.instance_types: {', '.join(none)} is sold in none of {zones}: give types that are",
        )
    bare = [zone for zone in pool.zones if not any(zone in found for found in offers.values())]
    if bare and len(none) < len(offers):
        yield Finding(
            blocks=False,
            text=f"{pool.name}.zones: none of its types is sold in {', '.join(bare)}: give a type that is, or leave "
            "the zone out",
        )


def _short(every: Sequence[Pool], account: Account) -> Iterator[Finding]:
    """Quotas that all pools together exceed; a pool that buys in two ways may do so in either."""
    keys = sorted({(family(each), way) for pool in every for each in pool.instance_types for way in pool.ways})
    for kind, way in keys:
        code, name = QUOTAS[kind, way]
        users = [pool for pool in every if way in pool.ways and kind in map(family, pool.instance_types)]
        needed, allowed = sum(pool.vcpus for pool in users), account.quota(code)
        if allowed >= needed:
            continue
        stands_in = way == "spot" and all("on-demand" in pool.ways for pool in users)
        yield Finding(
            blocks=not stands_in,
            text=(
                f"{' and '.join(pool.name for pool in users)}: {needed} vCPUs at the limit, but the quota {name!r} "
                f"({code}) is {allowed:g}: `aws service-quotas request-service-quota-increase --service-code ec2 "
                f"--quota-code {code} --desired-value {needed}`, or lower limits"
                + ("; until then on-demand capacity stands in" if stands_in else "")
            ),
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit with 0 when every pool can do its work, 1 when one cannot, 2 when that cannot be told."""
    parser = argparse.ArgumentParser(prog="python -m stacks.commands.preflight", description=__doc__)
    parser.add_argument("--stack", required=True)
    parser.add_argument("--aws", default="aws", help="the program that asks AWS; default: the one on PATH")
    given = parser.parse_args(arguments)
    try:
        settings = read_on_aws(given.stack)
        if settings is None:
            return 0
        found = examine(settings, AwsCli(region=settings.substrate.region, program=given.aws))
    except (StackFileError, AccountError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    for each in found:
        sys.stdout.write(f"{'BLOCKED' if each.blocks else 'note'}  {each.text}\n")
    if not found:
        sys.stdout.write("quotas, zones, versions, images: every pool can reach its limit, and people the servers\n")
    return 1 if any(each.blocks for each in found) else 0


if __name__ == "__main__":
    sys.exit(main())
