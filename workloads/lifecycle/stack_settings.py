"""The block of a workload in a stack file: the stages' settings, schedules and the sizes of pods."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from infra.base.images import Target
from infra.compute import CronExpression, Resources
from workloads.lifecycle.base.settings import WorkloadSettings


class WorkloadStackSettings(WorkloadSettings):
    """What a stack file says about the workload."""

    data: str | None = None
    """The raw CSV: a path on this machine (for `local`), or `s3://bucket/key` in the artifact store, on clusters
    with a key below `<workload>/`; None takes the project's seeded generator, which has the same columns."""

    nightly_cron: CronExpression = "0 3 * * *"
    """When features are ingested and refreshed again, in UTC; requests by key fail once features are older than
    their view's ttl."""

    batch_cron: CronExpression = "0 4 * * *"
    """When every entity is scored offline, in UTC; after `nightly_cron`, so that it scores the night's features."""

    monitoring_cron: CronExpression = "30 4 * * *"
    """When drift, bias and live quality are measured, in UTC."""

    pipeline_cron: CronExpression = "0 2 * * *"
    """When a retrain is asked for, in UTC, where there is a pipelines' server and `retraining.enabled`; elsewhere only
    alerts start one."""

    signing_generation: Annotated[int, Field(ge=1, le=1_000)] = 1
    """Number of the key that signs verdicts; one more rotates it (`make rotate-signing-key`), never one less."""

    release_timeout_seconds: Annotated[int, Field(ge=60, le=86400)] = 1800
    """Seconds that a release may take, from the CSV to the served model."""

    spark_executors: Annotated[int, Field(ge=0, le=1_000)] = 0
    """Pods beside the ingesting one that Spark spreads its work over, where there is a cluster; 0: it works alone."""

    server_resources: Resources = Resources(cpu_millicores=500, memory_mib=1024)
    """Of one pod of the model server."""

    stage_resources: Resources = Resources(cpu_millicores=1000, memory_mib=4096, ephemeral_storage_mib=4096)
    """Of each task that runs stages: releases, schedules, the retraining service. Training on CUDA adds a GPU."""

    @model_validator(mode="after")
    def _a_pinned_version_is_not_retrained(self) -> Self:
        if self.serving.model_version is not None and self.retraining.enabled:
            raise ValueError(
                f"serving.model_version pins version {self.serving.model_version}, which a retrain could not replace; "
                f"a pin needs both `serving: {{model_version: {self.serving.model_version}}}` and "
                "`retraining: {enabled: false}`, so that alerts notify and start no retrain"
            )
        return self

    @property
    def image_of_all_stages(self) -> Target:
        """Where one process runs every stage, Spark's included: `train-gpu` is `ingest` with CUDA."""
        return "train-gpu" if self.training.on_gpu else "ingest"

    @property
    def resources_of_all_stages(self) -> Resources:
        """Those of the stages, with a GPU where one trains."""
        gpus = max(int(self.training.on_gpu), self.stage_resources.gpus)
        return self.stage_resources.model_copy(update={"gpus": gpus})
