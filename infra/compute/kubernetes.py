"""Compute on a cluster: services are Deployments, jobs are Jobs that `up` waits for, schedules are CronJobs."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_kubernetes import batch, core, meta
from pulumi_kubernetes.apps import v1 as apps

from infra.base import names
from infra.base.images import Target
from infra.compute.executors import ExecutorsOnKubernetes
from infra.compute.pod import Server, TaskOnKubernetesArgs, pod
from infra.compute.settings import ComputeOnKubernetesSettings
from infra.compute.spec import Executors, JobSpec, ScheduleSpec, ServiceSpec
from infra.identity import Need
from infra.kube import network_policies, objects
from infra.kube.server import SKIP_AWAIT, disruption_budget
from infra.kube.substrate import Kubernetes

PORT = 8080
"""Where services listen that leave the choice to the realization."""
QUEUE_SECONDS = 300
"""What a job may wait for its node and its image, beyond the time that it may run."""
RETRIES = 2
"""Of a scheduled run that fails; the next night's run is the one after that."""
KEPT_RUNS = 3


@dataclass(frozen=True, kw_only=True)
class ComputeOnKubernetesArgs(TaskOnKubernetesArgs):
    """The settings, and what other components hand over."""

    settings: ComputeOnKubernetesSettings


class ServiceOnKubernetes(pulumi.ComponentResource):
    """A Deployment behind a Service that only its open paths lead to.

    Realizes `infra.compute.Service`.
    """

    url: pulumi.Output[str]

    ready: pulumi.Resource
    """The Deployment, once its pods are available."""

    def __init__(
        self, name: str, spec: ServiceSpec, args: ComputeOnKubernetesArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("mlplatform:index:ServiceOnKubernetes", name, None, opts)
        substrate, replicas = args.substrate, args.settings.service_replicas
        port = spec.port or PORT

        path = spec.serves or name
        made = pod(name, spec, args, self, server=Server(path=path, port=port, health=spec.health_path))
        if replicas > 1:
            made.spec.topology_spread_constraints = [objects.spread(name)]
        service(name, made.labels, port, substrate, self)
        network_policies.open_to_callers(name, path, [port], substrate, self)
        if replicas > 1:
            disruption_budget(name, meta.v1.ObjectMetaArgs(namespace=substrate.namespace), substrate, self)
        self.ready = apps.Deployment(
            f"{name}-pods",
            metadata=meta.v1.ObjectMetaArgs(namespace=substrate.namespace, labels=made.labels),
            spec=apps.DeploymentSpecArgs(
                replicas=replicas,
                revision_history_limit=KEPT_RUNS,
                selector=meta.v1.LabelSelectorArgs(match_labels=objects.selector(name)),
                strategy=apps.DeploymentStrategyArgs(
                    rolling_update=apps.RollingUpdateDeploymentArgs(max_surge=1, max_unavailable=0)
                ),
                template=made.template(),
            ),
            opts=substrate.child(self),
        )

        self.url = url(name, port, substrate)
        self.register_outputs({"url": self.url})


class JobOnKubernetes(pulumi.ComponentResource):
    """A Job that starts once the stores that it needs answer; `up` waits for its end.

    Realizes `infra.compute.Job`. An eviction is no failure; one that failed is made anew by the next `up`.
    Source: https://kubernetes.io/docs/concepts/workloads/controllers/job/#pod-failure-policy
    """

    done: pulumi.Resource

    def __init__(
        self, name: str, spec: JobSpec, args: ComputeOnKubernetesArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("mlplatform:index:JobOnKubernetes", name, None, opts)

        made = pod(name, spec, args, self, restart="Never")
        seconds = int(spec.timeout_seconds)
        self.done = batch.v1.Job(
            f"{name}-run",
            metadata=meta.v1.ObjectMetaArgs(
                namespace=args.substrate.namespace,
                labels=made.labels,
                annotations={
                    "pulumi.com/replaceUnready": "true",
                    "pulumi.com/timeoutSeconds": str(seconds + QUEUE_SECONDS),
                },
            ),
            spec=batch.v1.JobSpecArgs(
                active_deadline_seconds=seconds,
                backoff_limit=0,
                pod_failure_policy=_evictions_are_no_failures(),
                template=made.template({f"{objects.LABEL_PREFIX}/triggers": json.dumps(dict(spec.triggers))}),
            ),
            opts=args.substrate.child(self, *(need.store.ready for need in spec.needs)),
        )

        self.register_outputs({})


class ScheduleOnKubernetes(pulumi.ComponentResource):
    """A CronJob whose runs never overlap; of the runs missed while nothing could start, the last is made up for."""

    def __init__(
        self, name: str, spec: ScheduleSpec, args: ComputeOnKubernetesArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        names.dns_label(name, names.CRON_JOB_LENGTH)
        super().__init__("mlplatform:index:ScheduleOnKubernetes", name, None, opts)

        made = pod(name, spec, args, self, restart="Never")
        batch.v1.CronJob(
            f"{name}-times",
            metadata=meta.v1.ObjectMetaArgs(name=name, namespace=args.substrate.namespace, labels=made.labels),
            spec=batch.v1.CronJobSpecArgs(
                schedule=spec.cron,
                time_zone="Etc/UTC",
                concurrency_policy="Forbid",
                starting_deadline_seconds=args.settings.catch_up_seconds,
                successful_jobs_history_limit=KEPT_RUNS,
                failed_jobs_history_limit=KEPT_RUNS,
                job_template=batch.v1.JobTemplateSpecArgs(
                    metadata=meta.v1.ObjectMetaArgs(labels=made.labels),
                    spec=batch.v1.JobSpecArgs(
                        active_deadline_seconds=args.settings.run_seconds,
                        backoff_limit=RETRIES,
                        pod_failure_policy=_evictions_are_no_failures(),
                        template=made.template(),
                    ),
                ),
            ),
            opts=args.substrate.child(self, *spec.after),
        )

        self.register_outputs({})


class ComputeOnKubernetes(pulumi.ComponentResource):
    """Runs what workloads declare in one namespace of a cluster.

    Realizes `infra.compute.Compute`.
    """

    def __init__(self, name: str, args: ComputeOnKubernetesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:ComputeOnKubernetes", name, None, opts)
        self._args = args
        self.register_outputs({})

    def service(self, name: str, spec: ServiceSpec, opts: pulumi.ResourceOptions | None = None) -> ServiceOnKubernetes:
        """Keep a service running."""
        return ServiceOnKubernetes(name, spec, self._args, opts)

    def job(self, name: str, spec: JobSpec, opts: pulumi.ResourceOptions | None = None) -> JobOnKubernetes:
        """Run a job; `up` waits for its end and fails with it."""
        return JobOnKubernetes(name, spec, self._args, opts)

    def schedule(self, name: str, spec: ScheduleSpec, opts: pulumi.ResourceOptions | None = None) -> None:
        """Run a task at the times of a cron expression."""
        ScheduleOnKubernetes(name, spec, self._args, opts)

    def executors(
        self, name: str, image: Target, needs: Sequence[Need], opts: pulumi.ResourceOptions | None = None
    ) -> Executors:
        """Let tasks start helpers as pods of the same namespace."""
        return ExecutorsOnKubernetes(name, image, needs, self._args, opts).executors

    def document(
        self, name: str, variable: str, content: pulumi.Input[str], opts: pulumi.ResourceOptions | None = None
    ) -> dict[str, pulumi.Input[str]]:
        """The text itself."""
        del name, opts
        return {variable: content}


def url(name: str, port: int, substrate: Kubernetes) -> pulumi.Output[str]:
    """Base URL of a Service, from any namespace of the cluster."""
    return substrate.namespace.apply(lambda namespace: f"http://{names.host(name, namespace)}:{port}")


def service(
    name: str, labels: dict[str, str], port: int, substrate: Kubernetes, parent: pulumi.Resource
) -> core.v1.Service:
    """A Service named as the component; its name is part of the URL that others were given.

    Its pods say when they serve: a Service that waited for them would go on waiting after their own error.
    """
    return core.v1.Service(
        f"{name}-service",
        metadata=meta.v1.ObjectMetaArgs(
            name=names.dns_label(name), namespace=substrate.namespace, labels=labels, annotations=SKIP_AWAIT
        ),
        spec=core.v1.ServiceSpecArgs(
            selector=objects.selector(name),
            ports=[core.v1.ServicePortArgs(name="http", port=port, target_port=port, protocol="TCP")],
        ),
        opts=substrate.child(parent),
    )


def _evictions_are_no_failures() -> batch.v1.PodFailurePolicyArgs:
    return batch.v1.PodFailurePolicyArgs(
        rules=[
            batch.v1.PodFailurePolicyRuleArgs(
                action="Ignore",
                on_pod_conditions=[batch.v1.PodFailurePolicyOnPodConditionsPatternArgs(type="DisruptionTarget")],
            )
        ]
    )
