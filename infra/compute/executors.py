"""What a task needs to start helpers as pods of its own namespace, such as Spark's executors."""

from collections.abc import Sequence

import pulumi
from pulumi_kubernetes import meta, rbac

from infra.base.images import Target
from infra.compute.pod import STARTS_EXECUTORS, TaskOnKubernetesArgs, service_account
from infra.compute.spec import Executors
from infra.identity import Need, Principal
from infra.kube import network_policies, objects
from infra.kube.pod import kept_variables
from infra.kube.substrate import Kubernetes

RULES = {
    "pods": ["create", "get", "list", "watch", "delete", "deletecollection", "patch"],
    "configmaps": ["create", "get", "list", "watch", "delete", "deletecollection", "patch"],
    "services": ["create", "get", "list", "watch", "delete", "deletecollection"],
    "persistentvolumeclaims": ["list", "deletecollection"],
}
"""What a Spark driver asks of the API server.
Source: https://spark.apache.org/docs/latest/running-on-kubernetes.html#rbac"""


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
        secret = kept_variables(f"{name}-environment", name, grant.secrets, substrate, self)
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
            store_secret=secret,
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
        peers = [network_policies.peer(labels) for labels in others]
        network_policies.network_policy(
            f"{name}-{end}",
            substrate.namespace,
            substrate.child(parent),
            pods=pods,
            ingress=[network_policies.Ingress(from_=peers)],
            egress=[network_policies.Egress(to=peers)],
        )
