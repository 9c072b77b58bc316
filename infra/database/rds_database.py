"""A database and its owner inside an RDS instance, made by a job in the cluster: there is no other way in."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pulumi
import pulumi_random
from pulumi_aws import rds
from pulumi_kubernetes import core, meta, networking

from infra.aws.account import Statement, role
from infra.aws.substrate import Aws
from infra.base.ports import HTTPS
from infra.base.resources import Resources
from infra.kube import authority
from infra.kube.network_policies import network_policy
from infra.kube.objects import labels, selector
from infra.kube.once import Once, OnceArgs
from infra.kube.pod import Files
from infra.namespaces.aws import AGENT_CIDR, AGENT_PORT, way_out

SCRIPT = Path(__file__).with_name("provision.py")
TIMEOUT_SECONDS = 600
NAME_LENGTH = 63
"""Characters of a Postgres identifier.
Source: https://www.postgresql.org/docs/current/sql-syntax-lexical.html"""


@dataclass(frozen=True, kw_only=True)
class MasterSecretArgs:
    """The secret, and where who reads it runs."""

    arn: pulumi.Output[str]

    key_arn: pulumi.Output[str]
    """KMS key that it is encrypted with."""

    substrate: Aws


class MasterSecret(pulumi.ComponentResource):
    """The right to read the master's password, for one service account, which only the jobs of this role run as."""

    arn: pulumi.Output[str]

    service_account: str

    ready: Sequence[pulumi.Resource]
    """What a job depends on: one that starts before its rights are bound never gets them."""

    def __init__(self, name: str, args: MasterSecretArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:MasterSecret", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        account, roles, cluster_inside = args.substrate.account, args.substrate.identity, args.substrate.kubernetes

        reader, rights = role(
            f"{name}-reader",
            roles.trust(cluster_inside.namespace, name),
            account,
            child,
            statements=[
                Statement(sid="Read", actions=["secretsmanager:GetSecretValue"], resources=[args.arn]),
                Statement(
                    sid="Decrypt",
                    actions=["kms:Decrypt"],
                    resources=[args.key_arn],
                    conditions={
                        "StringEquals": {"kms:ViaService": f"secretsmanager.{account.region}.{account.dns_suffix}"}
                    },
                ),
            ],
        )
        bound = roles.bind(f"{name}-binding", reader, cluster_inside.namespace, name, child)
        who = core.v1.ServiceAccount(
            f"{name}-account",
            metadata=meta.v1.ObjectMetaArgs(
                name=name,
                namespace=cluster_inside.namespace,
                labels=labels(name),
                annotations=dict(bound.annotations) or None,
            ),
            automount_service_account_token=False,
            opts=cluster_inside.child(self),
        )

        self.arn, self.service_account = args.arn, name
        self.ready = [*rights, *bound.ready, who]
        self.register_outputs({"arn": self.arn})


@dataclass(frozen=True, kw_only=True)
class RdsDatabaseArgs:
    """Where the database is made, and by whom."""

    instance: rds.Instance

    port: int

    password_generation: int

    master: MasterSecret

    substrate: Aws


class RdsDatabase(pulumi.ComponentResource):
    """A database whose name is its owner's; only the owner may connect to it.

    It is not dropped with its component: data go with their instance, or by hand.
    Raises: ValueError for a name that cannot be one in Postgres.
    """

    url: pulumi.Output[str]
    """Secret: SQLAlchemy's URL with the password, once the database is there."""

    def __init__(self, name: str, args: RdsDatabaseArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        owner = name.replace("-", "_")
        if len(owner) > NAME_LENGTH:
            raise ValueError(f"a database cannot be named {owner!r}: {len(owner)} characters, at most {NAME_LENGTH}")
        super().__init__("mlplatform:index:RdsDatabase", name, None, opts)
        child, cluster_inside = pulumi.ResourceOptions(parent=self), args.substrate.kubernetes
        known = cluster_inside.authority
        check = {"SSLMODE": "require"} if known is None else {"SSLMODE": "verify-full", "SSLROOTCERT": authority.PATH}

        password = pulumi_random.RandomPassword(
            f"{name}-password",
            length=40,
            special=False,
            keepers={"generation": str(args.password_generation)},
            opts=child,
        ).result
        provision = f"{name}-provision"
        way = self._open(provision, args)
        job = Once(
            provision,
            OnceArgs(
                substrate=cluster_inside,
                image=cluster_inside.image("workload"),
                command=["python", "-c", SCRIPT.read_text()],
                environment={
                    "HOST": args.instance.address,
                    "PORT": str(args.port),
                    "MASTER_SECRET_ARN": args.master.arn,
                    "AWS_REGION": args.substrate.account.region,
                    "ROLE": owner,
                    **check,
                },
                secrets={"ROLE_PASSWORD": password},
                files=[Files(folder=authority.FOLDER, contents={authority.FILE: known})] if known else [],
                service_account=args.master.service_account,
                resources=Resources(cpu_millicores=100, memory_mib=256),
                timeout_seconds=TIMEOUT_SECONDS,
                needs=[args.instance, *args.master.ready, way],
            ),
            child,
        )

        query = "&".join(f"{key.lower()}={value}" for key, value in check.items())
        self.url = pulumi.Output.all(password, args.instance.address, job.done.urn).apply(
            lambda known: f"postgresql+psycopg://{owner}:{known[0]}@{known[1]}:{args.port}/{owner}?{query}"
        )
        self.register_outputs({"url": self.url})

    def _open(self, name: str, args: RdsDatabaseArgs) -> networking.v1.NetworkPolicy:
        """Ways of the job: the instance, AWS' APIs inside the VPC, and the agent that gives credentials."""
        return network_policy(
            f"{name}-ways",
            args.substrate.kubernetes.namespace,
            args.substrate.kubernetes.child(self),
            pods=selector(name),
            egress=[
                way_out(args.substrate.network.data_cidrs, args.port),
                way_out([args.substrate.network.cidr], HTTPS),
                way_out([AGENT_CIDR], AGENT_PORT),
            ],
        )
