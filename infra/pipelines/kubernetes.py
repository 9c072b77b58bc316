"""Pipelines on a cluster: Kubeflow Pipelines standalone over the stack's artifact store and a Postgres of its own."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_kubernetes import core, meta, networking

from infra.artifact_store import ArtifactStore
from infra.core import names
from infra.core.kubernetes import labels, open_to_callers
from infra.core.substrate import Kubernetes
from infra.database.kubernetes import PostgresOnKubernetes, PostgresOnKubernetesArgs
from infra.database.settings import PostgresOnKubernetesSettings
from infra.identity import Grant, Identity, Need, Principal
from infra.namespaces.kubernetes import GuardedNamespace, GuardedNamespaceArgs
from infra.pipelines import manifests, store
from infra.pipelines.settings import KfpOnKubernetesSettings

PORT = 8888
"""Of the API server, which serves its API; the pages are served by another one."""
PAGES_PORT = 3000
ACCOUNTS = {"ml-pipeline": store.PREFIX, "ml-pipeline-ui": store.PREFIX, "pipeline-runner": ""}
"""Service account of KFP's -> key prefix in the store that it reads and writes; steps work on all of the data."""


@dataclass(frozen=True, kw_only=True)
class KfpOnKubernetesArgs:
    """The settings, and what other components hand over."""

    settings: KfpOnKubernetesSettings

    substrate: Kubernetes

    artifact_store: ArtifactStore

    identity: Identity


class KfpOnKubernetes(pulumi.ComponentResource):
    """KFP's API server, pages and controllers, and Argo's controller, in the namespace `kubeflow`.

    Realizes `infra.pipelines.Pipelines`. KFP 2.17 makes its databases itself and speaks to Postgres unencrypted, which
    no managed server grants: it has a small server of its own on every stack.
    Source: https://www.kubeflow.org/docs/components/pipelines/operator-guides/installation/
    """

    url: pulumi.Output[str] | None

    client_env: Mapping[str, pulumi.Output[str]]

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
        grants = {account: self._account(account, prefix) for account, prefix in ACCOUNTS.items()}
        needs = [*self._store(grants["ml-pipeline"]), self._database(), *self._paths(), args.artifact_store.ready]
        manifests.apply(name, self._substrate, self._substrate.child(self, *needs))

        self.url = pulumi.Output.concat("http://ml-pipeline.", space.namespace, f".svc.cluster.local:{PORT}")
        self.client_env = {
            "KFP_HOST": self.url,
            **{
                f"{target.upper()}_IMAGE": pulumi.Output.from_input(args.substrate.image(target))
                for target in ("ingest", "workload")
            },
        }
        self.register_outputs({"url": self.url, "client_env": self.client_env})

    def provide(
        self,
        name: str,
        environment: Mapping[str, pulumi.Input[str]],
        secrets: Mapping[str, pulumi.Input[str]],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Let stages of the pipeline `name` find variables, in a ConfigMap and a Secret of that name."""
        ready = pulumi.ResourceOptions(depends_on=list(self._substrate.ready))
        asked = pulumi.ResourceOptions.merge(opts, ready)
        metadata = self._metadata(name)
        core.v1.ConfigMap(f"{name}-pipeline-variables", metadata=metadata, data=dict(environment), opts=asked)
        if secrets:
            core.v1.Secret(f"{name}-pipeline-secrets", metadata=metadata, string_data=dict(secrets), opts=asked)

    def _account(self, account: str, prefix: str) -> Grant:
        """A service account that the manifests leave to us, and what it is given to reach the store."""
        grant = self._args.identity.grant(
            f"{self._name}-{account}",
            [Need(store=self._args.artifact_store, prefix=prefix, access="rw")],
            Principal(namespace=self._substrate.namespace, service_account=account),
            pulumi.ResourceOptions(parent=self),
        )
        core.v1.ServiceAccount(
            f"{self._name}-{account}-account",
            metadata=meta.v1.ObjectMetaArgs(
                name=account, namespace=self._substrate.namespace, annotations=dict(grant.annotations) or None
            ),
            # Pods that call the cluster's API ask for its token themselves.
            automount_service_account_token=False,
            opts=self._substrate.child(self, *grant.ready),
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

    def _database(self) -> pulumi.Resource:
        settings = self._args.settings
        chosen = PostgresOnKubernetesSettings(
            kind="postgres-on-kubernetes",
            image=settings.database_image,
            memory_mib=settings.database_memory_mib,
            volume=settings.database_volume,
        )
        args = PostgresOnKubernetesArgs(settings=chosen, substrate=self._substrate, role="pipelines-database")
        server = PostgresOnKubernetes(f"{self._name}-database", args, pulumi.ResourceOptions(parent=self)).server
        self._secret(
            "pipelines-database",
            {"host": server.host, "port": str(server.port), "username": server.user, "password": server.password},
        )
        return server.ready

    def _paths(self) -> list[pulumi.Resource]:
        """KFP's parts reach each other and the cluster's API; callers reach its API and pages."""
        inside = networking.v1.NetworkPolicyPeerArgs(pod_selector=meta.v1.LabelSelectorArgs(match_labels={}))
        api = networking.v1.NetworkPolicyEgressRuleArgs(
            ports=[networking.v1.NetworkPolicyPortArgs(port=port, protocol="TCP") for port in (443, 6443)]
        )
        within = networking.v1.NetworkPolicy(
            f"{self._name}-inside",
            metadata=meta.v1.ObjectMetaArgs(namespace=self._substrate.namespace),
            spec=networking.v1.NetworkPolicySpecArgs(
                pod_selector=meta.v1.LabelSelectorArgs(match_labels={}),
                policy_types=["Ingress", "Egress"],
                ingress=[networking.v1.NetworkPolicyIngressRuleArgs(from_=[inside])],
                egress=[networking.v1.NetworkPolicyEgressRuleArgs(to=[inside]), api],
            ),
            opts=self._substrate.child(self),
        )
        return [within, open_to_callers(self._name, "pipelines", [PORT, PAGES_PORT], self._substrate, self)]

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
