"""What a task needs to start helpers as pods of its own namespace, such as Spark's executors."""

from collections.abc import Sequence

import pulumi
from pulumi_kubernetes import meta, networking, rbac

from infra.base.images import Target
from infra.compute.pod import STARTS_EXECUTORS, TaskOnKubernetesArgs, secret_of, service_account
from infra.compute.spec import Executors
from infra.identity import Need, Principal
from infra.kube import objects
from infra.kube.substrate import Kubernetes

RULES = {
    "pods": ["create", "get", "list", "watch", "delete", "deletecollection", "patch"],
    "configmaps": ["create", "get", "list", "watch", "delete", "deletecollection", "patch"],
    "services": ["create", "get", "list", "watch", "delete", "deletecollection"],
    "persistentvolumeclaims": ["list", "deletecollection"],
}
"""What a Spark driver asks of the API server.
Source: https://spark.apache.org/docs/latest/running-on-objects.html#rbac"""


class ExecutorsOnKubernetes(pulumi.ComponentResource):
    """An account for the helpers with what they need of the stores, a role for those who start them, open paths."""

    executors: Executors

    def __init__(
        self,
        name: str,
        image: Target,
        needs: Sequence[Need],
        args: TaskOnKubernetesArgs,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("mlplatform:index:ExecutorsOnKubernetes", name, None, opts)
        substrate = args.substrate

        principal = Principal(namespace=substrate.namespace, service_account=name)
        grant = args.identity.grant(name, needs, principal, pulumi.ResourceOptions(parent=self))
        account = service_account(name, substrate, self, grant)
        secret = secret_of(name, dict(grant.secrets), substrate, self)
        role = rbac.v1.Role(
            f"{name}-role",
            metadata=meta.v1.ObjectMetaArgs(namespace=substrate.namespace),
            rules=[
                rbac.v1.PolicyRuleArgs(api_groups=[""], resources=[resource], verbs=verbs)
                for resource, verbs in RULES.items()
            ],
            opts=substrate.child(self),
        )
        _open_paths(name, substrate, self)
        self.executors = Executors(
            image=substrate.image(image),
            namespace=substrate.namespace,
            service_account=account.metadata.name,
            store_secret=secret.metadata.name if secret else None,
            labels=objects.labels(name, calls=["artifact-store"]),
            role=role.metadata.name,
        )
        self.register_outputs({})


def _open_paths(name: str, substrate: Kubernetes, parent: pulumi.Resource) -> None:
    """Between helpers, and between them and who started them, both ways and on any port: they choose some freely."""
    both = {
        "helpers": (objects.selector(name), [objects.selector(name), STARTS_EXECUTORS]),
        "starters": (STARTS_EXECUTORS, [objects.selector(name)]),
    }
    for end, (pods, others) in both.items():
        peers = [
            networking.v1.NetworkPolicyPeerArgs(pod_selector=meta.v1.LabelSelectorArgs(match_labels=labels))
            for labels in others
        ]
        networking.v1.NetworkPolicy(
            f"{name}-{end}",
            metadata=meta.v1.ObjectMetaArgs(namespace=substrate.namespace),
            spec=networking.v1.NetworkPolicySpecArgs(
                pod_selector=meta.v1.LabelSelectorArgs(match_labels=pods),
                policy_types=["Ingress", "Egress"],
                ingress=[networking.v1.NetworkPolicyIngressRuleArgs(from_=peers)],
                egress=[networking.v1.NetworkPolicyEgressRuleArgs(to=peers)],
            ),
            opts=substrate.child(parent),
        )
