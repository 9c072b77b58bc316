"""The real Gatekeeper: its validating webhook, mutation and audit."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pytest_pulumi_kubernetes import crds
from pytest_pulumi_kubernetes.controllers import Controller

if TYPE_CHECKING:
    from pytest_pulumi_kubernetes.client import Object
    from pytest_pulumi_kubernetes.control_plane import ControlPlane

MODULE = "github.com/open-policy-agent/gatekeeper/v3"
NAMESPACE = "gatekeeper-system"

_OPERATIONS = (
    "webhook",
    "mutation-webhook",
    "mutation-controller",
    "mutation-status",
    "audit",
    "status",
    "generate",
)
_LEFT_OUT = ("CustomResourceDefinition", "Deployment", "PodDisruptionBudget", "ResourceQuota")
_ACCOUNT = "gatekeeper-admin"
_POD = "gatekeeper"
_WEBHOOK_PORT = 8443
_SETTLE_SECONDS = 60.0
_VIOLATIONS = 500
"""How many violations the audit lists, so that a test sees each of them; upstream lists 20."""


class Gatekeeper(Controller):
    """Runs Gatekeeper with upstream's manifests, except that its webhooks fail closed.

    Give another `namespace` where the program under test makes `gatekeeper-system` itself; likewise with KServe's.
    Templates and constraints are applied as anywhere, and take effect within seconds; `wait_for` waits for them.
    Raises: MissingToolError, ClusterError.
    """

    def __init__(
        self, control_plane: ControlPlane, *, namespace: str = NAMESPACE, audit_interval_seconds: int = 5
    ) -> None:
        super().__init__(control_plane, "gatekeeper")
        tools = control_plane.tools
        program = tools.find("gatekeeper")
        control_plane.install_definitions("gatekeeper")
        text = (tools.source(MODULE) / "deploy/gatekeeper.yaml").read_text().replace(NAMESPACE, namespace)
        manifests = [item for item in crds.load(text) if item["kind"] not in _LEFT_OUT]
        webhooks = [item for item in manifests if "Webhook" in item["kind"]]
        self.bring(item for item in manifests if item not in webhooks)
        self.bring([_pod(namespace)])
        self.certificates(self.folder / "certs")
        (self.folder / "cache").mkdir()
        command = [
            str(program),
            "--host=127.0.0.1",
            f"--port={_WEBHOOK_PORT}",
            f"--cert-dir={self.folder / 'certs'}",
            f"--api-cache-dir={self.folder / 'cache'}",
            "--disable-cert-rotation",
            f"--exempt-namespace={namespace}",
            f"--audit-interval={audit_interval_seconds}",
            f"--constraint-violations-limit={_VIOLATIONS}",
            "--disable-opa-builtin={http.send}",
            *(f"--operation={operation}" for operation in _OPERATIONS),
        ]
        environment = {"POD_NAMESPACE": namespace, "POD_NAME": _POD, "NAMESPACE": namespace}
        try:
            self.run(command, (namespace, _ACCOUNT), _WEBHOOK_PORT, environment)
            self.bring(self.hook(_fails_closed(item)) for item in webhooks)
        except BaseException:
            self.close()
            raise

    def constrain(self, template: Object, constraint: Object) -> None:
        """Apply a template and a constraint, and wait until the webhook enforces it.

        Raises: ApiError, TimeoutError.
        """
        self.client.apply(template)
        crds.wait_until_served(self.client, _plural(constraint), _SETTLE_SECONDS)
        self.client.apply(constraint)
        self.wait_for(constraint)

    def wait_for(self, constraint: Object) -> None:
        """Wait until a constraint is enforced by the webhook.

        Raises: TimeoutError.
        """
        target = (constraint["apiVersion"], constraint["kind"], constraint["metadata"]["name"], None)
        self.client.wait(target, _is_enforced, _SETTLE_SECONDS)

    def violations(self, constraint: Object, since: float | None = None) -> list[Object]:
        """Give what the audit found against a constraint, from an audit that began after now (or `since`).

        Raises: TimeoutError.
        """
        begun = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() if since is None else since))

        def audited(found: Object | None) -> bool:
            return str(((found or {}).get("status") or {}).get("auditTimestamp") or "") > begun

        target = (constraint["apiVersion"], constraint["kind"], constraint["metadata"]["name"], None)
        found = self.client.wait(target, audited, _SETTLE_SECONDS) or {}
        return list(found["status"].get("violations") or [])


def _pod(namespace: str) -> Object:
    """Stands for the process: it owns what Gatekeeper notes, which the garbage collector would take away otherwise."""
    closed = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": _POD, "namespace": namespace},
        "spec": {
            "serviceAccountName": _ACCOUNT,
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{"name": "main", "image": "gatekeeper.invalid/none:1", "securityContext": closed}],
        },
    }


def _plural(constraint: Object) -> str:
    return f"{constraint['kind'].lower()}.constraints.gatekeeper.sh"


def _fails_closed(configuration: Object) -> Object:
    """Let a webhook that does not answer in time refuse, so that a slow machine cannot make a test pass."""
    for webhook in configuration["webhooks"]:
        if configuration["kind"].startswith("Validating"):
            webhook["failurePolicy"] = "Fail"
    return configuration


def _is_enforced(found: Object | None) -> bool:
    pods = ((found or {}).get("status") or {}).get("byPod") or []
    generation = ((found or {}).get("metadata") or {}).get("generation")
    return any(pod.get("enforced") and pod.get("observedGeneration") == generation for pod in pods)
