"""Pods with one container, as the platform runs them: closed, bounded, without the cluster's token.

Needs the Kubernetes SDK, which `local` does not have: only realizations on clusters import this module.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
from pulumi_kubernetes import core, meta

from infra.base.resources import Resources
from infra.kube import authority
from infra.kube.objects import (
    USER,
    container_security,
    labels,
    mebibytes,
    node_selector,
    pod_security,
    requirements,
    tolerations,
    variables,
)
from infra.kube.substrate import Kubernetes

PROBE_SECONDS = 10


@dataclass(frozen=True, kw_only=True)
class Files:
    """Files that a container reads, all in one folder."""

    folder: str

    contents: Mapping[str, pulumi.Input[str]]
    """Name -> text."""

    secret: bool = False
    """Whether they hold a credential and are kept in a Secret; else in a ConfigMap."""

    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Mount:
    """Something on the cluster that a container has as a folder."""

    folder: str

    source: pulumi.Input[str]
    """Name of the volume claim or of the Secret."""


@dataclass(frozen=True, kw_only=True)
class PodArgs:
    """What runs in a pod's container, and what it may reach."""

    substrate: Kubernetes

    image: str

    resources: Resources

    command: Sequence[pulumi.Input[str]] | None = None
    """Replaces the image's entry point; None keeps it."""

    arguments: Sequence[pulumi.Input[str]] = ()

    environment: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)

    secrets: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    """Variables that hold a credential; kept in a Secret."""

    calls: Sequence[str] = ()
    """Roles whose servers it connects to; everything else is out of its reach."""

    files: Sequence[Files] = ()

    mounted_secrets: Sequence[Mount] = ()
    """Secrets that others made, such as a certificate."""

    scratch: Sequence[str] = ("/tmp",)  # noqa: S108  a folder inside the container
    """Folders that it may write to, empty at each start; everything else is read-only."""

    user: int = USER

    service_account: pulumi.Input[str] | None = None
    """Identity towards stores; None has none. It gets no token of the cluster's API."""

    needs: Sequence[pulumi.Input[pulumi.Resource]] = ()
    """What must be there before the pod starts."""


@dataclass(frozen=True, kw_only=True)
class Serving:
    """What a container that serves has beyond one that runs to its end."""

    role: str
    """What its callers say they call: see `infra.kube.network_policies.open_to_callers`."""

    port: int

    health: core.v1.ProbeArgs
    """How to ask whether it serves, e.g. `http_health("/health", 80)`; how often is decided here."""

    start_seconds: int
    """Seconds that a start may take before the container is started again."""

    of_workload: bool = False
    """Whether it serves one workload's data, to which pods in namespaces of workloads have no way."""


def http_health(path: str, port: int) -> core.v1.ProbeArgs:
    """Healthy while a GET of `path` answers 2xx or 3xx."""
    return core.v1.ProbeArgs(http_get=core.v1.HTTPGetActionArgs(path=path, port=port))


def command_health(*command: str) -> core.v1.ProbeArgs:
    """Healthy while a command in the container exits with 0."""
    return core.v1.ProbeArgs(exec_=core.v1.ExecActionArgs(command=list(command)))


def template(
    name: str, args: PodArgs, parent: pulumi.Resource, *, serving: Serving | None = None, data: Mount | None = None
) -> core.v1.PodTemplateSpecArgs:
    """The pod's template; what it reads its files and credentials from is made below `parent`.

    It meets the Pod Security Standard `restricted`. Without `serving` it runs to its end and is never started again.
    """
    known = authority.volumes(args.substrate, args.calls)
    volumes = [*_scratch(args), *_files(name, args, parent), *_mounted_secrets(args), *known]
    if data is not None:
        source = core.v1.PersistentVolumeClaimVolumeSourceArgs(claim_name=data.source)
        volumes.append((core.v1.VolumeArgs(name="data", persistent_volume_claim=source), data.folder))
    secret = kept_variables(f"{name}-secrets", name, args.secrets, args.substrate, parent)
    container = core.v1.ContainerArgs(
        name="main",
        image=args.image,
        command=list(args.command) if args.command is not None else None,
        args=list(args.arguments) or None,
        env=variables(args.environment, secret, list(args.secrets)),
        volume_mounts=[
            core.v1.VolumeMountArgs(name=volume.name, mount_path=folder, read_only=_is_read_only(volume))
            for volume, folder in volumes
        ],
    )
    if serving is not None:
        container.ports = [core.v1.ContainerPortArgs(container_port=serving.port, name="main")]
        starts = max(1, serving.start_seconds // PROBE_SECONDS)
        container.startup_probe = probe(serving.health, starts, PROBE_SECONDS)
        container.readiness_probe = probe(serving.health, 3, PROBE_SECONDS)
        container.liveness_probe = probe(serving.health, 6, PROBE_SECONDS)
    return core.v1.PodTemplateSpecArgs(
        metadata=meta.v1.ObjectMetaArgs(
            labels=labels(name, serves=serving.role if serving else None, calls=args.calls)
        ),
        spec=closed(
            container,
            [volume for volume, _ in volumes],
            args.resources,
            service_account=args.service_account,
            user=args.user,
            restart=None if serving else "Never",
        ),
    )


def closed(
    container: core.v1.ContainerArgs,
    volumes: Sequence[core.v1.VolumeArgs],
    resources: Resources,
    *,
    service_account: pulumi.Input[str] | None,
    user: int = USER,
    token: bool = False,
    restart: str | None = None,
) -> core.v1.PodSpecArgs:
    """The pod around a container: Pod Security `restricted`, bounded, on the nodes that its resources ask for.

    `token`: whether it calls the cluster's API; `restart`: restart policy, None leaves it to the pod's owner.
    """
    container.resources = requirements(resources)
    container.security_context = container_security()
    return core.v1.PodSpecArgs(
        automount_service_account_token=token,
        service_account_name=service_account,
        security_context=pod_security(user),
        enable_service_links=False,
        restart_policy=restart,
        node_selector=node_selector(resources),
        tolerations=tolerations(resources),
        containers=[container],
        volumes=list(volumes),
    )


def probe(health: core.v1.ProbeArgs, failures: int, period_seconds: int) -> core.v1.ProbeArgs:
    """How often to ask, and how many failures in a row tell a server that hangs from one that is busy."""
    return core.v1.ProbeArgs(
        http_get=health.http_get,
        exec_=health.exec_,
        period_seconds=period_seconds,
        timeout_seconds=5,
        failure_threshold=failures,
    )


def scratch_volume(name: str, resources: Resources) -> core.v1.VolumeArgs:
    """A folder that a container may write to, empty at each start and bounded."""
    source = core.v1.EmptyDirVolumeSourceArgs(size_limit=mebibytes(resources.ephemeral_storage_mib))
    return core.v1.VolumeArgs(name=name, empty_dir=source)


def kept_variables(
    name: str, pod: str, secrets: Mapping[str, pulumi.Input[str]], substrate: Kubernetes, parent: pulumi.Resource
) -> pulumi.Output[str] | None:
    """Name of a Secret with variables of the pods named `pod`; None without any.

    Never changed: another value makes a Secret of another name, so that the pods that name it are rolled.
    """
    if not secrets:
        return None
    secret = core.v1.Secret(
        name, metadata=metadata(pod, substrate), string_data=dict(secrets), immutable=True, opts=substrate.child(parent)
    )
    return secret.metadata.name


def metadata(name: str, substrate: Kubernetes, annotations: Mapping[str, str] | None = None) -> meta.v1.ObjectMetaArgs:
    """Metadata of an object that belongs to the pods named `name` and that the provider names."""
    return meta.v1.ObjectMetaArgs(
        namespace=substrate.namespace, labels=labels(name), annotations=dict(annotations) if annotations else None
    )


def _scratch(args: PodArgs) -> list[tuple[core.v1.VolumeArgs, str]]:
    return [(scratch_volume(f"scratch-{number}", args.resources), folder) for number, folder in enumerate(args.scratch)]


def _files(name: str, args: PodArgs, parent: pulumi.Resource) -> list[tuple[core.v1.VolumeArgs, str]]:
    return [
        (_file_volume(f"{name}-files-{number}", name, files, args.substrate, parent), files.folder)
        for number, files in enumerate(args.files)
    ]


def _mounted_secrets(args: PodArgs) -> list[tuple[core.v1.VolumeArgs, str]]:
    return [
        (
            core.v1.VolumeArgs(
                name=f"secret-{number}", secret=core.v1.SecretVolumeSourceArgs(secret_name=mount.source)
            ),
            mount.folder,
        )
        for number, mount in enumerate(args.mounted_secrets)
    ]


def _file_volume(
    name: str, pod: str, files: Files, substrate: Kubernetes, parent: pulumi.Resource
) -> core.v1.VolumeArgs:
    about, volume = metadata(pod, substrate, files.annotations), name.removeprefix(f"{pod}-")
    if files.secret:
        secret = core.v1.Secret(
            name, metadata=about, string_data=dict(files.contents), immutable=True, opts=substrate.child(parent)
        )
        source = core.v1.SecretVolumeSourceArgs(secret_name=secret.metadata.name)
        return core.v1.VolumeArgs(name=volume, secret=source)
    config = core.v1.ConfigMap(
        name, metadata=about, data=dict(files.contents), immutable=True, opts=substrate.child(parent)
    )
    return core.v1.VolumeArgs(name=volume, config_map=core.v1.ConfigMapVolumeSourceArgs(name=config.metadata.name))


def _is_read_only(volume: core.v1.VolumeArgs) -> bool:
    return volume.empty_dir is None and volume.persistent_volume_claim is None
