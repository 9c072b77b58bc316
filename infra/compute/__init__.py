"""Compute: where a workload's services and jobs run, declared once and realized by each substrate."""

from typing import Protocol

import pulumi

from infra.compute.local import ComputeOnHost, ComputeOnHostArgs, ComputeOnHostSettings
from infra.compute.spec import CronExpression, JobSpec, Need, ScheduleSpec, ServiceSpec, TaskSpec
from infra.core.substrate import Substrate

__all__ = [
    "Compute",
    "ComputeSettings",
    "CronExpression",
    "Job",
    "JobSpec",
    "Need",
    "ScheduleSpec",
    "Service",
    "ServiceSpec",
    "TaskSpec",
    "build",
]

ComputeSettings = ComputeOnHostSettings


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


def build(
    name: str, settings: ComputeSettings, substrate: Substrate, opts: pulumi.ResourceOptions | None = None
) -> Compute:
    """Make the realization that the stack file names."""
    return ComputeOnHost(name, ComputeOnHostArgs(settings=settings, substrate=substrate), opts)
