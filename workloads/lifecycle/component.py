"""A workload on a platform: declared once, realized by whatever compute and serving the stack has."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pulumi

from infra.base.paths import CHECKOUT
from infra.compute import (
    Executors,
    Job,
    JobSpec,
    Need,
    Role,
    ScheduleSpec,
    Service,
    ServiceSpec,
)
from infra.credentials import generations
from infra.monitoring import WatchSpec, Webhook
from infra.platform import Platform
from infra.serving import ModelServer, ModelServerSpec
from workloads.lifecycle.base.names import CAPTURES, CHALLENGERS
from workloads.lifecycle.base.settings import SETTINGS_VARIABLE, WorkloadSettings
from workloads.lifecycle.fingerprints import digest, fingerprint
from workloads.lifecycle.monitoring import alerts, dashboards
from workloads.lifecycle.registry.keys import Keyring, verifying_key
from workloads.lifecycle.stack_settings import WorkloadStackSettings
from workloads.lifecycle.workload import Workload

FEATURE_REPOSITORY = "workloads/lifecycle/features/repository"
FEATURE_SERVER = ["python", "-m", "workloads.lifecycle.features.server"]
PIPELINES = "workloads/lifecycle/pipelines"
PUBLISHERS = {"kfp": "kubeflow", "airflow": "airflow"}
"""Engine of the pipelines' server -> module of `PIPELINES` that hands it the pipeline."""
PUBLISH_SECONDS = 600
"""What handing the pipeline to its server may take; the server may be starting still."""
_SIGNING_CHARACTERS = 64
IN_CLUSTER = "k8s://https://kubernetes.default.svc:443"
"""Spark's master for a driver in a pod."""
RELEASE_SETTINGS = {"ingestion", "features", "training", "fairness", "deployment", "release"}
SERVER_SETTINGS = {"serving", "deployment", "release"}
NIGHTLY_SETTINGS = {*RELEASE_SETTINGS, "retention"}
BATCH_SETTINGS = {"batch", "deployment"}
MONITORING_SETTINGS = {"monitoring", "alerts", "deployment"}
SERVER_CALLS: tuple[Role, ...] = ("database", "online-store", "tracking")
RELEASE_CALLS: tuple[Role, ...] = (*SERVER_CALLS, "model-server", "policy-server", "retraining")
MONITORING_CALLS: tuple[Role, ...] = (*SERVER_CALLS, "model-server", "monitoring", "pushgateway")
RETRAINING_CALLS: tuple[Role, ...] = (*MONITORING_CALLS, "pipelines", "policy-server")
"""A caller of the pipelines' server can submit a run as another workload, so that no stage is one."""
RETRAINING_SETTINGS = {*RELEASE_SETTINGS, *MONITORING_SETTINGS, "retraining"}


@dataclass(frozen=True, kw_only=True)
class LifecycleArgs:
    """Which workload, its settings, and what other components hand over."""

    reference: str
    """How a process finds the definition: `module:NAME`, or the name of an installed workload."""

    definition: Workload

    settings: WorkloadStackSettings

    platform: Platform

    stack: str
    """Name of the stack, for which verdicts are signed; the audit log says it."""


class Lifecycle(pulumi.ComponentResource):
    """The stages of one workload: feature server, model server, first release, and the loop that watches and renews it.

    Raises: nothing; a release that fails makes the update fail with the last lines of its log.
    """

    reference: str
    """How a process finds the definition."""

    prediction_url: pulumi.Output[str]
    """`POST {"instances": [[45, 72000, 680, 3]]}`; known at once, answers after the release."""

    model_url: pulumi.Output[str]
    """Status of the served model."""

    feature_server_url: pulumi.Output[str]

    retrain_url: pulumi.Output[str]
    """`POST` with the bearer token starts a retrain; Alertmanager does."""

    retrain_token: pulumi.Output[str]
    """An operator's bearer token of the retraining service; secret. Alertmanager and timers have others."""

    outcomes_token: pulumi.Output[str]
    """Bearer token of the retraining service that delivers outcomes and does nothing else; secret."""

    prediction_probe: pulumi.Output[str]
    """Value of the header `x-probe` by which the model server knows a request that only tries it; secret."""

    view_token: pulumi.Output[str]
    """Bearer token of the retraining service that reads and changes nothing; secret. The start page's."""

    drift_report_url: pulumi.Output[str]
    """The latest drift report; there is none before the first check."""

    watched: Mapping[str, WatchSpec]
    """What monitoring watches of it, by name; the program hands it over once every workload is declared."""

    def __init__(self, name: str, args: LifecycleArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:Lifecycle", name, None, _with_former(args.definition, opts))
        self._name, self._args, self._workload = name, args, args.definition
        self.reference = args.reference
        self._child = pulumi.ResourceOptions(parent=self)
        self._features = args.platform.feature_store.project(args.definition.module_name)
        registry, policy = args.platform.tracking.client_secrets, args.platform.policy_server.client_secrets
        self._reader = {**self._features.reader_secrets, **registry}
        self._writer = {**self._features.writer_secrets, **registry, **policy}
        self._data = [self._need("")]
        self._erased = [replace(self._data[0], history=True)]

        self._executors = self._ingesters()
        features = self._features.serve(f"{name}-features", FEATURE_SERVER, self._child)
        self._signing_key, self._verifying = self._keys()
        self._sign_token = args.platform.credentials.generate(f"{name}-sign-token", opts=self._child)
        self.prediction_probe = args.platform.credentials.generate(f"{name}-prediction-probe", opts=self._child)
        self._probing = {"PROBE_TOKEN": self.prediction_probe}
        server = self._deploy()
        self._ledger = args.platform.database.create(f"{name}-retraining-database", self._child)
        self._former_tokens: dict[str, pulumi.Output[str]] = {}
        self.retrain_token, self._alert_token = self._token("operator", "retrain"), self._token("alerts", "alert")
        self.outcomes_token, self.view_token = self._token("outcomes", "outcomes"), self._token("viewer", "view")
        # A timer's, where a pipelines' server runs retrains: one that is switched off keeps its own.
        self._schedule_token = self._token("schedule", "schedule") if args.platform.pipelines.url is not None else None
        retraining = self._retrain(server)
        for token in ("retrain_token", "outcomes_token", "view_token"):
            setattr(self, token, self._once_known(getattr(self, token), retraining))
        release = self._release(server, retraining)
        self._prove_pinned(server)
        self._schedule(server, release)
        self._publish(server)
        self._repeat(retraining)
        self.watched = {f"{name}-watch": self._watched(server, retraining)}

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
                "outcomes_token": self.outcomes_token,
                "prediction_probe": self.prediction_probe,
                "view_token": self.view_token,
                "drift_report_url": self.drift_report_url,
            }
        )

    def _need(self, prefix: str) -> Need:
        """Objects of the workload below a prefix, to read and write."""
        return Need(store=self._args.platform.artifact_store, prefix=f"{self._workload.name}/{prefix}", access="rw")

    def _ingesters(self) -> Executors | None:
        if not self._args.settings.spark_executors:
            return None
        return self._args.platform.compute.executors(f"{self._name}-spark", "ingest", self._data, self._child)

    def _keys(self) -> tuple[pulumi.Output[str], Mapping[str, pulumi.Input[str]]]:
        """Of signed verdicts: the secret, and the variables by which a process finds the public keys that count."""
        settings, platform = self._args.settings, self._args.platform
        name, number, until = f"{self._name}-signing-key", settings.signing_generation, settings.signing_former_until
        *before, secret = generations(platform.credentials, name, number, _SIGNING_CHARACTERS, self._child)
        public = _public(secret)
        if before and until is not None:
            both = pulumi.Output.all(public, _public(before[-1]))
            public = both.apply(lambda keys: str(Keyring(keys[0], keys[1], until)))
        return secret, platform.compute.document(f"{self._name}-verifying-keys", "VERIFYING_KEY", public, self._child)

    def _token(self, scope: str, part: str) -> pulumi.Output[str]:
        """A token of the retraining service, which knows the one before, too, while that counts."""
        settings, name = self._args.settings, f"{self._name}-{part}-token"
        known = generations(self._args.platform.credentials, name, settings.token_generation, opts=self._child)
        *before, token = known
        if before and settings.token_former_until is not None:
            self._former_tokens[scope] = before[-1]
        return token

    def _once_known(self, token: pulumi.Output[str], retraining: Service) -> pulumi.Output[str]:
        """A token that its holders get after the service: none is refused between the two."""
        if not self._former_tokens:
            return token
        return pulumi.Output.all(token, retraining.ready.urn).apply(lambda both: str(both[0]))

    def _former(self) -> dict[str, pulumi.Input[str]]:
        until = self._args.settings.token_former_until
        if not self._former_tokens or until is None:
            return {}
        return {"FORMER_TOKENS": pulumi.Output.json_dumps({"until": until.isoformat(), "tokens": self._former_tokens})}

    def _deploy(self) -> ModelServer:
        return self._args.platform.serving.deploy(
            f"{self._name}-model",
            ModelServerSpec(
                image="serve",
                model_name=self._workload.name,
                command=["python", "-m", "workloads.lifecycle.serving.model_server"],
                environment=self._environment(SERVER_SETTINGS) | self._policy(),
                secrets={**self._reader, **self._probing},
                needs=[self._need(f"{CAPTURES}/"), self._need(f"{CHALLENGERS}/")],
                calls=SERVER_CALLS,
                resources=self._args.settings.server_resources,
            ),
            self._child,
        )

    def _policy(self) -> dict[str, pulumi.Input[str]]:
        """Which release policy is in force, for what runs by itself: a changed policy is no reason to release."""
        return {"RELEASE_POLICY_SHA256": self._args.platform.policy_server.policy_sha256}

    def _release(self, server: ModelServer, retraining: Service) -> Job:
        """Bring a model to the server; the retraining service judges and signs it.

        A pin changes none of the job's inputs, so that neither setting nor removing it runs the release again.
        """
        settings = self._args.settings
        return self._args.platform.compute.job(
            f"{self._name}-release",
            JobSpec(
                image=settings.image_of_all_stages,
                command=["python", "-m", "workloads.lifecycle.retraining.release"],
                environment={
                    **self._stage_environment(RELEASE_SETTINGS, server),
                    "RETRAIN_URL": pulumi.Output.concat(retraining.url, "/retrain"),
                },
                secrets={
                    **self._writer,
                    **self._probing,
                    "RETRAIN_DATABASE": self._ledger,
                    "SIGN_TOKEN": self._sign_token,
                },
                needs=self._data,
                calls=RELEASE_CALLS,
                triggers={"data": fingerprint(settings.data), "features": digest(CHECKOUT / FEATURE_REPOSITORY)},
                check=[*_recovering(settings.serving.model_version), "--check"],
                repair=_recovering(settings.serving.model_version),
                timeout_seconds=settings.release_timeout_seconds,
                resources=settings.resources_of_all_stages,
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
                image=settings.image_of_all_stages,
                command=["python", "-m", "workloads.lifecycle.pipelines.deployment", version],
                environment=self._stage_environment(RELEASE_SETTINGS, server),
                secrets={**self._reader, **self._probing},
                needs=self._data,
                calls=(*SERVER_CALLS, "model-server"),
                timeout_seconds=settings.release_timeout_seconds,
                resources=settings.stage_resources,
            ),
            self._child,
        )

    def _schedule(self, server: ModelServer, release: Job) -> None:
        """The nightly run follows the release, so that data whose release failed is not ingested at night."""
        settings = self._args.settings
        for part, module, cron, parts, calls in (
            ("nightly", "pipelines.nightly", settings.nightly_cron, NIGHTLY_SETTINGS, SERVER_CALLS),
            ("batch", "serving.batch", settings.batch_cron, BATCH_SETTINGS, SERVER_CALLS),
            ("monitoring", "monitoring.check", settings.monitoring_cron, MONITORING_SETTINGS, MONITORING_CALLS),
        ):
            self._args.platform.compute.schedule(
                f"{self._name}-{part}",
                ScheduleSpec(
                    image="ingest" if part == "nightly" else "workload",
                    command=["python", "-m", f"workloads.lifecycle.{module}"],
                    environment={
                        **self._stage_environment(parts, server),
                        **self._policy(),
                        **(self._asked() if part == "monitoring" else {}),
                    },
                    secrets={
                        **(self._writer if part == "nightly" else self._reader),
                        **(self._measuring() if part == "monitoring" else {}),
                    },
                    needs=self._erased if part == "nightly" else self._data,
                    calls=calls,
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
        module = PUBLISHERS[pipelines.engine]
        publish = ["python", "-m", f"workloads.lifecycle.pipelines.{module}", "--publish"]
        environment = self._stage_environment(RELEASE_SETTINGS, server)
        secrets = {**self._writer, **self._probing}
        pipelines.provide(self._workload.name, environment, secrets, [self._need("")], self._child)
        self._args.platform.compute.job(
            f"{self._name}-pipeline",
            JobSpec(
                image="workload",
                command=publish,
                environment={**environment, **pipelines.client_env},
                secrets=pipelines.client_secrets,
                calls=["pipelines"],
                triggers={"pipeline": digest(CHECKOUT / PIPELINES / f"{module}.py")},
                # On this machine the definition is a file, which somebody could edit or delete.
                check=[] if pipelines.engine == "kfp" else [*publish[:-1], "--check"],
                repair=[] if pipelines.engine == "kfp" else publish,
                timeout_seconds=PUBLISH_SECONDS,
            ),
            self._child,
        )

    def _retrain(self, server: ModelServer) -> Service:
        return self._args.platform.compute.service(
            f"{self._name}-retraining",
            ServiceSpec(
                image=self._args.settings.image_of_all_stages,
                command=["python", "-m", "workloads.lifecycle.retraining"],
                environment={
                    **self._stage_environment(RETRAINING_SETTINGS, server),
                    **self._args.platform.pipelines.client_env,
                    **self._policy(),
                    **self._asked(),
                },
                secrets={
                    **self._writer,
                    **self._args.platform.pipelines.client_secrets,
                    **self._probing,
                    "RETRAIN_TOKEN": self.retrain_token,
                    "ALERT_TOKEN": self._alert_token,
                    "OUTCOMES_TOKEN": self.outcomes_token,
                    **({} if self._schedule_token is None else {"SCHEDULE_TOKEN": self._schedule_token}),
                    "RETRAIN_DATABASE": self._ledger,
                    "SIGNING_KEY": self._signing_key,
                    "SIGN_TOKEN": self._sign_token,
                    "VIEW_TOKEN": self.view_token,
                    **self._former(),
                    **self._measuring(),
                },
                needs=self._erased,
                calls=RETRAINING_CALLS,
                health_path="/healthz",
                serves="retraining",
                resources=self._args.settings.resources_of_all_stages,
                executors=self._executors,
            ),
            self._child,
        )

    def _repeat(self, retraining: Service) -> None:
        """Ask for a retrain by schedule."""
        settings, token = self._args.settings, self._schedule_token
        if token is None or not settings.retraining.enabled:
            return
        self._args.platform.compute.schedule(
            f"{self._name}-scheduled-retrain",
            ScheduleSpec(
                image="workload",
                command=["python", "-m", "workloads.lifecycle.retraining.scheduled"],
                environment={
                    "WORKLOAD": self._args.reference,
                    "RETRAIN_URL": pulumi.Output.concat(retraining.url, "/retrain"),
                    SETTINGS_VARIABLE: self._settings({"deployment"}),
                },
                secrets={"RETRAIN_TOKEN": self._once_known(token, retraining)},
                calls=["retraining"],
                cron=settings.pipeline_cron,
            ),
            self._child,
        )

    def _watched(self, server: ModelServer, retraining: Service) -> WatchSpec:
        rules, fairness = self._args.settings.alerts, self._args.settings.fairness
        webhook = Webhook(
            url=pulumi.Output.concat(retraining.url, "/retrain"),
            token=self._once_known(self._alert_token, retraining),
            matchers=alerts.retrain_matchers(self._workload),
            group_wait_seconds=rules.group_wait_seconds,
            repeat_seconds=rules.repeat_seconds,
        )
        targets = {
            self._workload.name: server.metrics_target,
            f"{self._workload.name}-retraining": retraining.url.apply(lambda url: url.removeprefix("http://")),
        }
        return WatchSpec(
            targets=targets,
            rules=alerts.rules(self._workload, rules, fairness),
            webhook=webhook,
            dashboards=dashboards.dashboards(self._workload, rules, fairness),
            opts=self._child,
        )

    def _environment(self, parts: set[str]) -> dict[str, pulumi.Input[str]]:
        """What every process is told: where the platform's servers are, and its parts of the settings."""
        platform = self._args.platform
        return {
            **self._features.client_env,
            "ARTIFACT_STORE_URI": platform.artifact_store.uri,
            "MLFLOW_TRACKING_URI": platform.tracking.url,
            "OPA_URL": platform.policy_server.url,
            "PUSHGATEWAY_URL": platform.monitoring.pushgateway_url,
            "STACK": self._args.stack,
            **self._verifying,
            "WORKLOAD": self._args.reference,
            SETTINGS_VARIABLE: self._settings(parts),
        }

    def _asked(self) -> Mapping[str, pulumi.Output[str]]:
        """Where a process asks for metrics of all replicas of a server."""
        return {"PROMETHEUS_URL": self._args.platform.monitoring.prometheus_url}

    def _measuring(self) -> Mapping[str, pulumi.Output[str]]:
        """Logins of a process that pushes metrics and asks for those of others."""
        logins = self._args.platform.monitoring.logins
        servers = ("pushgateway", "prometheus")
        return {f"{server.upper()}_LOGIN": logins[server] for server in servers if server in logins}

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


def _public(secret: pulumi.Output[str]) -> pulumi.Output[str]:
    """The public half of a signing key, which is no secret."""
    return pulumi.Output.unsecret(secret.apply(verifying_key))


def _with_former(workload: Workload, opts: pulumi.ResourceOptions | None) -> pulumi.ResourceOptions:
    """The options, with the type by which stacks of before know the component."""
    former = workload.former.component
    aliases = [] if former is None else [pulumi.Alias(type_=former)]
    return pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(aliases=aliases))


def _dump(settings: WorkloadSettings, parts: set[str]) -> dict[str, Any]:
    """What was chosen in the parts that a process reads, so that neither others nor new defaults concern it."""
    return settings.model_dump(mode="json", include=parts, exclude_defaults=True)


def _recovering(version: str | None) -> list[str]:
    """The command that makes a lost champion and lost features anew; with a pinned version the features alone."""
    return [
        "python",
        "-m",
        "workloads.lifecycle.operations.recovery",
        *([] if version is None else ["--features-only"]),
    ]
