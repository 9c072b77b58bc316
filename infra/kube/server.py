"""A server of the platform on a cluster: its pods, the Service that callers know it by, and who may reach it."""

from dataclasses import dataclass

import pulumi
from pulumi_kubernetes import apps, core, meta, policy

from infra.base import names, protection
from infra.base.volume import Volume
from infra.kube.network_policies import open_to_callers
from infra.kube.objects import labels, selector
from infra.kube.pod import Mount, PodArgs, Serving, metadata, template
from infra.kube.substrate import Kubernetes

SKIP_AWAIT = {"pulumi.com/skipAwait": "true"}
"""Annotation of an object that the provider must not wait for."""


@dataclass(frozen=True, kw_only=True)
class Data:
    """What a server keeps."""

    folder: str

    volume: Volume


@dataclass(frozen=True, kw_only=True)
class ServerArgs(PodArgs):
    """A container that serves on one port."""

    serving: Serving

    data: Data | None = None
    """With a volume there is one replica, which is ended before the next one starts."""

    replicas: int = 1


class Server(pulumi.ComponentResource):
    """A Deployment, or with a volume a StatefulSet of one pod, behind a Service that has the component's name."""

    host: pulumi.Output[str]
    """DNS name of the Service, for pods of every namespace."""

    ready: pulumi.Resource
    """The pods, once they serve."""

    def __init__(self, name: str, args: ServerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:Server", name, None, opts)

        service = _service(name, args, self)
        open_to_callers(
            name, args.serving.role, [args.serving.port], args.substrate, self, of_workload=args.serving.of_workload
        )
        if args.data is None:
            self.ready = _deployment(name, args, self)
        else:
            self.ready = _stateful_set(name, args, args.data, service, self)
        self.host = args.substrate.namespace.apply(lambda namespace: names.host(name, namespace))

        self.register_outputs({"host": self.host})


def claim(name: str, volume: Volume, substrate: Kubernetes, parent: pulumi.Resource) -> core.v1.PersistentVolumeClaim:
    """A volume claim of the pods named `name`."""
    return core.v1.PersistentVolumeClaim(
        f"{name}-data",
        # Where volumes are made for their first pod, the claim is bound only then.
        metadata=metadata(name, substrate, SKIP_AWAIT),
        spec=core.v1.PersistentVolumeClaimSpecArgs(
            access_modes=["ReadWriteOnce"],
            storage_class_name=volume.storage_class,
            resources=core.v1.VolumeResourceRequirementsArgs(requests={"storage": f"{volume.size_gib}Gi"}),
        ),
        opts=protection.options(parent, volume.protection, *substrate.ready),
    )


def disruption_budget(
    name: str, about: meta.v1.ObjectMetaArgs, substrate: Kubernetes, parent: pulumi.Resource
) -> policy.v1.PodDisruptionBudget:
    """At most one pod at a time is taken away by a node's drain; one that is not ready does not hold the drain up."""
    return policy.v1.PodDisruptionBudget(
        f"{name}-disruption",
        metadata=about,
        spec=policy.v1.PodDisruptionBudgetSpecArgs(
            max_unavailable=1,
            unhealthy_pod_eviction_policy="AlwaysAllow",
            selector=meta.v1.LabelSelectorArgs(match_labels=selector(name)),
        ),
        opts=substrate.child(parent),
    )


def _service(name: str, args: ServerArgs, parent: pulumi.Resource) -> core.v1.Service:
    port = args.serving.port
    return core.v1.Service(
        f"{name}-service",
        metadata=meta.v1.ObjectMetaArgs(
            # Its name is part of the addresses that clients keep.
            name=names.dns_label(name),
            namespace=args.substrate.namespace,
            labels=labels(name, serves=args.serving.role),
            # The pods say when the server is ready; the Service would wait for them a second time.
            annotations=SKIP_AWAIT,
        ),
        spec=core.v1.ServiceSpecArgs(
            type="ClusterIP",
            selector=selector(name),
            ports=[core.v1.ServicePortArgs(name="main", port=port, target_port=port, protocol="TCP")],
        ),
        opts=args.substrate.child(parent),
    )


def _deployment(name: str, args: ServerArgs, parent: pulumi.Resource) -> apps.v1.Deployment:
    pods = meta.v1.LabelSelectorArgs(match_labels=selector(name))
    if args.replicas > 1:
        disruption_budget(name, metadata(name, args.substrate), args.substrate, parent)
    return apps.v1.Deployment(
        f"{name}-server",
        metadata=metadata(name, args.substrate),
        spec=apps.v1.DeploymentSpecArgs(
            replicas=args.replicas, selector=pods, template=template(name, args, parent, serving=args.serving)
        ),
        opts=args.substrate.child(parent, *args.needs),
    )


def _stateful_set(
    name: str, args: ServerArgs, data: Data, service: core.v1.Service, parent: pulumi.Resource
) -> apps.v1.StatefulSet:
    kept = claim(name, data.volume, args.substrate, parent)
    mount = Mount(folder=data.folder, source=kept.metadata.name)
    return apps.v1.StatefulSet(
        f"{name}-server",
        metadata=metadata(name, args.substrate),
        spec=apps.v1.StatefulSetSpecArgs(
            replicas=1,
            service_name=service.metadata.name,
            selector=meta.v1.LabelSelectorArgs(match_labels=selector(name)),
            template=template(name, args, parent, serving=args.serving, data=mount),
        ),
        opts=args.substrate.child(parent, *args.needs),
    )
