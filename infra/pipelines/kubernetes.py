"""Pipelines on a cluster: Kubeflow Pipelines standalone over the stack's artifact store and databases."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pulumi
from pulumi_kubernetes import core, meta, networking, rbac

from infra.artifact_store import ArtifactStore
from infra.artifact_store.folders import PIPELINES
from infra.aws.substrate import Aws
from infra.base import names
from infra.base.ports import MYSQL
from infra.database import Database
from infra.database.mysql import MysqlOnKubernetes, MysqlOnKubernetesArgs, MysqlServer
from infra.identity import Grant, Identity, Need, Principal
from infra.kube import authority
from infra.kube.network_policies import Egress, Ingress, network_policy, open_to_callers, peer, to_api_server
from infra.kube.objects import labels
from infra.kube.substrate import Kubernetes
from infra.namespaces.aws import open_to_managed
from infra.namespaces.kubernetes import GuardedNamespace, GuardedNamespaceArgs
from infra.pipelines import manifests, store
from infra.pipelines.settings import KfpOnAwsSettings, KfpOnKubernetesSettings

PORT = 8888
"""Of the API server, which serves its API; the pages are served by another one."""
PAGES_PORT = 3000
DATABASE, DATABASE_ROLE = "mlpipeline", "pipelines-database"
ACCOUNTS = ("ml-pipeline", "ml-pipeline-ui", "pipeline-runner")
"""Service accounts of KFP's, which reach what KFP itself keeps in the store; the last is what KFP lets a run have that
names no account."""
RUNNER_ROLE = "pipeline-runner"
"""KFP's role for the pods of a run."""


@dataclass(frozen=True, kw_only=True)
class KfpOnKubernetesArgs:
    """The settings, and what other components hand over."""

    settings: KfpOnKubernetesSettings | KfpOnAwsSettings

    substrate: Kubernetes

    aws: Aws | None
    """Where the cluster is on AWS, with stores outside of the cluster."""

    artifact_store: ArtifactStore

    database: Database
    """Keeps what led to what, in a database of its own there."""

    identity: Identity


class KfpOnKubernetes(pulumi.ComponentResource):
    """KFP's API server, pages and controllers, and Argo's controller, in the namespace `kubeflow`.

    Realizes `infra.pipelines.Pipelines`. KFP 2.17 speaks MySQL: on Postgres its API server does not start
    (kubeflow/pipelines#13956). Its store of metadata does speak Postgres, and is a database among the stack's others.
    Source: https://www.kubeflow.org/docs/components/pipelines/operator-guides/installation/
    """

    engine: Literal["kfp"] = "kfp"

    url: pulumi.Output[str] | None

    pages_url: pulumi.Output[str] | None

    login: pulumi.Output[str] | None

    client_env: Mapping[str, pulumi.Output[str]]

    client_secrets: Mapping[str, pulumi.Output[str]]

    def __init__(self, name: str, args: KfpOnKubernetesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:KfpOnKubernetes", name, None, opts)
        self._name, self._args = name, args
        child = pulumi.ResourceOptions(parent=self)

        space = GuardedNamespace(
            f"{name}-namespace",
            GuardedNamespaceArgs(
                name=names.PIPELINES, quota=args.settings.quota, needs=args.substrate.ready, judged=False
            ),
            child,
        )
        self._substrate = args.substrate.within(space.namespace, space.ready)
        grants = {account: self._account(account, self._own(), self._substrate.child(self)) for account in ACCOUNTS}
        needs = [
            *self._store(grants["ml-pipeline"]),
            *self._runs(),
            self._metadata_store(),
            *self._paths(),
            *authority.publish(f"{name}-database-authority", self._substrate, self._substrate.child(self)),
            args.artifact_store.ready,
        ]
        manifests.apply(name, self._substrate, self._substrate.child(self, *needs))

        self.url = pulumi.Output.concat("http://ml-pipeline.", space.namespace, f".svc.cluster.local:{PORT}")
        self.pages_url = pulumi.Output.concat("http://ml-pipeline-ui.", space.namespace, ".svc.cluster.local")
        self.login, self.client_secrets = None, {}
        self.client_env = {
            "KFP_HOST": self.url,
            **{
                f"{target.upper()}_IMAGE": pulumi.Output.from_input(args.substrate.image(target))
                for target in ("ingest", "workload")
            },
        }
        self.register_outputs({"url": self.url, "pages_url": self.pages_url, "client_env": self.client_env})

    def provide(
        self,
        name: str,
        environment: Mapping[str, pulumi.Input[str]],
        secrets: Mapping[str, pulumi.Input[str]],
        needs: Sequence[Need],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Give the pipeline `name` variables, in a ConfigMap and a Secret, and a service account, all of that name.

        The account, which every stage runs as, reaches `needs`, and the logs and outputs of all pipelines, which KFP
        keeps together.
        """
        ready = pulumi.ResourceOptions(depends_on=list(self._substrate.ready))
        asked = pulumi.ResourceOptions.merge(opts, ready)
        metadata = self._metadata(name)
        grant = self._account(name, [*self._own(), *needs], asked)
        variables, hidden = {**environment, **grant.environment}, {**secrets, **grant.secrets}
        core.v1.ConfigMap(f"{name}-pipeline-variables", metadata=metadata, data=variables, opts=asked)
        if hidden:
            core.v1.Secret(f"{name}-pipeline-secrets", metadata=metadata, string_data=hidden, opts=asked)
        rbac.v1.RoleBinding(
            f"{name}-pipeline-runner",
            metadata=self._metadata(f"{name}-runner"),
            role_ref=rbac.v1.RoleRefArgs(api_group="rbac.authorization.k8s.io", kind="Role", name=RUNNER_ROLE),
            subjects=[rbac.v1.SubjectArgs(kind="ServiceAccount", name=name, namespace=self._substrate.namespace)],
            opts=asked,
        )

    def _own(self) -> list[Need]:
        """What KFP itself keeps in the store."""
        return [Need(store=self._args.artifact_store, prefix=PIPELINES, access="rw")]

    def _account(self, account: str, needs: Sequence[Need], opts: pulumi.ResourceOptions) -> Grant:
        """A service account that the manifests leave to us, and what it is given to reach the store."""
        grant = self._args.identity.grant(
            f"{self._name}-{account}",
            needs,
            Principal(namespace=self._substrate.namespace, service_account=account),
            pulumi.ResourceOptions(parent=opts.parent),
        )
        core.v1.ServiceAccount(
            f"{self._name}-{account}-account",
            metadata=meta.v1.ObjectMetaArgs(
                name=account, namespace=self._substrate.namespace, annotations=dict(grant.annotations) or None
            ),
            # Pods that call the cluster's API ask for its token themselves.
            automount_service_account_token=False,
            opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=list(grant.ready))),
        )
        return grant

    def _store(self, grant: Grant) -> list[pulumi.Resource]:
        """The store in KFP's four languages; empty keys say that the service account is known to it."""
        environment = self._args.artifact_store.client_env
        known = pulumi.Output.all(
            uri=self._args.artifact_store.uri,
            region=environment["AWS_REGION"],
            endpoint=environment.get("AWS_ENDPOINT_URL_S3"),
        ).apply(lambda parts: store.Store.of(**parts, keys=bool(grant.secrets)))
        ttl_seconds = self._args.settings.workflow_ttl_seconds
        keys = {
            "accesskey": grant.secrets.get("AWS_ACCESS_KEY_ID", ""),
            "secretkey": grant.secrets.get("AWS_SECRET_ACCESS_KEY", ""),
        }
        made: list[pulumi.Resource] = [
            self._config_map("pipelines-store", known.apply(store.server)),
            self._config_map("kfp-launcher", known.apply(store.launcher)),
            self._config_map(
                "workflow-controller-configmap",
                known.apply(lambda each: store.workflow_controller(each, ttl_seconds)),
            ),
            # The manifests read a time zone and more from it; what it leaves out has defaults.
            self._config_map("pipeline-install-config", {"cronScheduleTimezone": "UTC"}),
            self._secret(store.SECRET, keys),
        ]
        if grant.secrets:
            made.append(self._secret("pipelines-ui-keys", grant.secrets))
        return made

    def _runs(self) -> list[pulumi.Resource]:
        """The server of what KFP knows of pipelines and runs, and how it is reached."""
        server = self._mysql()
        secret = self._secret(
            "pipelines-database",
            {"host": server.host, "port": str(server.port), "username": server.user, "password": server.password},
        )
        return [server.ready, secret]

    def _mysql(self) -> MysqlServer:
        name, settings, child = f"{self._name}-database", self._args.settings, pulumi.ResourceOptions(parent=self)
        if isinstance(settings, KfpOnKubernetesSettings):
            own = MysqlOnKubernetesArgs(
                settings=settings.mysql, substrate=self._substrate, role=DATABASE_ROLE, database=DATABASE
            )
            return MysqlOnKubernetes(name, own, child).server

        from infra.database.rds_mysql import RdsMysql, RdsMysqlArgs  # noqa: PLC0415  needs AWS' SDK

        assert self._args.aws is not None  # noqa: S101  for the type checker
        rds = RdsMysqlArgs(settings=settings.mysql, substrate=self._args.aws, user=DATABASE)
        return RdsMysql(name, rds, child).server

    def _metadata_store(self) -> pulumi.Resource:
        """The database of what led to what, and how it is reached."""
        url = self._args.database.create(f"{self._name}-metadata", pulumi.ResourceOptions(parent=self))
        known = url.apply(store.connection)
        parts = ("host", "port", "username", "password", "database", "sslmode")
        return self._secret("pipelines-metadata", {part: known[part] for part in parts})

    def _paths(self) -> list[pulumi.Resource]:
        """KFP's parts reach each other and the cluster's API; callers reach its API and pages."""
        within = network_policy(
            f"{self._name}-inside",
            self._substrate.namespace,
            self._substrate.child(self),
            pods={},
            ingress=[Ingress(from_=[peer({})])],
            egress=[Egress(to=[peer({})]), to_api_server()],
        )
        return [
            within,
            open_to_callers(self._name, "pipelines", [PORT, PAGES_PORT], self._substrate, self),
            *self._ways_to_aws(),
        ]

    def _ways_to_aws(self) -> list[networking.v1.NetworkPolicy]:
        aws = self._args.aws
        if aws is None:
            return []
        return open_to_managed(
            f"{self._name}-namespace",
            aws.network,
            self._substrate.namespace,
            pulumi.ResourceOptions(parent=self),
            {DATABASE_ROLE: MYSQL} if isinstance(self._args.settings, KfpOnAwsSettings) else {},
        )

    def _config_map(self, name: str, data: pulumi.Input[Mapping[str, pulumi.Input[str]]]) -> core.v1.ConfigMap:
        """By a fixed name, which the manifests rely on."""
        return core.v1.ConfigMap(
            f"{self._name}-{name}-variables",
            metadata=self._metadata(name),
            data=data,
            opts=self._substrate.child(self),
        )

    def _secret(self, name: str, values: Mapping[str, pulumi.Input[str]]) -> core.v1.Secret:
        return core.v1.Secret(
            f"{self._name}-{name}-secrets",
            metadata=self._metadata(name),
            string_data=dict(values),
            opts=self._substrate.child(self),
        )

    def _metadata(self, name: str) -> meta.v1.ObjectMetaArgs:
        return meta.v1.ObjectMetaArgs(name=name, namespace=self._substrate.namespace, labels=labels(self._name))
