"""Artifact store on a cluster: versitygw, the S3 API over a volume; the same server as on `local`.

One account, whose keys are generated. It is one pod: a stack that needs more throughput takes a cloud's store.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_random

from infra.artifact_store.settings import VersitygwOnKubernetesSettings
from infra.core.pod import Serving, http_health
from infra.core.resources import Resources
from infra.core.server import Data, Server, ServerArgs
from infra.core.substrate import Kubernetes

BUCKET = "mlplatform"
REGION = "us-east-1"
"""versitygw's own default; clients must sign for the same one."""
PORT = 7070
DATA = "/data"
START = (
    f"mkdir -p {DATA}/objects/{BUCKET} {DATA}/metadata && exec versitygw --port :{PORT} --region {REGION}"
    f" --health /healthz --quiet posix --sidecar {DATA}/metadata {DATA}/objects"
)
"""A bucket is a folder; its metadata lie beside the objects, because not every volume keeps extended attributes."""


@dataclass(frozen=True, kw_only=True)
class VersitygwOnKubernetesArgs:
    """The settings, and what other components hand over."""

    settings: VersitygwOnKubernetesSettings

    substrate: Kubernetes


class VersitygwOnKubernetes(pulumi.ComponentResource):
    """One bucket behind a real S3 API; objects are files on a volume.

    Realizes `infra.artifact_store.ArtifactStore`.
    Source: https://github.com/versity/versitygw/wiki
    """

    uri: pulumi.Output[str]
    """`s3://mlplatform`, no trailing slash."""

    client_env: Mapping[str, pulumi.Output[str]]
    """Endpoint and region under the names that AWS SDKs read."""

    client_secrets: Mapping[str, pulumi.Output[str]]
    """The account's keys under the names that AWS SDKs read."""

    ready: pulumi.Resource
    """The pod, once it answers."""

    def __init__(self, name: str, args: VersitygwOnKubernetesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:VersitygwOnKubernetes", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)

        access_key, secret_key = (
            pulumi_random.RandomPassword(f"{name}-{part}-key", length=length, special=False, opts=child).result
            for part, length in {"access": 20, "secret": 40}.items()
        )
        server = Server(name, _server(args, access_key, secret_key), child)

        self.ready = server.ready
        self.uri = pulumi.Output.from_input(f"s3://{BUCKET}")
        self.client_env = {
            "AWS_ENDPOINT_URL_S3": pulumi.Output.format("http://{0}:{1}", server.host, PORT),
            "AWS_REGION": pulumi.Output.from_input(REGION),
        }
        self.client_secrets = {"AWS_ACCESS_KEY_ID": access_key, "AWS_SECRET_ACCESS_KEY": secret_key}
        self.register_outputs({"uri": self.uri, "client_env": self.client_env, "client_secrets": self.client_secrets})


def _server(
    args: VersitygwOnKubernetesArgs, access_key: pulumi.Output[str], secret_key: pulumi.Output[str]
) -> ServerArgs:
    return ServerArgs(
        substrate=args.substrate,
        image=args.substrate.supply.image(args.settings.image),
        command=["sh", "-c", START],
        secrets={"ROOT_ACCESS_KEY": access_key, "ROOT_SECRET_KEY": secret_key},
        data=Data(folder=DATA, volume=args.settings.volume),
        resources=Resources(memory_mib=args.settings.memory_mib),
        serving=Serving(role="artifact-store", port=PORT, health=http_health("/healthz", PORT), start_seconds=60),
    )
