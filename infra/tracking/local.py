"""Tracking on this machine: one MLflow server; it proxies artifacts, so clients need no storage keys."""

from dataclasses import dataclass

import pulumi

from infra.artifact_store import ArtifactStore
from infra.core import telemetry
from infra.core.substrate import LOOPBACK, Local
from infra.database import Database
from infra.database.local import folders
from infra.host import Port, Process
from infra.tracking.settings import MlflowOnHostSettings

START_TIMEOUT_SECONDS = 180
"""Creating the database and importing MLflow take 10 s on an idle core, many times that on a busy one."""


@dataclass(frozen=True, kw_only=True)
class MlflowOnHostArgs:
    """The settings, and what other components hand over."""

    settings: MlflowOnHostSettings

    substrate: Local

    artifact_store: ArtifactStore
    """Where runs' artifacts go, below `mlflow/`."""

    database: Database
    """Where runs, metrics and the registry go."""


class MlflowOnHost(pulumi.ComponentResource):
    """An MLflow server over the stack's database and artifact store.

    Realizes `infra.tracking.Tracking`.
    Source: https://mlflow.org/docs/latest/self-hosting/architecture/tracking-server/
    """

    url: pulumi.Output[str]
    """Base URL of the server and its pages."""

    ready: pulumi.Resource
    """The process, once it answers."""

    def __init__(self, name: str, args: MlflowOnHostArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:MlflowOnHost", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)

        port = Port(f"{name}-port", number=args.settings.port, opts=child)
        database = args.database.create(f"{name}-database", child)
        self.url = pulumi.Output.format("http://{0}:{1}", LOOPBACK, port.chosen)
        self.ready = Process(
            f"{name}-server",
            command=[
                "mlflow",
                "server",
                "--host",
                LOOPBACK,
                "--port",
                port.chosen.apply(str),
                "--workers",
                "1",
                # By default also `10.*`, which is a name that anybody can point to this machine.
                "--allowed-hosts",
                f"{LOOPBACK}:*,localhost:*",
                "--artifacts-destination",
                pulumi.Output.format("{0}/mlflow", args.artifact_store.uri),
            ],
            # The side process for server-run jobs, which nothing here uses, would cost 266 MB.
            environment={
                **args.artifact_store.client_env,
                **args.artifact_store.keys(""),
                "MLFLOW_BACKEND_STORE_URI": database,
                "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
                **telemetry.OFF,
            },
            ports=[port.chosen],
            health={"http_url": pulumi.Output.concat(self.url, "/health")},
            folders=database.apply(folders),
            start_timeout_seconds=START_TIMEOUT_SECONDS,
            opts=args.substrate.child(self),
        )

        self.register_outputs({"url": self.url})
