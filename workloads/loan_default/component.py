"""The loan-default workload on a platform: declared once, realized by whatever compute and serving the stack has."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

import pulumi
from pydantic import Field, model_validator

from infra.compute import (
    CronExpression,
    Executors,
    Job,
    JobSpec,
    Need,
    Resources,
    Role,
    ScheduleSpec,
    Service,
    ServiceSpec,
)
from infra.core.images import Target
from infra.core.paths import CHECKOUT
from infra.monitoring import WatchSpec, Webhook
from infra.platform import Platform
from infra.serving import ModelServer, ModelServerSpec
from workloads.loan_default import CAPTURES, SERVED_NAME, alerts, dashboards
from workloads.loan_default.settings import SETTINGS_VARIABLE, STORED, LoanDefaultSettings

FEATURE_REPOSITORY = "workloads/loan_default/feature_repo"
PIPELINE = "workloads/loan_default/pipeline.py"
PUBLISH_SECONDS = 600
"""What handing the pipeline to its server may take; the server may be starting still."""
IN_CLUSTER = "k8s://https://kubernetes.default.svc:443"
"""Spark's master for a driver in a pod."""
RELEASE_SETTINGS = {"ingestion", "features", "training", "fairness", "deployment"}
SERVER_SETTINGS = {"serving", "deployment"}
BATCH_SETTINGS = {"batch", "deployment"}
MONITORING_SETTINGS = {"monitoring", "alerts", "deployment"}
SERVER_CALLS: tuple[Role, ...] = ("database", "online-store", "tracking")
STAGE_CALLS: tuple[Role, ...] = (*SERVER_CALLS, "model-server", "pipelines", "policy-server", "pushgateway")
RETRAINING_SETTINGS = {*RELEASE_SETTINGS, *MONITORING_SETTINGS, "retraining"}


class LoanDefaultStackSettings(LoanDefaultSettings):
    """What a stack file says about the workload."""

    data: str | None = None
    """The raw CSV: a path on this machine (for `local`), or `s3://bucket/key` in the artifact store; None takes the
    project's seeded generator, which has the same columns."""

    nightly_cron: CronExpression = "0 3 * * *"
    """When features are ingested and refreshed again, in UTC; more than a day apart, requests by `CustomerID` fail."""

    batch_cron: CronExpression = "0 4 * * *"
    """When every customer is scored offline, in UTC; after `nightly_cron`, so that it scores the night's features."""

    monitoring_cron: CronExpression = "30 4 * * *"
    """When drift, bias and live quality are measured, in UTC."""

    pipeline_cron: CronExpression = "0 2 * * *"
    """When a retrain is asked for, in UTC, where there is a pipelines' server and `retraining.enabled`; elsewhere only
    alerts start one."""

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


@dataclass(frozen=True, kw_only=True)
class LoanDefaultArgs:
    """The settings, and what other components hand over."""

    settings: LoanDefaultStackSettings

    platform: Platform


class LoanDefault(pulumi.ComponentResource):
    """Feature server, model server, the first release of the model, and the loop that watches and renews it.

    Raises: nothing; a release that fails makes the update fail with the last lines of its log.
    """

    prediction_url: pulumi.Output[str]
    """`POST {"instances": [[45, 72000, 680, 3]]}`; known at once, answers after the release."""

    model_url: pulumi.Output[str]
    """Status of the served model."""

    feature_server_url: pulumi.Output[str]

    retrain_url: pulumi.Output[str]
    """`POST` with the bearer token starts a retrain; Alertmanager does."""

    retrain_token: pulumi.Output[str]
    """Bearer token of the retraining service; secret."""

    drift_report_url: pulumi.Output[str]
    """The latest drift report; there is none before the first check."""

    def __init__(self, name: str, args: LoanDefaultArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:LoanDefault", name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        self._secrets = args.platform.feature_store.client_secrets
        self._data = [Need(store=args.platform.artifact_store, prefix=f"{SERVED_NAME}/", access="rw")]

        self._executors = self._ingesters()
        features = args.platform.feature_store.serve(f"{name}-features", FEATURE_REPOSITORY, self._child)
        server = self._deploy()
        self._ledger = args.platform.database.create(f"{name}-retraining-database", self._child)
        release = self._release(server)
        self._prove_pinned(server)
        self._schedule(server, release)
        self._publish(server)
        self.retrain_token = args.platform.credentials.generate(f"{name}-retrain-token", opts=self._child)
        retraining = self._retrain(server)
        self._repeat(retraining)
        self._watch(server, retraining)

        self.feature_server_url = features.url
        self.prediction_url, self.model_url = server.prediction_url, server.model_url
        self.retrain_url = pulumi.Output.concat(retraining.url, "/retrain")
        self.drift_report_url = pulumi.Output.concat(retraining.url, "/drift_report.html")
        self.register_outputs(
            {
                "prediction_url": self.prediction_url,
                "model_url": self.model_url,
                "feature_server_url": self.feature_server_url,
                "retrain_url": self.retrain_url,
                "retrain_token": self.retrain_token,
                "drift_report_url": self.drift_report_url,
            }
        )

    def _ingesters(self) -> Executors | None:
        if not self._args.settings.spark_executors:
            return None
        return self._args.platform.compute.executors(f"{self._name}-spark", "ingest", self._data, self._child)

    def _deploy(self) -> ModelServer:
        return self._args.platform.serving.deploy(
            f"{self._name}-model",
            ModelServerSpec(
                image="serve",
                model_name=SERVED_NAME,
                command=["python", "-m", "workloads.loan_default.serving"],
                environment=self._environment(SERVER_SETTINGS),
                secrets=self._secrets,
                needs=[
                    Need(store=self._args.platform.artifact_store, prefix=f"{SERVED_NAME}/{CAPTURES}/", access="rw")
                ],
                calls=SERVER_CALLS,
                resources=self._args.settings.server_resources,
            ),
            self._child,
        )

    def _release(self, server: ModelServer) -> Job:
        """Bring a model to the server.

        A pin changes none of the job's inputs, so that neither setting nor removing it runs the release again.
        """
        settings = self._args.settings
        return self._args.platform.compute.job(
            f"{self._name}-release",
            JobSpec(
                image=_image_of_all_stages(settings),
                command=["python", "-m", "workloads.loan_default.release"],
                environment=self._stage_environment(RELEASE_SETTINGS, server),
                secrets={**self._secrets, "RETRAIN_DATABASE": self._ledger},
                needs=self._data,
                calls=STAGE_CALLS,
                triggers={"data": _fingerprint(settings.data), "features": _digest(CHECKOUT / FEATURE_REPOSITORY)},
                check=[*_recovering(settings.serving.model_version), "--check"],
                repair=_recovering(settings.serving.model_version),
                timeout_seconds=settings.release_timeout_seconds,
                resources=_resources_of_all_stages(settings),
                executors=self._executors,
            ),
            self._child,
        )

    def _prove_pinned(self, server: ModelServer) -> None:
        """Where a version is pinned, prove that the server answers with it."""
        settings = self._args.settings
        version = settings.serving.model_version
        if version is None:
            return
        self._args.platform.compute.job(
            f"{self._name}-pinned",
            JobSpec(
                image=_image_of_all_stages(settings),
                command=["python", "-m", "workloads.loan_default.deployment", version],
                environment=self._stage_environment(RELEASE_SETTINGS, server),
                secrets=self._secrets,
                needs=self._data,
                calls=STAGE_CALLS,
                timeout_seconds=settings.release_timeout_seconds,
                resources=settings.stage_resources,
            ),
            self._child,
        )

    def _schedule(self, server: ModelServer, release: Job) -> None:
        """The nightly run follows the release, so that data whose release failed is not ingested at night."""
        settings = self._args.settings
        for part, cron, parts in (
            ("nightly", settings.nightly_cron, RELEASE_SETTINGS),
            ("batch", settings.batch_cron, BATCH_SETTINGS),
            ("monitoring", settings.monitoring_cron, MONITORING_SETTINGS),
        ):
            self._args.platform.compute.schedule(
                f"{self._name}-{part}",
                ScheduleSpec(
                    image="ingest" if part == "nightly" else "workload",
                    command=["python", "-m", f"workloads.loan_default.{part}"],
                    environment=self._stage_environment(parts, server),
                    secrets=self._secrets,
                    needs=self._data,
                    calls=STAGE_CALLS,
                    cron=cron,
                    resources=settings.stage_resources,
                    executors=self._executors if part == "nightly" else None,
                    after=[release.done] if part == "nightly" else [],
                ),
                self._child,
            )

    def _publish(self, server: ModelServer) -> None:
        """Let the pipelines' server, if there is one, have the pipeline, unless a version is pinned."""
        settings, pipelines = self._args.settings, self._args.platform.pipelines
        if pipelines.url is None or settings.serving.model_version is not None:
            return
        environment = self._stage_environment(RELEASE_SETTINGS, server)
        store = self._args.platform.artifact_store
        pipelines.provide(
            SERVED_NAME, {**environment, **store.client_env}, {**self._secrets, **store.client_secrets}, self._child
        )
        self._args.platform.compute.job(
            f"{self._name}-pipeline",
            JobSpec(
                image="workload",
                command=["python", "-m", "workloads.loan_default.pipeline", "--publish"],
                environment={**environment, **pipelines.client_env},
                calls=["pipelines"],
                triggers={"pipeline": _digest(CHECKOUT / PIPELINE)},
                timeout_seconds=PUBLISH_SECONDS,
            ),
            self._child,
        )

    def _retrain(self, server: ModelServer) -> Service:
        return self._args.platform.compute.service(
            f"{self._name}-retraining",
            ServiceSpec(
                image=_image_of_all_stages(self._args.settings),
                command=["python", "-m", "workloads.loan_default.retraining"],
                environment={
                    **self._stage_environment(RETRAINING_SETTINGS, server),
                    **self._args.platform.pipelines.client_env,
                },
                secrets={
                    **self._secrets,
                    "RETRAIN_TOKEN": self.retrain_token,
                    "RETRAIN_DATABASE": self._ledger,
                },
                needs=self._data,
                calls=STAGE_CALLS,
                health_path="/healthz",
                serves="retraining",
                resources=_resources_of_all_stages(self._args.settings),
                executors=self._executors,
            ),
            self._child,
        )

    def _repeat(self, retraining: Service) -> None:
        """Ask for a retrain by schedule where a pipelines' server runs it, unless alerts are to alert only."""
        settings = self._args.settings
        if self._args.platform.pipelines.url is None or not settings.retraining.enabled:
            return
        self._args.platform.compute.schedule(
            f"{self._name}-scheduled-retrain",
            ScheduleSpec(
                image="workload",
                command=["python", "-m", "workloads.loan_default.retraining.scheduled"],
                environment={
                    "RETRAIN_URL": pulumi.Output.concat(retraining.url, "/retrain"),
                    SETTINGS_VARIABLE: self._settings({"deployment"}),
                },
                secrets={"RETRAIN_TOKEN": self.retrain_token},
                calls=["retraining"],
                cron=settings.pipeline_cron,
            ),
            self._child,
        )

    def _watch(self, server: ModelServer, retraining: Service) -> None:
        rules, fairness = self._args.settings.alerts, self._args.settings.fairness
        webhook = Webhook(
            url=pulumi.Output.concat(retraining.url, "/retrain"),
            token=self.retrain_token,
            matchers=alerts.retrain_matchers(),
            group_wait_seconds=rules.group_wait_seconds,
            repeat_seconds=rules.repeat_seconds,
        )
        targets = {
            SERVED_NAME: server.metrics_target,
            f"{SERVED_NAME}-retraining": retraining.url.apply(lambda url: url.removeprefix("http://")),
        }
        spec = WatchSpec(
            targets=targets,
            rules=alerts.rules(rules, fairness),
            webhook=webhook,
            dashboards=dashboards.dashboards(rules, fairness),
        )
        self._args.platform.monitoring.watch(f"{self._name}-watch", spec, self._child)

    def _environment(self, parts: set[str]) -> dict[str, pulumi.Input[str]]:
        """What every process is told: where the platform's servers are, and its parts of the settings."""
        platform = self._args.platform
        return {
            **platform.feature_store.client_env,
            "ARTIFACT_STORE_URI": platform.artifact_store.uri,
            "MLFLOW_TRACKING_URI": platform.tracking.url,
            "OPA_URL": platform.policy_server.url,
            "PUSHGATEWAY_URL": platform.monitoring.pushgateway_url,
            SETTINGS_VARIABLE: self._settings(parts),
        }

    def _settings(self, parts: set[str]) -> pulumi.Input[str]:
        """JSON of a process's parts of the settings, and, where it ingests on a cluster, of where its executors run."""
        chosen, executors = _dump(self._args.settings, parts), self._executors
        if executors is None or "ingestion" not in parts:
            return json.dumps(chosen, sort_keys=True)
        pods = {
            "image": executors.image,
            "namespace": executors.namespace,
            "service_account": executors.service_account,
            "store_secret": executors.store_secret,
            "labels": executors.labels,
            "executors": self._args.settings.spark_executors,
        }
        ingestion = {**chosen.get("ingestion", {}), "spark_master": IN_CLUSTER, "spark_kubernetes": pods}
        return pulumi.Output.json_dumps({**chosen, "ingestion": ingestion}, sort_keys=True)

    def _stage_environment(self, parts: set[str], server: ModelServer) -> Mapping[str, pulumi.Input[str]]:
        """What a stage is told on top of it."""
        return {
            **self._environment(parts),
            "MODEL_URL": server.model_url,
            "DATA": self._args.settings.data or "",
        }


def _dump(settings: LoanDefaultSettings, parts: set[str]) -> dict[str, Any]:
    """What was chosen in the parts that a process reads, so that neither others nor new defaults concern it."""
    return settings.model_dump(mode="json", include=parts, exclude_defaults=True)


def _image_of_all_stages(settings: LoanDefaultSettings) -> Target:
    """Where one process runs every stage, Spark's included: `train-gpu` is `ingest` with CUDA."""
    estimator = settings.training.estimator
    return "train-gpu" if estimator.kind == "xgboost" and estimator.device == "cuda" else "ingest"


def _resources_of_all_stages(settings: LoanDefaultStackSettings) -> Resources:
    """Those of the stages, with a GPU where one trains."""
    gpus = 1 if _image_of_all_stages(settings) == "train-gpu" else 0
    return settings.stage_resources.model_copy(update={"gpus": max(gpus, settings.stage_resources.gpus)})


def _recovering(version: str | None) -> list[str]:
    """The command that makes a lost champion and lost features anew; with a pinned version the features alone."""
    return ["python", "-m", "workloads.loan_default.recovery", *([] if version is None else ["--features-only"])]


def _digest(where: Path) -> str:
    """SHA-256 over the name and content of a file, or of each Python or YAML file in a folder."""
    sha256 = hashlib.sha256()
    files = [where] if where.is_file() else where.iterdir()
    for path in sorted(path for path in files if path.suffix in {".py", ".yaml"}):
        sha256.update(f"{path.name}\0".encode() + path.read_bytes())
    return sha256.hexdigest()


def _fingerprint(path: str | None) -> str:
    """Changes when the file is another one: size in bytes and time of its last change; in the store, its address."""
    if path is None or path.startswith(STORED):
        return path or "generated"
    status = Path(path).stat()
    return f"{status.st_size}-{status.st_mtime_ns}"
