"""Artifact store on this machine: versitygw, the S3 API over a folder. One account, whose keys are generated."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

from infra.artifact_store.settings import VersitygwOnHostSettings
from infra.host import Folder, Port, Process, Secret
from infra.host.substrate import LOOPBACK, Local

BUCKET = "mlplatform"
REGION = "us-east-1"
"""versitygw's own default; clients must sign for the same one."""


@dataclass(frozen=True, kw_only=True)
class VersitygwOnHostArgs:
    """The settings, and what other components hand over."""

    settings: VersitygwOnHostSettings

    substrate: Local


class VersitygwOnHost(pulumi.ComponentResource):
    """One bucket behind a real S3 API; objects are files in the stack's folder.

    Realizes `infra.artifact_store.ArtifactStore`.
    Source: https://github.com/versity/versitygw/wiki
    """

    uri: pulumi.Output[str]
    """`s3://mlplatform`, no trailing slash."""

    client_env: Mapping[str, pulumi.Output[str]]
    """Endpoint and region under the names that AWS SDKs read."""

    endpoint: pulumi.Output[str]
    """URL of the S3 API."""

    ready: pulumi.Resource
    """The process, once it answers."""

    def __init__(self, name: str, args: VersitygwOnHostArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:VersitygwOnHost", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        keep = args.substrate.keep_data

        access_key = Secret(f"{name}-access-key", length=20, opts=child)
        secret_key = Secret(f"{name}-secret-key", length=40, opts=child)
        port = Port(f"{name}-port", number=args.settings.port, opts=child)
        objects = Folder(f"{name}-objects", path=f"data/{name}/objects", keep=keep, opts=child)
        metadata = Folder(f"{name}-metadata", path=f"data/{name}/metadata", keep=keep, opts=child)
        bucket = Folder(
            f"{name}-bucket",
            path=f"data/{name}/objects/{BUCKET}",
            keep=keep,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[objects]),
        )
        self.endpoint = pulumi.Output.format("http://{0}:{1}", LOOPBACK, port.chosen)
        self.ready = Process(
            f"{name}-server",
            command=[
                "versitygw",
                "--port",
                pulumi.Output.format("{0}:{1}", LOOPBACK, port.chosen),
                "--region",
                REGION,
                "--health",
                "/healthz",
                "--quiet",
                "posix",
                "--sidecar",
                metadata.absolute_path,
                objects.absolute_path,
            ],
            environment={"ROOT_ACCESS_KEY": access_key.value, "ROOT_SECRET_KEY": secret_key.value},
            ports=[port.chosen],
            health={"http_url": pulumi.Output.concat(self.endpoint, "/healthz")},
            folders=[metadata.absolute_path, objects.absolute_path],
            opts=args.substrate.child(self, bucket),
        )

        self.uri = pulumi.Output.from_input(f"s3://{BUCKET}")
        self.client_env = {
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_REGION": pulumi.Output.from_input(REGION),
        }
        self._keys = {"AWS_ACCESS_KEY_ID": access_key.value, "AWS_SECRET_ACCESS_KEY": secret_key.value}
        self.register_outputs(
            {
                "uri": self.uri,
                "client_env": self.client_env,
                "client_secrets": self._keys,
                "endpoint": self.endpoint,
            }
        )

    def keys(self, prefix: str) -> Mapping[str, pulumi.Output[str]]:
        """The store's own: on one machine each process can read every other one's."""
        del prefix
        return self._keys

    def close(self) -> None:
        """Nothing waits for the last right: every process has the store's own keys."""
