"""The loan-default workload on a platform: declared once, realized by whatever compute and serving the stack has."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pulumi
from pydantic import Field

from infra.compute import CronExpression, JobSpec, Need, ScheduleSpec
from infra.monitoring import WatchSpec
from infra.platform import Platform
from infra.serving import ModelServerSpec
from workloads.loan_default import SERVED_NAME, alerts
from workloads.loan_default.settings import SETTINGS_VARIABLE, LoanDefaultSettings

FEATURE_REPOSITORY = "workloads/loan_default/feature_repo"
RELEASE_SETTINGS = {"ingestion", "features", "training", "validation", "deployment"}
SERVER_SETTINGS = {"serving", "deployment"}


class LoanDefaultStackSettings(LoanDefaultSettings):
    """What a stack file says about the workload."""

    data: str | None = None
    """Path of the raw CSV; None takes the project's seeded generator, which has the same columns."""

    nightly_cron: CronExpression = "0 3 * * *"
    """When features are ingested and refreshed again, in UTC; more than a day apart, requests by `CustomerID` fail."""

    release_timeout_seconds: Annotated[int, Field(ge=60, le=86400)] = 1800
    """Seconds that a release may take, from the CSV to the served model."""


@dataclass(frozen=True, kw_only=True)
class LoanDefaultArgs:
    """The settings, and what other components hand over."""

    settings: LoanDefaultStackSettings

    platform: Platform


class LoanDefault(pulumi.ComponentResource):
    """Feature server, model server, alert rules, and the first release of the model.

    Raises: nothing; a release that fails makes the update fail with the last lines of its log.
    """

    prediction_url: pulumi.Output[str]
    """`POST {"instances": [[45, 72000, 680, 3]]}`; known at once, answers after the release."""

    model_url: pulumi.Output[str]
    """Status of the served model."""

    feature_server_url: pulumi.Output[str]

    def __init__(self, name: str, args: LoanDefaultArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:LoanDefault", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        platform, settings = args.platform, args.settings
        data = [Need(store=platform.artifact_store, prefix=f"{SERVED_NAME}/", access="rw")]
        environment = _endpoints(platform)

        self.feature_server_url = platform.feature_store.serve(f"{name}-features", FEATURE_REPOSITORY, child).url
        server = platform.serving.deploy(
            f"{name}-model",
            ModelServerSpec(
                image="serve",
                model_name=SERVED_NAME,
                command=["python", "-m", "workloads.loan_default.serving"],
                environment={**environment, SETTINGS_VARIABLE: _dump(settings, SERVER_SETTINGS)},
                needs=data,
            ),
            child,
        )
        self.prediction_url, self.model_url = server.prediction_url, server.model_url
        platform.compute.job(
            f"{name}-release",
            JobSpec(
                image="workload",
                command=["python", "-m", "workloads.loan_default.release"],
                environment={
                    **environment,
                    "MODEL_URL": server.model_url,
                    "DATA": settings.data or "",
                    SETTINGS_VARIABLE: _dump(settings, RELEASE_SETTINGS),
                },
                needs=data,
                triggers={"data": _fingerprint(settings.data)},
                timeout_seconds=settings.release_timeout_seconds,
            ),
            child,
        )
        platform.compute.schedule(
            f"{name}-nightly",
            ScheduleSpec(
                image="ingest",
                command=["python", "-m", "workloads.loan_default.nightly"],
                environment={
                    **environment,
                    "DATA": settings.data or "",
                    SETTINGS_VARIABLE: _dump(settings, RELEASE_SETTINGS),
                },
                needs=data,
                cron=settings.nightly_cron,
            ),
            child,
        )
        platform.monitoring.watch(
            f"{name}-watch",
            WatchSpec(targets={SERVED_NAME: server.metrics_target}, rules=alerts.rules(settings.alerts)),
            child,
        )

        self.register_outputs(
            {
                "prediction_url": self.prediction_url,
                "model_url": self.model_url,
                "feature_server_url": self.feature_server_url,
            }
        )


def _endpoints(platform: Platform) -> dict[str, pulumi.Input[str]]:
    """What every process of the workload is told of the platform."""
    return {
        **platform.feature_store.client_env,
        "ARTIFACT_STORE_URI": platform.artifact_store.uri,
        "MLFLOW_TRACKING_URI": platform.tracking.url,
        "OPA_URL": platform.policy_server.url,
        "PUSHGATEWAY_URL": platform.monitoring.pushgateway_url,
    }


def _dump(settings: LoanDefaultSettings, parts: set[str]) -> str:
    """JSON of what was chosen in the parts that a process reads, so that neither others nor new defaults concern it."""
    return json.dumps(settings.model_dump(mode="json", include=parts, exclude_defaults=True), sort_keys=True)


def _fingerprint(path: str | None) -> str:
    """Changes when the file is another one: size in bytes and time of its last change."""
    if path is None:
        return "generated"
    status = Path(path).stat()
    return f"{status.st_size}-{status.st_mtime_ns}"
