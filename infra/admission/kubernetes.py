"""Admission by Gatekeeper: its official chart, then our templates, then our constraints."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_kubernetes import apiextensions

from infra.admission.settings import GatekeeperSettings
from infra.admission.spec import Manifest, Rules
from infra.base.resources import Resources
from infra.controllers.namespace import ControllerNamespace, ControllerNamespaceArgs
from infra.kube import charts
from infra.kube.charts import container
from infra.kube.objects import UNJUDGED
from infra.kube.substrate import Kubernetes

NAMESPACE = "gatekeeper-system"
PORTS = (8443,)
SIZE = Resources(cpu_millicores=100, cpu_limit_millicores=1000, memory_mib=512)
CREATED = {"pulumi.com/waitFor": "jsonpath={.status.created}=true"}
"""Waits until the kind of a template's constraints exists.
Source: https://www.pulumi.com/registry/packages/kubernetes/installation-configuration/#pulumi-com-waitfor"""

REVIEWED = [
    {
        "apiGroups": ["*"],
        "apiVersions": ["*"],
        "operations": ["CREATE", "UPDATE", "CONNECT"],
        "resources": ["*", "pods/ephemeralcontainers", "pods/exec", "pods/attach"],
        "scope": "Namespaced",
    },
    {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "operations": ["CREATE", "UPDATE"],
        "resources": ["namespaces"],
        "scope": "Cluster",
    },
]
"""What the webhook is asked about: no node waits for it, or a cluster that lost all nodes would never get one back.
Source: https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#matching-requests-rules"""


@dataclass(frozen=True, kw_only=True)
class GatekeeperArgs:
    """The settings, and what other components hand over."""

    settings: GatekeeperSettings

    substrate: Kubernetes

    rules: Rules


class Gatekeeper(pulumi.ComponentResource):
    """Gatekeeper with the stack's rules; nothing is mutated.

    Realizes `infra.admission.Admission`.
    Source: https://open-policy-agent.github.io/gatekeeper/website/docs/
    """

    ready: Sequence[pulumi.Resource]
    """Webhook and constraints."""

    def __init__(self, name: str, args: GatekeeperArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:Gatekeeper", name, None, opts)

        space = ControllerNamespaceArgs(substrate=args.substrate, name=NAMESPACE, ports=PORTS)
        inside = ControllerNamespace(f"{name}-namespace", space, pulumi.ResourceOptions(parent=self)).substrate
        controller = charts.release(
            f"{name}-gatekeeper", charts.GATEKEEPER, values(args.settings), inside, inside.child(self)
        )
        copies = [self._object(name, each, controller) for each in args.rules.inventory]
        templates = [self._object(name, each, controller) for each in args.rules.templates]
        constraints = [self._object(name, each, *templates) for each in args.rules.constraints]

        self.ready = [controller, *copies, *constraints]
        self.register_outputs({})

    def _object(self, name: str, manifest: Manifest, *needs: pulumi.Resource) -> apiextensions.CustomResource:
        kind, metadata = manifest["kind"], manifest["metadata"]
        is_template = kind == "ConstraintTemplate"
        annotations = {**metadata.get("annotations", {}), **(CREATED if is_template else {})}
        return apiextensions.CustomResource(
            f"{name}-{metadata['name']}-template" if is_template else f"{name}-{kind.lower()}",
            api_version=manifest["apiVersion"],
            kind=kind,
            # An API server drops empty maps, and the provider would report an update at every run.
            metadata={**metadata, "annotations": annotations} if annotations else metadata,
            spec=manifest["spec"],
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(needs)),
        )


def values(settings: GatekeeperSettings) -> dict[str, object]:
    """Source: https://github.com/open-policy-agent/gatekeeper/tree/v3.23.1/charts/gatekeeper."""
    return {
        "replicas": settings.replicas,
        "auditInterval": settings.audit_interval_seconds,
        "validatingWebhookFailurePolicy": settings.failure_policy,
        "validatingWebhookCustomRules": REVIEWED,
        "validatingWebhookExemptNamespacesLabels": {
            "kubernetes.io/metadata.name": list(settings.exempt_namespaces),
            **{label: [value] for label, value in UNJUDGED.items()},
        },
        "disableMutation": True,
        "controllerManager.resources": container(SIZE),
        "audit.resources": container(SIZE.model_copy(update={"memory_mib": settings.audit_memory_mib})),
        "crds.resources": container(SIZE),
        # Without it, objects would be refused while the chart is being removed.
        "preUninstall.deleteWebhookConfigurations.enabled": True,
        # The chart's binding reads its account's name from here, not from where the account has it; without one the
        # API server refuses the binding, and the chart cannot be removed.
        "preUninstall.deleteWebhookConfigurations.name": "gatekeeper-delete-webhook-configs",
        # The stack makes the namespace with its labels.
        "postInstall.labelNamespace.enabled": False,
    }
