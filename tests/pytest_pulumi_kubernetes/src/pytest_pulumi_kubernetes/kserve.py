"""The real KServe controller manager, in Standard mode."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pytest_pulumi_kubernetes import crds
from pytest_pulumi_kubernetes.controllers import Controller

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_pulumi_kubernetes.client import Object
    from pytest_pulumi_kubernetes.control_plane import ControlPlane

MODULE = "github.com/kserve/kserve"
GATEWAY = "kserve/kserve-ingress-gateway"
"""Namespace and name of the Gateway that routes hang on, unless another one is given."""

_WEBHOOK_PORT = 9443
_RBAC = ("service_account", "role", "role_binding", "leader_election_role", "leader_election_role_binding")


class KServe(Controller):
    """Runs KServe with upstream's manifests, Standard deployment mode and HTTPRoutes of the Gateway API.

    InferenceServices become Deployments, Services, autoscalers and routes; no model is served, as no container runs.
    Raises: MissingToolError, ClusterError.
    """

    def __init__(
        self,
        control_plane: ControlPlane,
        *,
        namespace: str = "kserve",
        gateway: str = GATEWAY,
        domain: str = "example.com",
        runtimes: bool = True,
    ) -> None:
        super().__init__(control_plane, "kserve")
        tools = control_plane.tools
        program = tools.find("kserve")
        config = tools.source(MODULE) / "config"
        self._namespace = namespace
        control_plane.install_definitions("kserve", "gateway-api")
        self.bring([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}])
        self.bring(self._placed(config, [f"rbac/{name}.yaml" for name in _RBAC]))
        self.bring(
            _standard(item, gateway, domain) for item in self._placed(config, ["configmap/inferenceservice.yaml"])
        )
        self.certificates(self.folder / "k8s-webhook-server" / "serving-certs")
        command = [
            str(program),
            f"--webhook-port={_WEBHOOK_PORT}",
            "--metrics-addr=127.0.0.1:8080",
            "--health-probe-addr=127.0.0.1:8081",
        ]
        environment = {"POD_NAMESPACE": namespace, "TMPDIR": str(self.folder)}
        try:
            self.run(command, (namespace, "kserve-controller-manager"), _WEBHOOK_PORT, environment)
            self.bring(self.hook(item) for item in self._placed(config, ["webhook/manifests.yaml"]))
            if runtimes:
                self.bring(crds.kustomize(str(config / "runtimes"), tools))
                self.bring(crds.kustomize(str(config / "storagecontainers"), tools))
        except BaseException:
            self.close()
            raise

    def _placed(self, config: Path, files: list[str]) -> list[Object]:
        """Give manifests of the module, in this namespace."""
        items = [item for file in files for item in crds.load((config / file).read_text())]
        for item in items:
            metadata = item["metadata"]
            metadata.pop("creationTimestamp", None)
            if self.client.resource(item["apiVersion"], item["kind"]).namespaced:
                metadata["namespace"] = self._namespace
            for subject in item.get("subjects") or ():
                subject["namespace"] = self._namespace
        return items


def _standard(settings: Object, gateway: str, domain: str) -> Object:
    """Set what the platform sets: Standard mode, Gateway API, no Istio."""
    data = settings["data"]
    data["deploy"] = json.dumps({"defaultDeploymentMode": "Standard"})
    routing = {
        "enableGatewayApi": True,
        "kserveIngressGateway": gateway,
        "ingressDomain": domain,
        "disableIstioVirtualHost": True,
    }
    data["ingress"] = json.dumps(json.loads(data["ingress"]) | routing)
    return settings
