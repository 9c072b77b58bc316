"""The pod of a task on a cluster: what Deployments, Jobs, CronJobs and model servers have in common.

Leaves out what owns the pod.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_kubernetes import core, meta, rbac

from infra.compute.spec import Executors, TaskSpec
from infra.identity import Grant, Identity, Principal
from infra.kube import authority, objects
from infra.kube.pod import closed, http_health, kept_variables, probe, scratch_volume
from infra.kube.substrate import Kubernetes

SCRATCH = {"work": "/work", "tmp": "/tmp"}  # noqa: S108  a volume of the container's own
"""Folders that a container may write to; they go with the pod."""
STARTS_EXECUTORS = {f"{objects.LABEL_PREFIX}/starts-executors": "true", **objects.CALLS_API_SERVER}
"""Labels of the pods that executors connect to."""
PROBE_SECONDS = 5
START_PROBES = 60
"""Probes that a server has to start up: importing a model server's libraries takes half a minute on a busy core."""
EVERY_ADDRESS = "0.0.0.0"  # noqa: S104  of the pod, whose open paths are its network policies


@dataclass(frozen=True, kw_only=True)
class TaskOnKubernetesArgs:
    """What every task needs beside its specification."""

    substrate: Kubernetes

    identity: Identity


@dataclass(frozen=True, kw_only=True)
class Server:
    """What makes a task's pod one that others connect to."""

    path: str
    """Name of the open path that ends at it: a role, or the component's name."""

    port: int
    """TCP."""

    health: str
    """HTTP path that answers 2xx while it lives."""


@dataclass(frozen=True, kw_only=True)
class Pod:
    """What a task's pods are made of."""

    labels: dict[str, str]

    spec: core.v1.PodSpecArgs

    def template(self, annotations: dict[str, str] | None = None) -> core.v1.PodTemplateSpecArgs:
        """For what makes pods."""
        return core.v1.PodTemplateSpecArgs(
            metadata=meta.v1.ObjectMetaArgs(labels=self.labels, annotations=annotations), spec=self.spec
        )


def pod(
    name: str,
    spec: TaskSpec,
    args: TaskOnKubernetesArgs,
    parent: pulumi.Resource,
    *,
    server: Server | None = None,
    container: str = "main",
    restart: str | None = None,
) -> Pod:
    """Make a task's service account and Secret, and the pod that uses them.

    `container`: name of its container; `restart`: restart policy, None leaves it to the pod's owner.
    """
    grant = args.identity.grant(
        name,
        spec.needs,
        Principal(namespace=args.substrate.namespace, service_account=name),
        pulumi.ResourceOptions(parent=parent),
    )
    account = service_account(name, args.substrate, parent, grant)
    secrets = {**grant.secrets, **spec.secrets}
    secret = kept_variables(f"{name}-environment", name, secrets, args.substrate, parent)
    if spec.executors is not None:
        _let_start(name, spec.executors, args.substrate, parent)
    plain = {**grant.environment, **spec.environment, "WORK_DIR": SCRATCH["work"], "HOME": SCRATCH["tmp"]}
    if server is not None:
        plain |= {"PORT": str(server.port), "LISTEN_ADDRESS": EVERY_ADDRESS}
    known = authority.volumes(args.substrate, _calls(spec))
    main = core.v1.ContainerArgs(
        name=container,
        image=args.substrate.image(spec.image),
        command=list(spec.command),
        env=objects.variables(plain, secret, list(secrets)),
        ports=[core.v1.ContainerPortArgs(container_port=server.port, protocol="TCP")] if server else None,
        startup_probe=_probe(server, START_PROBES),
        readiness_probe=_probe(server, 2),
        liveness_probe=_probe(server, 6),
        volume_mounts=[
            *(core.v1.VolumeMountArgs(name=key, mount_path=path) for key, path in SCRATCH.items()),
            *(core.v1.VolumeMountArgs(name=each.name, mount_path=path, read_only=True) for each, path in known),
        ],
    )
    return Pod(
        labels=objects.labels(name, serves=server.path if server else None, calls=_calls(spec))
        | (STARTS_EXECUTORS if spec.executors else {}),
        spec=closed(
            main,
            [*(scratch_volume(key, spec.resources) for key in SCRATCH), *(each for each, _ in known)],
            spec.resources,
            service_account=account.metadata.name,
            token=spec.executors is not None,
            restart=restart,
        ),
    )


def service_account(name: str, substrate: Kubernetes, parent: pulumi.Resource, grant: Grant) -> core.v1.ServiceAccount:
    """An identity of its own, without a token for the cluster; its name is what clouds bind roles to."""
    return core.v1.ServiceAccount(
        f"{name}-account",
        metadata=meta.v1.ObjectMetaArgs(
            name=name,
            namespace=substrate.namespace,
            labels=objects.labels(name),
            annotations=dict(grant.annotations) or None,
        ),
        automount_service_account_token=False,
        opts=substrate.child(parent, *grant.ready),
    )


def _probe(server: Server | None, failures: int) -> core.v1.ProbeArgs | None:
    return probe(http_health(server.health, server.port), failures, PROBE_SECONDS) if server else None


def _let_start(name: str, executors: Executors, substrate: Kubernetes, parent: pulumi.Resource) -> None:
    rbac.v1.RoleBinding(
        f"{name}-executors",
        metadata=meta.v1.ObjectMetaArgs(namespace=substrate.namespace),
        role_ref=rbac.v1.RoleRefArgs(api_group="rbac.authorization.k8s.io", kind="Role", name=executors.role),
        subjects=[rbac.v1.SubjectArgs(kind="ServiceAccount", name=name, namespace=substrate.namespace)],
        opts=substrate.child(parent),
    )


def _calls(spec: TaskSpec) -> Sequence[str]:
    return sorted({*spec.calls, *(["artifact-store"] if spec.needs else [])})
