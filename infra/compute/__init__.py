"""Compute: where a workload's services and jobs run, declared once and realized by each substrate."""

from collections.abc import Mapping, Sequence
from typing import Protocol, assert_never

import pulumi

from infra.base.images import Target
from infra.base.resources import Resources
from infra.compute.local import ComputeOnHost, ComputeOnHostArgs
from infra.compute.settings import ComputeOnHostSettings, ComputeOnKubernetesSettings, ComputeSettings
from infra.compute.spec import (
    CronExpression,
    Executors,
    JobSpec,
    Role,
    ScheduleSpec,
    ServiceSpec,
    TaskSpec,
    longest_pause,
)
from infra.host.substrate import Local
from infra.identity import Identity, Need
from infra.kube.substrate import Kubernetes
from infra.substrate import Substrate, narrow

__all__ = [
    "Compute",
    "CronExpression",
    "Executors",
    "Job",
    "JobSpec",
    "Need",
    "Resources",
    "Role",
    "ScheduleSpec",
    "Service",
    "ServiceSpec",
    "TaskSpec",
    "build",
    "longest_pause",
]


class Service(Protocol):
    """A running service."""

    url: pulumi.Output[str]
    """Base URL that the platform's other parts reach it by; known before the service is ready."""

    ready: pulumi.Resource
    """What a consumer that needs the service at once depends on."""


class Job(Protocol):
    """A job that has run."""

    done: pulumi.Resource
    """What comes after the job depends on this."""


class Compute(Protocol):
    """What every realization gives; workloads accept this and nothing narrower."""

    def service(self, name: str, spec: ServiceSpec, opts: pulumi.ResourceOptions | None = None) -> Service:
        """Keep a service running."""

    def job(self, name: str, spec: JobSpec, opts: pulumi.ResourceOptions | None = None) -> Job:
        """Run a job; `up` waits for its end and fails with it."""

    def schedule(self, name: str, spec: ScheduleSpec, opts: pulumi.ResourceOptions | None = None) -> None:
        """Run a task at the times of a cron expression."""

    def executors(
        self, name: str, image: Target, needs: Sequence[Need], opts: pulumi.ResourceOptions | None = None
    ) -> Executors | None:
        """What tasks need that start helpers of `image`; None where a task's own machine does all the work."""

    def document(
        self, name: str, variable: str, content: pulumi.Input[str], opts: pulumi.ResourceOptions | None = None
    ) -> Mapping[str, pulumi.Input[str]]:
        """Variables that hand tasks a text without secrets: `variable` itself, or `<variable>_FILE` with a path.

        By a file a change reaches tasks that run, and neither restarts them nor repeats jobs; by a variable a cluster
        rolls its pods.
        """


def build(
    name: str,
    settings: ComputeSettings,
    substrate: Substrate,
    identity: Identity,
    opts: pulumi.ResourceOptions | None = None,
) -> Compute:
    """Make the realization that the stack file names."""
    match settings:
        case ComputeOnHostSettings():
            host = ComputeOnHostArgs(settings=settings, substrate=narrow(substrate, Local), identity=identity)
            return ComputeOnHost(name, host, opts)
        case ComputeOnKubernetesSettings():
            from infra.compute.kubernetes import ComputeOnKubernetes, ComputeOnKubernetesArgs

            args = ComputeOnKubernetesArgs(
                settings=settings, substrate=narrow(substrate, Kubernetes), identity=identity
            )
            return ComputeOnKubernetes(name, args, opts)
        case _:
            assert_never(settings)
