"""Tracking on this machine: one MLflow server; it proxies artifacts, so clients need no storage keys."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pulumi

from infra.artifact_store import ArtifactStore
from infra.base import telemetry
from infra.base.login import USER
from infra.database import Database
from infra.database.local import folders
from infra.host import File, Port, Process, Secret
from infra.host.substrate import LOOPBACK, Local
from infra.tracking.settings import MlflowOnHostSettings

APP_NAME = "mlplatform"
"""Of the application among MLflow's entry points."""
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

    app: str
    """`module:function` that gives MLflow's server with a login; it reads `client_secrets`."""


class MlflowOnHost(pulumi.ComponentResource):
    """An MLflow server over the stack's database and artifact store, which asks for a generated password.

    Realizes `infra.tracking.Tracking`.
    Source: https://mlflow.org/docs/latest/self-hosting/architecture/tracking-server/
    """

    url: pulumi.Output[str]
    """Base URL of the server and its pages."""

    ready: pulumi.Resource
    """The process, once it answers."""

    login: pulumi.Output[str] | None
    """`user:password`; secret."""

    client_secrets: Mapping[str, pulumi.Output[str]]
    """MLflow's own variables."""

    def __init__(self, name: str, args: MlflowOnHostArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:MlflowOnHost", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)

        port = Port(f"{name}-port", number=args.settings.port, opts=child)
        database = args.database.create(f"{name}-database", child)
        password = Secret(f"{name}-password", length=40, opts=child).value
        self.login = pulumi.Output.concat(USER, ":", password)
        self.client_secrets = {
            "MLFLOW_TRACKING_USERNAME": pulumi.Output.from_input(USER),
            "MLFLOW_TRACKING_PASSWORD": password,
        }
        plugin = self._plugin(name, args.app)
        self.url = pulumi.Output.format("http://{0}:{1}", LOOPBACK, port.chosen)
        self.ready = Process(
            f"{name}-server",
            command=[
                "mlflow",
                "server",
                f"--app-name={APP_NAME}",
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
                **self.client_secrets,
                "MLFLOW_BACKEND_STORE_URI": database,
                "PYTHONPATH": pulumi.Output.concat(
                    plugin.absolute_path.apply(lambda path: str(Path(path).parents[1])),
                    ":",
                    str(args.substrate.checkout),
                ),
                "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
                **telemetry.OFF,
            },
            ports=[port.chosen],
            health={"http_url": pulumi.Output.concat(self.url, "/health")},
            folders=database.apply(folders),
            triggers={"plugin": plugin.sha256},
            start_timeout_seconds=START_TIMEOUT_SECONDS,
            opts=args.substrate.child(self),
        )

        self.register_outputs({"url": self.url})

    def _plugin(self, name: str, app: str) -> File:
        """What makes MLflow find the application: a package's metadata, on the search path of modules.

        Source: https://packaging.python.org/en/latest/specifications/entry-points/
        """
        return File(
            f"{name}-plugin",
            path=f"config/{name}/plugin/{APP_NAME}-1.dist-info/entry_points.txt",
            content=f"[mlflow.app]\n{APP_NAME} = {app}\n",
            opts=pulumi.ResourceOptions(parent=self),
        )
