"""A region of an AWS account, as what realizations stand on: its network, its cluster, its pods' roles.

Needs no SDK, so that stack files and roles can name its parts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

import pulumi

from infra.kube.substrate import Kubernetes

if TYPE_CHECKING:
    from pulumi_aws import iam

    from infra.aws.account import Account


class Network(Protocol):
    """What every network gives; consumers accept this and nothing narrower."""

    vpc_id: pulumi.Output[str]

    cidr: str
    """Addresses of the whole network."""

    node_subnet_ids: Mapping[str, pulumi.Output[str]]
    """Zone to the private subnet of nodes and pods."""

    data_subnet_ids: Mapping[str, pulumi.Output[str]]
    """Zone to the subnet of databases and caches, which has no way to the internet."""

    data_cidrs: Sequence[str]
    """Addresses of databases and caches: where network policies let their callers go."""

    s3_cidrs: pulumi.Output[Sequence[str]]
    """Addresses of the region's S3: where network policies let those go who need a bucket."""

    ready: Sequence[pulumi.Resource]
    """What depends on a way out: routes, gateways, endpoints."""


class EksCluster(Protocol):
    """What every cluster on AWS gives to roles on AWS; besides, it is a `infra.cluster.Cluster`."""

    kubeconfig: pulumi.Output[str]
    """How clients reach the API server, as JSON; secret."""

    ready: Sequence[pulumi.Resource]
    """What the cluster's provider depends on, so that it outlives what is in the cluster."""

    name: pulumi.Output[str]

    arn: pulumi.Output[str]

    version: pulumi.Output[str]
    """Kubernetes' version, e.g. `1.36`: managed node groups follow it."""

    endpoint: pulumi.Output[str]
    """URL of the API server."""

    security_group_id: pulumi.Output[str]
    """The group of control plane and nodes, from which stores let their callers in."""

    oidc_issuer: pulumi.Output[str]
    """URL of the issuer of service accounts' tokens."""

    data_key_arn: pulumi.Output[str] | None
    """Key that EBS' driver may use for pods' volumes; None where the cluster has its own way."""


@dataclass(frozen=True, kw_only=True)
class Bound:
    """A role that a service account's pods act as."""

    annotations: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    """What the service account must say of itself."""

    ready: Sequence[pulumi.Resource] = ()
    """What its pods depend on: one that starts before its rights are bound never gets them."""


class PodRoles(Protocol):
    """How roles come to service accounts of a cluster, which may be made later."""

    def trust(self, namespace: pulumi.Input[str], service_account: str) -> pulumi.Output[str]:
        """Trust of a role that the pods of one service account assume, and nobody else."""

    def bind(
        self,
        name: str,
        acting: "iam.Role",
        namespace: pulumi.Input[str],
        service_account: str,
        opts: pulumi.ResourceOptions | None,
    ) -> Bound:
        """Let the service account's pods act as the role; `name`: of what is made for it, if anything."""


@dataclass(frozen=True, kw_only=True)
class Aws:
    """An AWS account's region, with the network and the cluster in it."""

    provider: pulumi.ProviderResource
    """Provider of the region, given to components by `opts`; here for what must name it, such as an invoke."""

    account: "Account"
    """The account and region that everything is in."""

    network: Network

    cluster: EksCluster

    kubernetes: Kubernetes
    """The cluster's inside, in the namespace that a realization is to use."""

    identity: PodRoles
    """How its pods come to their roles."""

    @property
    def aws(self) -> "Aws":
        """Where what uses AWS' services stands."""
        return self

    def within(self, namespace: pulumi.Output[str], *ready: pulumi.Resource, of_workload: bool = False) -> "Aws":
        """The same region and cluster, another namespace."""
        return replace(self, kubernetes=self.kubernetes.within(namespace, *ready, of_workload=of_workload))
