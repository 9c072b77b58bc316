"""Tracking on a cluster: MLflow servers that proxy artifacts, so that only they need rights on the store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from infra.artifact_store import ArtifactStore
from infra.artifact_store.folders import TRACKING
from infra.base import telemetry
from infra.base.resources import Resources
from infra.compute.pod import service_account
from infra.database import Database
from infra.identity import Grant, Identity, Need, Principal
from infra.kube.once import Once, OnceArgs
from infra.kube.pod import Serving, http_health
from infra.kube.server import Server, ServerArgs
from infra.kube.substrate import Kubernetes
from infra.tracking.settings import MlflowOnKubernetesSettings

PORT = 5000
ENVIRONMENT = {"HOME": "/tmp", "PYTHONDONTWRITEBYTECODE": "1", **telemetry.OFF}  # noqa: S108  inside the container
START_SECONDS = 300
MIGRATION_SECONDS = 1800
"""MLflow's migrations of a large database take minutes."""


@dataclass(frozen=True, kw_only=True)
class MlflowOnKubernetesArgs:
    """The settings, and what other components hand over."""

    settings: MlflowOnKubernetesSettings

    substrate: Kubernetes

    artifact_store: ArtifactStore
    """Where runs' artifacts go, below `mlflow/`."""

    database: Database
    """Where runs, metrics and the registry go."""

    identity: Identity

    hosts: Sequence[str] = ()
    """Under which requests from outside of the cluster arrive, beside those of the stack file."""


@dataclass(frozen=True, kw_only=True)
class _Access:
    """How the server reaches the artifacts."""

    grant: Grant

    account: pulumi.Output[str]


class MlflowOnKubernetes(pulumi.ComponentResource):
    """MLflow servers over the stack's database and artifact store; its schema is migrated before they start.

    Realizes `infra.tracking.Tracking`.
    Source: https://mlflow.org/docs/latest/self-hosting/architecture/tracking-server/
    """

    url: pulumi.Output[str]
    """Base URL of the server and its pages."""

    ready: pulumi.Resource
    """The pods, once they answer."""

    login: pulumi.Output[str] | None = None

    client_secrets: Mapping[str, pulumi.Output[str]]
    """None: network policies, and the gateway's login before people, decide who reaches the server."""

    def __init__(self, name: str, args: MlflowOnKubernetesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:MlflowOnKubernetes", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)

        grant = args.identity.grant(
            name,
            [Need(store=args.artifact_store, prefix=TRACKING, access="rw")],
            Principal(namespace=args.substrate.namespace, service_account=name),
            child,
        )
        access = _Access(grant=grant, account=service_account(name, args.substrate, self, grant).metadata.name)
        # The server's image has psycopg2, which is SQLAlchemy's choice where the URL names no driver.
        database = args.database.create(f"{name}-database", child).apply(lambda url: url.replace("+psycopg:", ":", 1))
        migrated = Once(f"{name}-migration", _migration(args, database), child)
        server = Server(name, _server(name, args, access, database, migrated.done), child)

        self.client_secrets = {}
        self.ready = server.ready
        self.url = pulumi.Output.format("http://{0}:{1}", server.host, PORT)
        self.register_outputs({"url": self.url})


def allowed_hosts(name: str, namespace: str, others: Sequence[str]) -> list[str]:
    """Every name by which the server may be asked, with and without its port: MLflow compares the whole header.

    Source: https://mlflow.org/docs/latest/self-hosting/security/network/
    """
    names = [
        name,
        *(f"{name}.{suffix}" for suffix in (namespace, f"{namespace}.svc", f"{namespace}.svc.cluster.local")),
    ]
    # Port forwarding arrives under the name and port of the person's own machine.
    return [*names, *(f"{each}:{PORT}" for each in names), "localhost:*", "127.0.0.1:*", *others]


def _own_pages(hosts: Sequence[str]) -> list[str]:
    """Arguments by which pages at these hosts may do more than read: a browser says where a page is from.

    Source: https://mlflow.org/docs/latest/self-hosting/security/network/
    """
    return ["--cors-allowed-origins", ",".join(f"https://{host}" for host in hosts)] if hosts else []


def _migration(args: MlflowOnKubernetesArgs, database: pulumi.Output[str]) -> OnceArgs:
    """Makes the tables of an empty database, or brings those of an older MLflow up to date."""
    return OnceArgs(
        substrate=args.substrate,
        image=args.substrate.supply.image(args.settings.image),
        command=["mlflow", "db", "upgrade", "$(MLFLOW_BACKEND_STORE_URI)"],
        environment=ENVIRONMENT,
        secrets={"MLFLOW_BACKEND_STORE_URI": database},
        calls=["database"],
        resources=Resources(memory_mib=512),
        timeout_seconds=MIGRATION_SECONDS,
    )


def _server(
    name: str, args: MlflowOnKubernetesArgs, access: _Access, database: pulumi.Output[str], migrated: pulumi.Resource
) -> ServerArgs:
    outside = [*args.hosts, *args.settings.hosts]
    hosts = args.substrate.namespace.apply(lambda namespace: ",".join(allowed_hosts(name, namespace, outside)))
    return ServerArgs(
        substrate=args.substrate,
        image=args.substrate.supply.image(args.settings.image),
        command=[
            *["mlflow", "server", "--host", "0.0.0.0", "--port", str(PORT)],  # noqa: S104  the pod's policies decide
            *["--workers", str(args.settings.workers)],
            "--artifacts-destination",
            pulumi.Output.concat(args.artifact_store.uri, "/", TRACKING.rstrip("/")),
            "--allowed-hosts",
            hosts,
            *_own_pages(outside),
        ],
        # The side process for server-run jobs, which nothing here uses, would cost 266 MB.
        environment={**ENVIRONMENT, **access.grant.environment, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        secrets={"MLFLOW_BACKEND_STORE_URI": database, **access.grant.secrets},
        calls=["artifact-store", "database"],
        service_account=access.account,
        resources=Resources(memory_mib=args.settings.memory_mib),
        serving=Serving(role="tracking", port=PORT, health=http_health("/health", PORT), start_seconds=START_SECONDS),
        replicas=args.settings.replicas,
        needs=[args.artifact_store.ready, migrated],
    )
