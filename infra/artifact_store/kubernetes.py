"""Artifact store on a cluster: versitygw, the S3 API over a volume; the same server as on `local`.

Each workload, MLflow and Kubeflow Pipelines have an account of their own. It is one pod: a stack that needs more
throughput takes a cloud's store.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_random

from infra.artifact_store.folders import PIPELINES, TRACKING
from infra.artifact_store.settings import VersitygwOnKubernetesSettings
from infra.artifact_store.versitygw import BUCKET, REGION, Keys, policy, start, users
from infra.base.resources import Resources
from infra.kube.pod import Files, Serving, http_health
from infra.kube.server import Data, Server, ServerArgs
from infra.kube.substrate import Kubernetes

PORT = 7070
DATA = "/data"
ACCOUNTS = "/etc/versitygw"


@dataclass(frozen=True, kw_only=True)
class VersitygwOnKubernetesArgs:
    """The settings, and what other components hand over."""

    settings: VersitygwOnKubernetesSettings

    substrate: Kubernetes

    workloads: Sequence[str] = ()
    """Each has an account; another one restarts the server, as its accounts are part of the configuration."""


class VersitygwOnKubernetes(pulumi.ComponentResource):
    """One bucket behind a real S3 API; objects are files on a volume.

    Realizes `infra.artifact_store.ArtifactStore`.
    Source: https://github.com/versity/versitygw/wiki
    """

    uri: pulumi.Output[str]
    """`s3://mlplatform`, no trailing slash."""

    client_env: Mapping[str, pulumi.Output[str]]
    """Endpoint and region under the names that AWS SDKs read."""

    ready: pulumi.Resource
    """The pod, once it answers."""

    def __init__(self, name: str, args: VersitygwOnKubernetesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:VersitygwOnKubernetes", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)

        self._root = _drawn(name, child)
        folders = [*(f"{workload}/" for workload in args.workloads), TRACKING, PIPELINES]
        self._accounts = {folder: _drawn(f"{name}-{folder.rstrip('/')}", child) for folder in folders}
        server = Server(name, self._server(args), child)

        self.ready = server.ready
        self.uri = pulumi.Output.from_input(f"s3://{BUCKET}")
        self.client_env = {
            "AWS_ENDPOINT_URL_S3": pulumi.Output.format("http://{0}:{1}", server.host, PORT),
            "AWS_REGION": pulumi.Output.from_input(REGION),
        }
        self.register_outputs({"uri": self.uri, "client_env": self.client_env, "client_secrets": self.keys("")})

    def keys(self, prefix: str) -> Mapping[str, pulumi.Output[str]]:
        """Of the account of the prefix's first folder, or for no prefix of the root; known once the server knows them.

        Their names are those that AWS SDKs read.
        """
        folder, slash, _ = prefix.partition("/")
        drawn = self._accounts[folder + slash] if prefix else self._root
        known = pulumi.Output.all(*drawn, self.ready.urn)
        return {
            "AWS_ACCESS_KEY_ID": known.apply(lambda each: each[0]),
            "AWS_SECRET_ACCESS_KEY": known.apply(lambda each: each[1]),
        }

    def close(self) -> None:
        """Nothing waits for the last right: the workloads' accounts are known from the start."""

    def _server(self, args: VersitygwOnKubernetesArgs) -> ServerArgs:
        access, secret = self._root
        known = pulumi.Output.all(
            **{folder: pulumi.Output.all(*drawn) for folder, drawn in self._accounts.items()}
        ).apply(lambda drawn: {folder: Keys(access=keys[0], secret=keys[1]) for folder, keys in drawn.items()})
        files = {"users.json": known.apply(users), "policy.json": known.apply(policy)}
        return ServerArgs(
            substrate=args.substrate,
            image=args.substrate.supply.image(args.settings.image),
            command=["sh", "-c", start(f":{PORT}", DATA, ACCOUNTS)],
            secrets={"ROOT_ACCESS_KEY": access, "ROOT_SECRET_KEY": secret},
            files=[Files(folder=ACCOUNTS, contents=files, secret=True)],
            data=Data(folder=DATA, volume=args.settings.volume),
            resources=Resources(memory_mib=args.settings.memory_mib),
            serving=Serving(role="artifact-store", port=PORT, health=http_health("/healthz", PORT), start_seconds=60),
        )


def _drawn(name: str, opts: pulumi.ResourceOptions) -> tuple[pulumi.Output[str], pulumi.Output[str]]:
    """An account's keys: how it is called, and its secret."""
    access, secret = (
        pulumi_random.RandomPassword(f"{name}-{part}-key", length=length, special=False, opts=opts).result
        for part, length in {"access": 20, "secret": 40}.items()
    )
    return access, secret
