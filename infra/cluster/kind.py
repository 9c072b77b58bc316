"""A cluster in Docker on this machine, by `kind`."""

import json
from collections.abc import Sequence

import pulumi

from infra import host
from infra.cluster.settings import KindClusterSettings


class KindCluster(pulumi.ComponentResource):
    """Made by the first `up`, deleted with the stack; its API server listens on loopback only.

    Realizes `infra.cluster.Cluster`.
    Source: https://kind.sigs.k8s.io/docs/user/configuration/
    """

    kubeconfig: pulumi.Output[str]

    ready: Sequence[pulumi.Resource]

    identifier: str
    """Its name: the API server gets another port with each creation."""

    def __init__(self, name: str, settings: KindClusterSettings, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:KindCluster", name, None, opts)

        cluster = host.KindCluster(
            f"{name}-kind",
            cluster_name=settings.name,
            node_image=settings.node_image,
            registry_port=settings.registry_port,
            configuration=json.dumps(configuration(settings)),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.kubeconfig = cluster.kubeconfig
        self.identifier = settings.name
        self.ready = [cluster]
        self.register_outputs({"kubeconfig": self.kubeconfig})


def configuration(settings: KindClusterSettings) -> dict[str, object]:
    """The cluster's kind configuration; containerd looks for registries on loopback where `make images` says they are.

    Source: https://kind.sigs.k8s.io/docs/user/local-registry/
    """
    registries = '[plugins."io.containerd.grpc.v1.cri".registry]\n  config_path = "/etc/containerd/certs.d"'
    return {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "networking": {"apiServerAddress": "127.0.0.1"},
        "nodes": [{"role": "control-plane"}, *({"role": "worker"} for _ in range(settings.workers))],
        "containerdConfigPatches": [registries],
    }
