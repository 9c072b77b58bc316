"""What a stack file can say about the role cluster; without any provider's SDK, which `local` does not have."""

import ipaddress
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from infra.base.aws_types import Cidr, InstanceType, ReleaseVersion, RetentionDays, RoleArn, SecurityGroupId
from infra.base.names import DnsLabel
from infra.base.settings import LoopbackPort, Settings
from infra.cluster.eks_versions import Addon, Version

SERVICE_PREFIXES = range(12, 25)
PRIVATE = tuple(map(ipaddress.IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))


def _of_services(cidr: str) -> str:
    """Refuse a network that EKS does not take for Services; raises ValueError."""
    network = ipaddress.IPv4Network(cidr)
    if network.prefixlen not in SERVICE_PREFIXES or not any(network.subnet_of(each) for each in PRIVATE):
        raise ValueError(f"{cidr} cannot hold Services: give a /12 to /24 within {', '.join(map(str, PRIVATE))}")
    return cidr


ServiceCidr = Annotated[Cidr, AfterValidator(_of_services)]
"""Source: https://docs.aws.amazon.com/eks/latest/APIReference/API_KubernetesNetworkConfigRequest.html"""

AddonVersion = Annotated[str, Field(pattern=r"^v\d+\.\d+\.\d+-eksbuild\.\d+$")]
ClusterName = Annotated[str, Field(pattern=r"^[0-9A-Za-z][A-Za-z0-9_-]{0,99}$")]
"""Source: https://docs.aws.amazon.com/eks/latest/APIReference/API_CreateCluster.html"""
EVERYWHERE = "0.0.0.0/0"


class SystemNodesSettings(Settings):
    """The nodes that run what every other pool needs first: DNS, controllers, the platform's own servers."""

    instance_types: Annotated[tuple[InstanceType, ...], Field(min_length=1)] = ("m7i.large", "m6i.large", "m7a.large")
    """x86 types of one size, in order of preference."""

    nodes_min: Annotated[int, Field(ge=2, le=100)] = 3
    """Nodes at least: one for each zone keeps the loss of a zone from taking them all."""

    nodes_max: Annotated[int, Field(ge=2, le=100)] = 6
    """Nodes at most."""

    release_version: ReleaseVersion | None = None
    """Release of the nodes' image; None: the newest when the group is made and when the cluster's version changes."""

    disk_gib: Annotated[int, Field(ge=20, le=1000)] = 50
    """GiB of each node's encrypted volume for images and scratch space."""

    @model_validator(mode="after")
    def _ordered(self) -> "SystemNodesSettings":
        if self.nodes_min > self.nodes_max:
            raise ValueError(f"nodes_min {self.nodes_min} is more than nodes_max {self.nodes_max}")
        return self


class EksSettings(Settings):
    """An EKS cluster of the stack's own."""

    kind: Literal["eks"]

    name: ClusterName = "mlplatform"
    """The cluster's name, one in an account's region; fixed, because EKS writes its logs to a group named after it."""

    version: Version = "1.36"
    """Kubernetes' version; one step up at a time."""

    admin_role_arns: Annotated[tuple[RoleArn, ...], Field(min_length=1)]
    """Roles that administer the cluster; the one that runs `pulumi up` must be among them."""

    viewer_role_arns: tuple[RoleArn, ...] = ()
    """Roles that read every object of the cluster, Secrets too: those that preview, and look for drift."""

    public_access_cidrs: tuple[Cidr, ...] = ()
    """Networks that reach the API server over the internet; none: it has a private address only, see
    `private_access_cidrs`."""

    private_access_cidrs: tuple[Cidr, ...] = ()
    """Networks that reach the API server's private address on TCP 443: the VPC's own for a runner in it, those of
    peerings and VPNs. Nodes and pods always reach it."""

    private_access_security_group_ids: tuple[SecurityGroupId, ...] = ()
    """Security groups, of the VPC or of a peered one, whose members reach it: those of runners or bastions."""

    service_cidr: ServiceCidr = "172.20.0.0/16"
    """Addresses of Services; must not overlap the VPC. Fixed for the cluster's life."""

    logs_days: RetentionDays = 365
    """Days that the control plane's logs are kept."""

    addon_versions: Mapping[Addon, AddonVersion] = Field(default_factory=dict)
    """Versions of add-ons that differ from those tried with `version` (`infra/cluster/eks_versions.py`)."""

    deletion_protection: bool = True
    """Whether EKS refuses to delete the cluster; lift it in an `up` of its own before `make down`."""

    system_nodes: SystemNodesSettings = SystemNodesSettings()
    """The nodes that are always there."""

    @model_validator(mode="after")
    def _one_entry_for_each_role(self) -> "EksSettings":
        arns = [*self.admin_role_arns, *self.viewer_role_arns]
        if twice := sorted({arn for arn in arns if arns.count(arn) > 1}):
            raise ValueError(
                f"{', '.join(twice)} is named twice in admin_role_arns and viewer_role_arns, but EKS has one entry for "
                "a role: name each role once, administrators may read everything"
            )
        return self

    @field_validator("public_access_cidrs", "private_access_cidrs")
    @classmethod
    def _not_everybody(cls, cidrs: tuple[str, ...]) -> tuple[str, ...]:
        if EVERYWHERE in cidrs:
            raise ValueError(
                f"{EVERYWHERE} would let the whole internet try; name the networks of those who administer"
            )
        return cidrs

    @property
    def log_group(self) -> str:
        """Where EKS writes the control plane's logs.

        Source: https://docs.aws.amazon.com/eks/latest/userguide/control-plane-logs.html
        """
        return f"/aws/eks/{self.name}/cluster"


class ExistingEksSettings(Settings):
    """An existing EKS cluster, which the stack does not manage, with its nodes and add-ons."""

    kind: Literal["existing-eks"]

    name: ClusterName
    """The cluster's name; it has vpc-cni with network policies, EBS' driver, a default storage class, and the Pod
    Identity agent."""

    service_cidr: ServiceCidr = "172.20.0.0/16"
    """Addresses of its Services."""


EksClusterSettings = Annotated[EksSettings | ExistingEksSettings, Field(discriminator="kind")]
"""Clusters on AWS."""


class KindClusterSettings(Settings):
    """Kubernetes in Docker on this machine, made and deleted by the stack."""

    kind: Literal["kind-cluster"]

    name: DnsLabel = "mlplatform"
    """Name among this machine's kind clusters."""

    node_image: Annotated[str, Field(pattern=r"^\S+@sha256:[0-9a-f]{64}$")] | None = None
    """Image of the nodes by digest, which decides the Kubernetes version; None takes `kind`'s own choice."""

    workers: Annotated[int, Field(ge=0, le=16)] = 0
    """Nodes beside the control plane's, which takes pods when there is no other."""

    registry_port: LoopbackPort | None = 5001
    """Port on 127.0.0.1 of the registry in Docker that `make images` pushes to and nodes pull from; it is started where
    there is none, and stays when the cluster goes. None: nodes pull from registries that they reach by themselves."""


class ExistingClusterSettings(Settings):
    """An existing cluster; the stack manages only the objects that it creates on it."""

    kind: Literal["existing-cluster"]

    kubeconfig: Annotated[str, Field(min_length=1)] = "~/.kube/config"
    """Path of the kubeconfig file; `~` is the home folder."""

    context: Annotated[str, Field(min_length=1)]
    """Context in it. It must be named: whatever context happens to be current could be anybody's cluster."""


PlainClusterSettings = Annotated[KindClusterSettings | ExistingClusterSettings, Field(discriminator="kind")]
"""Clusters that are reached by a kubeconfig, wherever they run."""
