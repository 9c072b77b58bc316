"""What the objects of a stack on a cluster have in common: labels, security contexts, variables, placement, open paths.

Needs the Kubernetes SDK, which `local` does not have: only realizations on clusters import this module.
"""

from collections.abc import Mapping, Sequence

import pulumi
from pulumi_kubernetes import core, meta

from infra.base.resources import Resources

LABEL_PREFIX = "mlplatform.dev"
OURS = {f"{LABEL_PREFIX}/platform": "true"}
WORKLOAD = f"{LABEL_PREFIX}/workload"
"""Label of the namespaces of workloads: what serves in one is closed to the pods of the others."""
"""Label of the namespaces whose pods may talk to each other, along open paths only."""
CALLS_API_SERVER = {f"{LABEL_PREFIX}/calls-api-server": "true"}
"""Label of pods that talk to the cluster's API server, such as a Spark driver."""
JUDGED = {f"{LABEL_PREFIX}/judged": "true"}
"""Label of the namespaces in which the policies judge every object."""
UNJUDGED = {f"{LABEL_PREFIX}/judged": "false"}
"""Label of the namespaces of others' controllers, which admission is not asked about: they heal without it."""
GPU = "nvidia.com/gpu"
"""Resource, node label and taint of GPUs.
Source: https://github.com/NVIDIA/k8s-device-plugin"""
USER = 65532
"""User and group of every container of a stack: the `nonroot` of distroless images."""


def labels(name: str, *, serves: str | None = None, calls: Sequence[str] = ()) -> dict[str, str]:
    """Labels of a pod and of what belongs to it; `serves` and `calls` name the ends of open paths.

    Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/
    """
    return {
        **selector(name),
        "app.kubernetes.io/part-of": "mlplatform",
        "app.kubernetes.io/managed-by": "pulumi",
        **({f"{LABEL_PREFIX}/serves": serves} if serves else {}),
        **{f"{LABEL_PREFIX}/calls-{role}": "true" for role in calls},
    }


def selector(name: str) -> dict[str, str]:
    """The label that tells one component's pods from all others."""
    return {"app.kubernetes.io/name": name}


def pod_security(user: int = USER) -> core.v1.PodSecurityContextArgs:
    """What the Pod Security Standard `restricted` asks of a pod; `user` is its user and group.

    Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/
    """
    return core.v1.PodSecurityContextArgs(
        run_as_non_root=True,
        run_as_user=user,
        run_as_group=user,
        fs_group=user,
        fs_group_change_policy="OnRootMismatch",
        seccomp_profile=core.v1.SeccompProfileArgs(type="RuntimeDefault"),
    )


def container_security() -> core.v1.SecurityContextArgs:
    """What `restricted` asks of a container, and a root file system that nobody writes to."""
    return core.v1.SecurityContextArgs(
        allow_privilege_escalation=False,
        read_only_root_filesystem=True,
        run_as_non_root=True,
        capabilities=core.v1.CapabilitiesArgs(drop=["ALL"]),
        seccomp_profile=core.v1.SeccompProfileArgs(type="RuntimeDefault"),
    )


_MEBIBYTES = {"Mi": 1, "Gi": 1024, "Ti": 1024**2}


def requirements(resources: Resources) -> core.v1.ResourceRequirementsArgs:
    """Requests and limits: memory, scratch space and GPUs are requested as they are limited."""
    exact = {
        "memory": mebibytes(resources.memory_mib),
        "ephemeral-storage": mebibytes(resources.ephemeral_storage_mib),
        **({GPU: str(resources.gpus)} if resources.gpus else {}),
    }
    return core.v1.ResourceRequirementsArgs(
        requests={"cpu": millicores(resources.cpu_millicores), **exact},
        limits={"cpu": millicores(max(resources.cpu_millicores, resources.cpu_limit_millicores)), **exact},
    )


def millicores(amount: int) -> str:
    """CPU as Kubernetes writes it, `1` for `1000m`: KServe's webhook rewrites others, which is a change at each `up`.

    Source: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
    """
    return f"{amount}m" if amount % 1000 else str(amount // 1000)


def mebibytes(amount: int) -> str:
    """Memory or storage in the same form, `1Gi` for `1024Mi`."""
    unit = next(unit for unit in ("Ti", "Gi", "Mi") if amount % _MEBIBYTES[unit] == 0)
    return f"{amount // _MEBIBYTES[unit]}{unit}"


def node_selector(resources: Resources) -> dict[str, str] | None:
    """GPU tasks go to GPU nodes."""
    return {f"{GPU}.present": "true"} if resources.gpus else None


def tolerations(resources: Resources) -> list[core.v1.TolerationArgs] | None:
    """GPU tasks, and only they, tolerate the taint of GPU nodes."""
    return [core.v1.TolerationArgs(key=GPU, operator="Exists", effect="NoSchedule")] if resources.gpus else None


def spread(name: str) -> core.v1.TopologySpreadConstraintArgs:
    """Put a component's pods on different nodes as far as there are nodes."""
    return core.v1.TopologySpreadConstraintArgs(
        max_skew=1,
        topology_key="kubernetes.io/hostname",
        when_unsatisfiable="ScheduleAnyway",
        label_selector=meta.v1.LabelSelectorArgs(match_labels=selector(name)),
    )


def variables(
    environment: Mapping[str, pulumi.Input[str]], secret: pulumi.Input[str] | None = None, keys: Sequence[str] = ()
) -> list[core.v1.EnvVarArgs]:
    """Environment of a container: plain values, and one reference to the Secret named `secret` for each of `keys`."""
    return [
        *(core.v1.EnvVarArgs(name=name, value=value) for name, value in sorted(environment.items())),
        *(
            core.v1.EnvVarArgs(
                name=key,
                value_from=core.v1.EnvVarSourceArgs(secret_key_ref=core.v1.SecretKeySelectorArgs(name=secret, key=key)),
            )
            for key in sorted(keys)
        ),
    ]
