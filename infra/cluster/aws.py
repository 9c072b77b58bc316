"""Cluster on AWS: EKS with its own key, logs, access entries, add-ons and system nodes, or a cluster that is there.

Left out: aws-auth (access entries only), Fargate, Windows, hybrid nodes; further pools are roles of their own.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_aws import eks, kms, vpc

from infra.aws.account import Account, encryption_key, log_group, logs_use, pod_trust, role, service_trust
from infra.aws.eks_nodes import launch_template, node_role, volumes_key, volumes_use
from infra.aws.substrate import Network
from infra.base.ports import HTTPS
from infra.cluster.eks_versions import ADDONS, Addon
from infra.cluster.settings import EksSettings, ExistingEksSettings

LOG_TYPES = ("api", "audit", "authenticator", "controllerManager", "scheduler")
"""Every log that the control plane has."""
ADMIN_POLICY = "AmazonEKSClusterAdminPolicy"
VIEW_POLICY = "AmazonEKSAdminViewPolicy"
BEFORE_NODES: tuple[Addon, ...] = ("vpc-cni", "kube-proxy", "eks-pod-identity-agent")
"""Add-ons without which no node becomes ready."""
AFTER_NODES: tuple[Addon, ...] = ("coredns", "aws-ebs-csi-driver", "metrics-server")
"""Add-ons whose pods need a node."""


@dataclass(frozen=True, kw_only=True)
class EksArgs:
    """The settings, and what other components hand over."""

    settings: EksSettings

    account: Account

    network: Network

    resized: bool = False
    """Whether the Cluster Autoscaler resizes the system nodes; otherwise there are always `nodes_min`."""


class Eks(pulumi.ComponentResource):
    """An EKS cluster that is private by default, encrypted, logged, and administered by named roles only.

    Realizes `infra.cluster.EksCluster`.
    Source: https://docs.aws.amazon.com/eks/latest/best-practices/security.html
    """

    name: pulumi.Output[str]

    arn: pulumi.Output[str]

    version: pulumi.Output[str]

    endpoint: pulumi.Output[str]

    security_group_id: pulumi.Output[str]

    oidc_issuer: pulumi.Output[str]

    data_key_arn: pulumi.Output[str] | None

    kubeconfig: pulumi.Output[str]

    ready: Sequence[pulumi.Resource]

    def __init__(self, name: str, args: EksArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:Eks", name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        self._arn = args.account.arn("eks", f"cluster/{args.settings.name}")
        self._cluster = self._control_plane()
        self._data_key = encryption_key(f"{name}-data-key", f"{name}: volumes of pods", args.account, self._child)
        access = [*self._access(), *self._admitted()]
        network = [self._addon(addon) for addon in BEFORE_NODES]
        nodes = self._system_nodes(network)
        rest = [self._addon(addon, nodes) for addon in AFTER_NODES]

        self.name = self._cluster.name
        self.arn = pulumi.Output.from_input(self._arn)
        self.version = self._cluster.version
        self.endpoint = self._cluster.endpoint
        self.security_group_id = self._cluster.vpc_config.cluster_security_group_id.apply(str)
        self.oidc_issuer = self._cluster.identities[0].oidcs[0].issuer.apply(str)
        self.data_key_arn = self._data_key.arn
        self.kubeconfig = kubeconfig(
            self.name, self.endpoint, self._cluster.certificate_authority.data.apply(str), args.account.region
        )
        self.ready = [*access, *network, nodes, *rest]
        self.register_outputs(
            {"name": self.name, "arn": self.arn, "endpoint": self.endpoint, "kubeconfig": self.kubeconfig}
        )

    def _control_plane(self) -> eks.Cluster:
        name, account, settings = self._name, self._args.account, self._args.settings
        secrets = encryption_key(f"{name}-secrets-key", f"{name}: Secrets in etcd", account, self._child)
        logs = encryption_key(
            f"{name}-logs-key", f"{name}: control plane's logs", account, self._child, [logs_use(account)]
        )
        # EKS writes to this name; made first, it has retention and key from the first line on.
        group = log_group(f"{name}-logs", settings.logs_days, logs, self._child, settings.log_group)
        acting, policies = role(
            f"{name}-role",
            service_trust("eks.amazonaws.com", account),
            account,
            self._child,
            managed=[account.managed_policy("AmazonEKSClusterPolicy")],
        )
        return eks.Cluster(
            name,
            name=settings.name,
            version=settings.version,
            role_arn=acting.arn,
            access_config={"authentication_mode": "API", "bootstrap_cluster_creator_admin_permissions": False},
            bootstrap_self_managed_addons=False,
            deletion_protection=settings.deletion_protection,
            enabled_cluster_log_types=list(LOG_TYPES),
            encryption_config={"provider": {"key_arn": secrets.arn}, "resources": ["secrets"]},
            kubernetes_network_config={"ip_family": "ipv4", "service_ipv4_cidr": settings.service_cidr},
            upgrade_policy={"support_type": "STANDARD"},
            vpc_config={
                "subnet_ids": list(self._args.network.node_subnet_ids.values()),
                "endpoint_private_access": True,
                "endpoint_public_access": bool(settings.public_access_cidrs),
                "public_access_cidrs": list(settings.public_access_cidrs) or None,
            },
            zonal_shift_config={"enabled": True},
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[*policies, group, *self._args.network.ready],
                protect=settings.deletion_protection,
            ),
        )

    def _access(self) -> list[pulumi.Resource]:
        settings, partition = self._args.settings, self._args.account.partition
        return [
            self._entry(f"{who}-{part}", arn, f"arn:{partition}:eks::aws:cluster-access-policy/{access}")
            for who, arns, access in (
                ("admin", settings.admin_role_arns, ADMIN_POLICY),
                ("viewer", settings.viewer_role_arns, VIEW_POLICY),
            )
            for arn, part in role_parts(arns).items()
        ]

    def _admitted(self) -> list[pulumi.Resource]:
        """Rules that let networks and security groups reach the API server's private address.

        The cluster's security group, which EKS makes, admits its own members only.
        Source: https://docs.aws.amazon.com/eks/latest/userguide/cluster-endpoint.html
        """
        settings = self._args.settings
        return [
            *(self._rule(re.sub(r"[./]", "-", cidr), cidr, None) for cidr in settings.private_access_cidrs),
            *(self._rule(group, None, group) for group in settings.private_access_security_group_ids),
        ]

    def _rule(self, part: str, cidr: str | None, group: str | None) -> pulumi.Resource:
        return vpc.SecurityGroupIngressRule(
            f"{self._name}-api-{part}",
            security_group_id=self._cluster.vpc_config.cluster_security_group_id.apply(str),
            cidr_ipv4=cidr,
            referenced_security_group_id=group,
            ip_protocol="tcp",
            from_port=HTTPS,
            to_port=HTTPS,
            description="API server",
            opts=self._child,
        )

    def _entry(self, part: str, arn: str, policy_arn: str) -> pulumi.Resource:
        part = f"{self._name}-{part}"
        entry = eks.AccessEntry(part, cluster_name=self._cluster.name, principal_arn=arn, opts=self._child)
        return eks.AccessPolicyAssociation(
            f"{part}-policy",
            cluster_name=self._cluster.name,
            principal_arn=entry.principal_arn,
            policy_arn=policy_arn,
            access_scope={"type": "cluster"},
            opts=self._child,
        )

    def _addon(self, addon: Addon, *needs: pulumi.Resource) -> eks.Addon:
        settings = self._args.settings
        identity, rights = self._addon_identity(addon)
        return eks.Addon(
            f"{self._name}-{addon}",
            cluster_name=self._cluster.name,
            addon_name=addon,
            addon_version=settings.addon_versions.get(addon, ADDONS[settings.version][addon]),
            configuration_values=pulumi.Output.json_dumps({"enableNetworkPolicy": "true"})
            if addon == "vpc-cni"
            else None,
            pod_identity_associations=identity,
            resolve_conflicts_on_create="OVERWRITE",
            resolve_conflicts_on_update="OVERWRITE",
            # Without its rights the network's add-on gives no address, and takes none back when it goes.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[*needs, *rights]),
        )

    def _addon_identity(
        self, addon: Addon
    ) -> tuple[list[eks.AddonPodIdentityAssociationArgsDict] | None, list[pulumi.Resource]]:
        """The add-ons that call AWS do so by a role of their own, not by the node's; and that role's policies."""
        needed = {
            "vpc-cni": ("aws-node", "AmazonEKS_CNI_Policy"),
            "aws-ebs-csi-driver": ("ebs-csi-controller-sa", "service-role/AmazonEBSCSIDriverPolicy"),
        }
        if addon not in needed:
            return None, []
        account, managed = needed[addon]
        trust = pod_trust(self._arn, "kube-system", account)
        made, rights = role(
            f"{self._name}-{addon}-role",
            trust,
            self._args.account,
            self._child,
            managed=[self._args.account.managed_policy(managed)],
            statements=volumes_use(self._data_key.arn, self._args.account) if addon == "aws-ebs-csi-driver" else (),
        )
        return [{"service_account": account, "role_arn": made.arn}], rights

    def _system_nodes(self, network: Sequence[pulumi.Resource]) -> eks.NodeGroup:
        name, settings = f"{self._name}-system", self._args.settings.system_nodes
        carried, policies = node_role(f"{name}-role", self._args.account, self._child)
        key: kms.Key = volumes_key(f"{name}-volumes-key", self._args.account, self._child)
        template = launch_template(name, settings.disk_gib, key.arn, self._args.account.tags, self._child)
        return eks.NodeGroup(
            f"{name}-nodes",
            cluster_name=self._cluster.name,
            version=self._cluster.version,
            release_version=settings.release_version,
            node_role_arn=carried.arn,
            subnet_ids=list(self._args.network.node_subnet_ids.values()),
            ami_type="AL2023_x86_64_STANDARD",
            instance_types=list(settings.instance_types),
            capacity_type="ON_DEMAND",
            scaling_config={
                "min_size": settings.nodes_min,
                "desired_size": settings.nodes_min,
                "max_size": settings.nodes_max,
            },
            launch_template={"id": template.id, "version": template.latest_version.apply(str)},
            labels={"mlplatform.dev/pool": "system"},
            node_repair_config={"enabled": True},
            update_config={"max_unavailable_percentage": 33},
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[*policies, *network],
                # EKS refuses a minimum above the desired size: the latter follows where no autoscaler sets it.
                ignore_changes=["scalingConfig.desiredSize"] if self._args.resized else None,
            ),
        )


def role_parts(arns: Sequence[str]) -> dict[str, str]:
    """Part of a logical name for each role: its name, with account and path where two roles have the same name."""
    names = Counter(arn.rsplit("/", 1)[-1] for arn in arns)
    return {
        arn: name if names[name := arn.rsplit("/", 1)[-1]] == 1 else re.sub(r"[:/]+", "-", arn.split("iam::")[1])
        for arn in arns
    }


@dataclass(frozen=True, kw_only=True)
class ExistingEksArgs:
    """The settings, and what other components hand over."""

    settings: ExistingEksSettings

    account: Account


class ExistingEks(pulumi.ComponentResource):
    """Looks a cluster up; nothing is made.

    Realizes `infra.cluster.EksCluster`.
    Raises: what the provider says when there is no cluster of that name in the region.
    """

    name: pulumi.Output[str]

    arn: pulumi.Output[str]

    version: pulumi.Output[str]

    endpoint: pulumi.Output[str]

    security_group_id: pulumi.Output[str]

    oidc_issuer: pulumi.Output[str]

    data_key_arn: pulumi.Output[str] | None = None

    kubeconfig: pulumi.Output[str]

    ready: Sequence[pulumi.Resource]

    def __init__(self, name: str, args: ExistingEksArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:ExistingEks", name, None, opts)
        found = eks.get_cluster_output(name=args.settings.name, opts=pulumi.InvokeOutputOptions(parent=self))
        self.name = pulumi.Output.from_input(args.settings.name)
        self.arn, self.version, self.endpoint = found.arn, found.version, found.endpoint
        self.security_group_id = found.vpc_config.cluster_security_group_id
        self.oidc_issuer = found.identities[0].oidcs[0].issuer
        self.kubeconfig = kubeconfig(
            self.name, self.endpoint, found.certificate_authorities[0].data, args.account.region
        )
        self.ready = ()
        self.register_outputs(
            {"name": self.name, "arn": self.arn, "endpoint": self.endpoint, "kubeconfig": self.kubeconfig}
        )


def kubeconfig(
    name: pulumi.Input[str], endpoint: pulumi.Input[str], authority: pulumi.Input[str], region: str
) -> pulumi.Output[str]:
    """A kubeconfig that asks the AWS CLI for a token each time: it holds no credential, yet says where to knock.

    Source: https://docs.aws.amazon.com/eks/latest/userguide/create-kubeconfig.html
    """
    token = ["--region", region, "eks", "get-token", "--cluster-name", name, "--output", "json"]
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1beta1", "command": "aws", "args": token}}
    text = pulumi.Output.json_dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "eks", "cluster": {"server": endpoint, "certificate-authority-data": authority}}],
            "users": [{"name": "eks", "user": user}],
            "contexts": [{"name": "eks", "context": {"cluster": "eks", "user": "eks"}}],
            "current-context": "eks",
        }
    )
    return pulumi.Output.secret(text)
