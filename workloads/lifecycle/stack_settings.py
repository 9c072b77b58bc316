"""The block of a workload in a stack file: the stages' settings, schedules and the sizes of pods."""

import math
from datetime import timedelta
from typing import Annotated, Self

from pydantic import AwareDatetime, Field, model_validator

from infra.base.images import Target
from infra.compute import CronExpression, Resources, longest_pause
from workloads.lifecycle.base.settings import WorkloadSettings
from workloads.lifecycle.workload import Workload


class WorkloadStackSettings(WorkloadSettings):
    """What a stack file says about the workload."""

    data: str | None = None
    """The raw CSV: a path on this machine (for `local`), or `s3://bucket/key` in the artifact store, on clusters
    with a key below `<workload>/`; None takes the project's seeded generator, which has the same columns."""

    nightly_cron: CronExpression = "0 3 * * *"
    """When features are ingested and refreshed again, in UTC; requests by key fail once the rows behind them were
    observed longer ago than their view's ttl."""

    batch_cron: CronExpression = "0 4 * * *"
    """When every entity is scored offline, in UTC; after `nightly_cron`, so that it scores the night's features."""

    monitoring_cron: CronExpression = "30 4 * * *"
    """When drift, bias and live quality are measured, in UTC."""

    pipeline_cron: CronExpression = "0 2 * * *"
    """When a retrain is asked for, in UTC, where there is a pipelines' server and `retraining.enabled`; elsewhere only
    alerts start one."""

    signing_generation: Annotated[int, Field(ge=1, le=1_000)] = 1
    """Number of the key that signs verdicts; one more rotates it (`make rotate-signing-key`), never one less."""

    signing_former_until: AwareDatetime | None = None
    """Time with its zone until which verdicts by the key before the last rotation count, so that what they approved is
    served until the retraining service signed it anew; None: they are invalid."""

    token_generation: Annotated[int, Field(ge=1, le=1_000)] = 1
    """Number of the retraining service's tokens but the release's; one more replaces them (`make rotate-tokens`)."""

    token_former_until: AwareDatetime | None = None
    """Time with its zone until which the tokens before the last rotation count, for systems that learn the new
    `outcomes_token` by hand; None: they are invalid."""

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

    def require_fit(self, block: str, workload: Workload) -> None:
        """Raise ValueError when features or requests of `workload` would be gone before they are needed.

        `block` is the settings' name in the stack file.
        """
        pause = longest_pause(self.nightly_cron)
        view = min(workload.views, key=lambda each: each.ttl)
        if view.ttl <= pause:
            raise ValueError(
                f"{block}.nightly_cron is {self.nightly_cron!r}, which pauses for up to {_hours(pause)}, but features "
                f"of the view {view.name!r} are refused from an age of {_hours(view.ttl)} on (its ttl), so that "
                f"requests by key would fail each time: let it pause for less than {_hours(view.ttl)}, e.g. "
                f"`{_more_often(view.ttl)}`, or give the view a longer ttl in its definition"
            )
        needed = self.retraining.labelled_days + workload.outcome.delay / timedelta(days=1)
        if self.retention.requests_days < needed:
            raise ValueError(
                f"{block}.retention.requests_days is {self.retention.requests_days}, but an outcome of "
                f"{workload.name} takes {_days(workload.outcome.delay)} and retrains learn from "
                f"{self.retraining.labelled_days:g} days of them (retraining.labelled_days): keep "
                f"{math.ceil(needed)} to 3650 days, or lower labelled_days"
            )

    @property
    def image_of_all_stages(self) -> Target:
        """Where one process runs every stage, Spark's included: `train-gpu` is `ingest` with CUDA."""
        return "train-gpu" if self.training.on_gpu else "ingest"

    @property
    def resources_of_all_stages(self) -> Resources:
        """Those of the stages, with a GPU where one trains."""
        gpus = max(int(self.training.on_gpu), self.stage_resources.gpus)
        return self.stage_resources.model_copy(update={"gpus": gpus})


def _more_often(ttl: timedelta) -> str:
    """A cron that pauses for less than a ttl of half an hour or more."""
    if ttl > timedelta(days=1):
        return "0 3 * * *"
    hours = next((each for each in (12, 8, 6, 4, 3, 2) if timedelta(hours=each) < ttl), None)
    return f"0 */{hours} * * *" if hours else "*/15 * * * *"


def _hours(time: timedelta) -> str:
    return f"{time / timedelta(hours=1):g} h"


def _days(time: timedelta) -> str:
    return f"{time / timedelta(days=1):g} days"
