"""What the stack file of a stack on AWS says, and what of it must fit together before AWS is asked."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator

from infra.artifact_store.settings import S3Settings
from infra.autoscaler.settings import AutoscalerSettings
from infra.base import aws_offers
from infra.base.aws_types import FIXED_NAMES, AccountId, Region, iam_name, overlaps, partition_of, region_of
from infra.base.names import DnsLabel
from infra.base.settings import Settings
from infra.base.supply import Supply
from infra.budget.settings import AwsBudgetSettings, BudgetSettings
from infra.ci_access.settings import CiAccessSettings, GithubOidcSettings
from infra.cluster.settings import EksClusterSettings, EksSettings
from infra.database.settings import DatabaseInstanceClass, RdsPostgresSettings
from infra.exposure.settings import AwsExposureSettings
from infra.gpu_node_pool.gpu_types import GPU_TYPES
from infra.gpu_node_pool.settings import EksGpuNodePoolSettings, NoGpuNodesSettings
from infra.identity.settings import IrsaSettings, PodIdentitySettings
from infra.network.settings import NetworkSettings
from infra.node_pool.settings import NodePoolSettings
from infra.online_store.settings import CacheNodeType, ElastiCacheSettings
from infra.pipelines.settings import AwsPipelinesSettings, KfpOnAwsSettings
from infra.registry.settings import RegistrySettings
from stacks.cluster_settings import ClusterStack

CI_ROLE = "arn:{partition}:iam::{account}:role/{names}/{name}"
"""A role that `ci_access` makes."""

SERVICE_CIDRS = ("172.20.0.0/16", "10.100.0.0/16")
"""What EKS itself takes for Services.
Source: https://docs.aws.amazon.com/eks/latest/userguide/network-reqs.html"""


class AwsSubstrateSettings(Settings):
    """A region of one AWS account, and a Kubernetes cluster in it."""

    kind: Literal["aws"]

    account_id: AccountId
    """The account; another one is refused, whatever credentials the shell has."""

    region: Region
    """Where everything is, e.g. `eu-west-1`; zones are of this region."""

    name: DnsLabel
    """Value of the tag `mlplatform:stack` on everything: bills are split and leftovers found by it."""

    names: Annotated[DnsLabel, Field(max_length=20)] = FIXED_NAMES
    """What fixed names in the account begin with: the path of roles, CI's roles, and the repositories of images. A
    second platform in an account needs a value of its own; changing it replaces them."""

    tags: Mapping[
        Annotated[str, Field(pattern=r"^[\w .=+\-@/]+$", max_length=128)],
        Annotated[str, Field(pattern=r"^[\w .:=+\-@/]*$", max_length=256)],
    ] = Field(default_factory=dict)
    """Further tags on everything, e.g. of a cost centre; keys with a colon are the platform's and AWS' own.
    Source: https://docs.aws.amazon.com/tag-editor/latest/userguide/best-practices-and-strats.html"""

    supply: Supply = Supply()
    """Where others' images, charts and manifests come from."""


class AwsStack(ClusterStack):
    """The stack file of a stack on AWS: what `ClusterStack` holds, and where it stands."""

    substrate: AwsSubstrateSettings
    network: NetworkSettings
    cluster: EksClusterSettings
    autoscaler: AutoscalerSettings
    node_pool: NodePoolSettings
    gpu_node_pool: EksGpuNodePoolSettings
    registry: RegistrySettings
    budget: BudgetSettings
    ci_access: CiAccessSettings
    exposure: AwsExposureSettings
    identity: Annotated[PodIdentitySettings | IrsaSettings, Field(discriminator="kind")]
    database: RdsPostgresSettings
    artifact_store: S3Settings
    online_store: ElastiCacheSettings
    pipelines: AwsPipelinesSettings

    @property
    def on_aws(self) -> Self:
        """The stack, for commands about an account; None in a stack without one."""
        return self

    @property
    def region(self) -> str:
        """The region that the stack is in."""
        return self.substrate.region

    @property
    def kubernetes_version(self) -> str | None:
        """The version of a cluster that the stack makes."""
        return self.cluster.version if isinstance(self.cluster, EksSettings) else None

    @model_validator(mode="after")
    def _one_region(self) -> "AwsStack":
        region = self.substrate.region
        if region not in aws_offers.regions():
            raise ValueError(
                f"substrate.region {region} is no region of AWS: give one of {', '.join(sorted(aws_offers.regions()))}"
            )
        for zone in self.network.zones:
            if region_of(zone) != region:
                raise ValueError(
                    f"network names the zone {zone}, not in substrate.region {region}: give zones such as {region}a"
                )
        if self.artifact_store.replica_region == region:
            raise ValueError(
                f"artifact_store.replica_region {region} is the stack's own region: give another one, or none"
            )
        replica = self.artifact_store.replica_region
        if replica is not None and partition_of(replica) != partition_of(region):
            raise ValueError(
                f"artifact_store.replica_region {replica} is in another partition than substrate.region {region}, "
                f"across which S3 copies nothing: give a region of {partition_of(region)}, or none"
            )
        certificate = getattr(getattr(self.exposure, "certificate", None), "arn", None)
        if certificate and certificate.split(":")[3:5] != [region, self.substrate.account_id]:
            raise ValueError(
                f"exposure.certificate.arn {certificate} is not in substrate.region {region} of the account "
                f"{self.substrate.account_id}, where the load balancer is: give one of there, or none"
            )
        return self

    @model_validator(mode="after")
    def _pools_are_in_the_networks_zones(self) -> "AwsStack":
        for role in ("node_pool", "gpu_node_pool"):
            for zone in getattr(getattr(self, role), "zones", ()):
                if zone not in self.network.zones:
                    raise ValueError(
                        f"{role}.zones names {zone}, in which the network has no subnet: "
                        f"give some of {', '.join(self.network.zones)}"
                    )
        return self

    @model_validator(mode="after")
    def _services_are_in_the_partition(self) -> "AwsStack":
        """Source: https://docs.aws.amazon.com/govcloud-us/latest/UserGuide/using-services.html."""
        if partition_of(self.substrate.region) == "aws-us-gov" and isinstance(self.budget, AwsBudgetSettings):
            raise ValueError(
                f"budget.kind aws-budget is not offered in {self.substrate.region}: give `budget: {{kind: none}}`, "
                "and watch costs in the commercial account that pays for this one"
            )
        return self

    @model_validator(mode="after")
    def _arns_are_of_the_partition(self) -> "AwsStack":
        """An ARN of another partition names nothing that this one knows; AWS says so only in the update."""
        wanted = partition_of(self.substrate.region)
        for key, value in _texts(self.model_dump(), ""):
            if value.startswith("arn:") and value.split(":")[1] != wanted:
                raise ValueError(
                    f"{key} {value} is of another partition than substrate.region {self.substrate.region}: "
                    f"its ARN begins with arn:{wanted}:"
                )
        return self

    @model_validator(mode="after")
    def _types_are_sold_in_the_region(self) -> "AwsStack":
        for key, offer, types, allowed in self._types():
            if said := aws_offers.unsold(offer, self.substrate.region, types, allowed):
                raise ValueError(f"{key} {said}")
        return self

    def _types(self) -> Iterator[tuple[str, aws_offers.Offer, tuple[str, ...], Iterable[str] | None]]:
        """Every setting that names types of AWS, with what it takes at all; None: whatever is sold."""
        if isinstance(self.cluster, EksSettings):
            yield "cluster.system_nodes.instance_types", "instances", self.cluster.system_nodes.instance_types, None
        yield "node_pool.instance_types", "instances", self.node_pool.instance_types, None
        if not isinstance(self.gpu_node_pool, NoGpuNodesSettings):
            yield "gpu_node_pool.instance_types", "instances", self.gpu_node_pool.instance_types, GPU_TYPES
        yield "database.instance_class", "databases", (self.database.instance_class,), get_args(DatabaseInstanceClass)
        if isinstance(self.pipelines, KfpOnAwsSettings):
            chosen = self.pipelines.mysql.instance_class
            yield "pipelines.mysql.instance_class", "databases", (chosen,), get_args(DatabaseInstanceClass)
        yield "online_store.node_type", "caches", (self.online_store.node_type,), get_args(CacheNodeType)

    @model_validator(mode="after")
    def _addresses_are_apart(self) -> "AwsStack":
        if overlaps(self.network.cidr, self.cluster.service_cidr):
            free = next(each for each in SERVICE_CIDRS if not overlaps(self.network.cidr, each))
            raise ValueError(
                f"cluster.service_cidr {self.cluster.service_cidr} overlaps network.cidr {self.network.cidr}: "
                f"give Services another network, e.g. {free}"
            )
        return self

    @model_validator(mode="after")
    def _pools_have_their_autoscaler(self) -> "AwsStack":
        prefix = {"karpenter": "karpenter-", "cluster-autoscaler": "managed-"}[self.autoscaler.kind]
        for role in ("node_pool", "gpu_node_pool"):
            kind = getattr(self, role).kind
            if kind != "no-gpu-nodes" and not kind.startswith(prefix):
                raise ValueError(
                    f"{role}.kind {kind} is not resized by autoscaler.kind {self.autoscaler.kind}: "
                    f"give a kind `{prefix}…`, or the other autoscaler"
                )
        return self

    @model_validator(mode="after")
    def _gpus_can_be_asked_for(self) -> "AwsStack":
        none = isinstance(self.gpu_node_pool, NoGpuNodesSettings)
        quota = self.namespaces.workload_quota.gpus
        if not none and quota == 0:
            raise ValueError(
                "gpu_node_pool has GPUs, but namespaces.workload_quota.gpus 0 lets no pod ask for one: "
                "give at least 1, or gpu_node_pool.kind no-gpu-nodes"
            )
        for name, block in self.blocks.items():
            if none and block.training.on_gpu:
                raise ValueError(
                    f"{name}.training.estimator.device cuda needs a GPU, but gpu_node_pool.kind is no-gpu-nodes: "
                    "give a pool, or the device cpu"
                )
        return self

    @model_validator(mode="after")
    def _pods_reach_the_apis_that_they_call(self) -> "AwsStack":
        needed = {"secretsmanager": "the jobs that make databases read the master's password by it"}
        if isinstance(self.identity, IrsaSettings):
            needed["sts"] = "identity.kind irsa exchanges pods' tokens by it"
        missing = {name: why for name, why in needed.items() if name not in self.network.endpoints}
        if missing:
            reasons = "; ".join(f"{name}: {why}" for name, why in missing.items())
            create = "create the endpoint with private DNS and " if self.network.kind == "existing-vpc" else ""
            raise ValueError(
                f"network.endpoints lacks {', '.join(missing)}, but pods reach AWS' APIs inside the VPC only "
                f"({reasons}): {create}add `endpoints: [{', '.join([*self.network.endpoints, *missing])}]` "
                "to `mlplatform:network`"
            )
        return self

    @model_validator(mode="after")
    def _somebody_reaches_the_api_server(self) -> "AwsStack":
        cluster = self.cluster
        if isinstance(cluster, EksSettings) and not (
            cluster.public_access_cidrs or cluster.private_access_cidrs or cluster.private_access_security_group_ids
        ):
            raise ValueError(
                "cluster admits nobody to its API server: `make up` could put nothing into it. To run it in the VPC, "
                f"add `private_access_cidrs: [{self.network.cidr}]` to `mlplatform:cluster`; to run it elsewhere, "
                "add `public_access_cidrs: [<your network>]`"
            )
        return self

    @model_validator(mode="after")
    def _ci_enters_the_cluster(self) -> "AwsStack":
        if not isinstance(self.ci_access, GithubOidcSettings) or not isinstance(self.cluster, EksSettings):
            return self
        for name, does, key in (
            ("ci-up", "updates the stack", "admin_role_arns"),
            ("ci-preview", "looks for drift", "viewer_role_arns"),
        ):
            partition = partition_of(self.substrate.region)
            names = self.substrate.names
            role = CI_ROLE.format(
                partition=partition, account=self.substrate.account_id, names=names, name=iam_name(names, name)
            )
            if role not in getattr(self.cluster, key):
                raise ValueError(
                    f"ci_access makes the role {role}, which {does} but may not enter the cluster: "
                    f"add it to cluster.{key}"
                )
        return self


def _texts(value: object, key: str) -> Iterator[tuple[str, str]]:
    """Every text in a stack's settings, with its key."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict):
        for name, each in value.items():
            yield from _texts(each, f"{key}.{name}".lstrip("."))
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _texts(each, key)
