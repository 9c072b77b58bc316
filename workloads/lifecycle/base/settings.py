"""What a person may choose about a workload, as blocks of a stack file: one for each stage, and those they share."""

import math
from typing import Annotated, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    WithJsonSchema,
    model_validator,
)

from workloads.lifecycle.base.ingestion_settings import IngestionSettings
from workloads.lifecycle.base.setting_types import Frozen, Seconds, Share
from workloads.lifecycle.base.takeover_settings import TakeoverSettings

SETTINGS_VARIABLE = "WORKLOAD_SETTINGS"


class FeatureSettings(Frozen):
    """How features reach the online store."""

    parity_sample: Annotated[int, Field(ge=1)] = 50
    """Entities whose online values are compared with the offline ones after each materialization."""


class SklearnEstimator(Frozen):
    """The reference: scikit-learn's `GradientBoostingClassifier`, on one core."""

    kind: Literal["sklearn"]


class XgboostEstimator(Frozen):
    """XGBoost's `XGBClassifier`, histogram method."""

    kind: Literal["xgboost"]

    device: Literal["cpu", "cuda"] = "cpu"
    """Where the trees are grown; `cuda` needs the image `train-gpu` and a GPU, and is refused elsewhere."""


class TreesRange(Frozen):
    """Boosting rounds from which a search chooses."""

    low: Annotated[int, Field(ge=1)] = 50
    """Lowest value that is tried, besides the setting's own."""

    high: Annotated[int, Field(ge=1)] = 400
    """Highest value that is tried, besides the setting's own."""


class RateRange(Frozen):
    """Learning rates from which a search chooses, on a logarithmic scale."""

    low: Annotated[float, Field(gt=0, le=1)] = 0.01
    """Lowest value that is tried, besides the setting's own."""

    high: Annotated[float, Field(gt=0, le=1)] = 0.3
    """Highest value that is tried, besides the setting's own."""


class DepthRange(Frozen):
    """Depths of trees from which a search chooses."""

    low: Annotated[int, Field(ge=1, le=16)] = 2
    """Lowest value that is tried, besides the setting's own."""

    high: Annotated[int, Field(ge=1, le=16)] = 6
    """Highest value that is tried, besides the setting's own."""


class SearchSettings(Frozen):
    """A search for trees, rate and depth before each training; the settings' own values are the first trial."""

    trials: Annotated[int, Field(ge=2, le=1_000)] = 20
    """Models that are fitted and compared on rows that none of them learnt."""

    seconds: Annotated[float, Field(gt=0, le=86_400)] = 900.0
    """Time after which no further trial begins. A search that time ended is not repeated exactly by the next one."""

    trees: TreesRange = TreesRange()
    learning_rate: RateRange = RateRange()
    depth: DepthRange = DepthRange()

    @model_validator(mode="after")
    def _ranges_go_upwards(self) -> Self:
        for name in ("trees", "learning_rate", "depth"):
            span = getattr(self, name)
            if span.low > span.high:
                raise ValueError(f"search.{name}: low {span.low} is above high {span.high}: exchange them")
        return self


class TrainingSettings(Frozen):
    """The model and its split."""

    estimator: Annotated[SklearnEstimator | XgboostEstimator, Field(discriminator="kind")] | None = None
    """What learns; trees, rate, depth and seed mean the same to each. None: what the workload's definition says."""

    @property
    def on_gpu(self) -> bool:
        """Whether the trees are grown on a GPU."""
        return self.estimator is not None and self.estimator.kind == "xgboost" and self.estimator.device == "cuda"

    seed: int = 42
    """Seed of the split and of the trees."""

    test_share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of the rows held out, stratified by the label."""

    trees: Annotated[int, Field(ge=1)] = 200
    """Boosting rounds."""

    learning_rate: Annotated[float, Field(gt=0, le=1)] = 0.05
    """Shrinkage of each tree."""

    depth: Annotated[int, Field(ge=1, le=16)] = 3
    """Depth of each tree."""

    search: SearchSettings | None = None
    """Looks for better trees, learning rate and depth before each training; None: they are what is written here."""


def _version_text(value: object) -> object:
    """A version that a stack file gives as a number, as the registry writes it."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Version = Annotated[
    str,
    BeforeValidator(_version_text),
    Field(pattern=r"^[1-9]\d*$"),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": r"^[1-9]\d*$"}]}),
]
"""Version of the registered model; a number or a text in a stack file."""


class ServingSettings(Frozen):
    """How the model server behaves."""

    model_version: Version | None = None
    """Version of the registered model that is served, whatever the registry's aliases name, e.g. `2`; None serves
    `champion`. A pinned version needs `retraining: {enabled: false}`."""

    poll_seconds: Seconds = 1.0
    """Time between two looks at the registry's aliases."""

    max_rows: Annotated[int, Field(ge=1)] = 1_000
    """Rows of one request."""

    out_of_range: Literal["refuse", "score"] = "refuse"
    """What happens to a request by values with one outside the bounds of its feature: `refuse` answers 400 and names
    it, `score` answers, counts the row, and keeps it out of the captured data."""

    max_body_bytes: Annotated[int, Field(ge=1_024)] = 1_048_576
    """Bytes of one request's body."""

    max_large_bodies: Annotated[int, Field(ge=1)] = 32
    """Bodies of more than 64 KiB that are received or answered at a time; one more gets 503 with `Retry-After`."""

    max_waiting_requests: Annotated[int, Field(ge=1)] = 128
    """Received requests that wait for their answer, above which a prediction gets 503 with `Retry-After`."""

    max_connections: Annotated[int, Field(ge=16)] = 2_048
    """Open connections; for one more, the server closes the one that has sent nothing useful for longest."""

    headers_seconds: Seconds = 10.0
    """Time in which a client sends a request's headers, from the connection or from the first byte on."""

    body_seconds: Seconds = 20.0
    """Time in which a client sends a request's body."""

    answer_seconds: Seconds = 60.0
    """Time after which a connection is closed whose answer is not made or not read."""

    idle_seconds: Seconds = 65.0
    """Time that a connection may stay open between two requests; longer than the 60 s that gateways reuse one for."""

    online_timeout_seconds: Seconds = 0.2
    """Time after which the online store counts as down; time in which the server itself was busy does not count."""

    explain_rows: Annotated[int, Field(ge=1)] = 1_000
    """Rows of one request that wants explanations; each costs about a millisecond of the explainer's CPU."""

    explain_seconds: Seconds = 10.0
    """Time that an explanation may take, its wait included; then the explainer is ended and the request gets 503. The
    first one starts the explainer, which takes seconds."""

    max_waiting_explanations: Annotated[int, Field(ge=1)] = 8
    """Requests that wait for an explanation, above which one more gets 503."""

    capture: bool = True
    """Whether scored requests are written to the artifact store."""

    capture_queue_rows: Annotated[int, Field(ge=1)] = 50_000
    """Rows that wait for the writer; more are dropped and counted, an answer never waits."""

    capture_flush_seconds: Seconds = 60.0
    """Time between two files of captured requests."""


class BatchSettings(Frozen):
    """How batch scoring cuts its work."""

    part_rows: Annotated[int, Field(ge=1)] = 10_000
    """Rows of one output file, and what a killed run loses at most."""

    kept_runs: Annotated[int, Field(ge=1)] = 7
    """Ingestion runs whose scores stay in the artifact store."""


class RetentionSettings(Frozen):
    """How long rows about entities are kept; the nightly run deletes what is older.

    Ingestion runs and scores go by number (`ingestion.kept_runs`, `batch.kept_runs`), audit log and evidence stay.
    """

    requests_days: Annotated[int, Field(ge=1, le=3_650)] = 180
    """Days that captured requests, and outcomes since their delivery, are kept."""

    training_rows_days: Annotated[int, Field(ge=1, le=3_650)] = 365
    """Days that labelled windows and the training rows of a version are kept; those of a version that an alias of the
    registry names stay."""


class DeploymentSettings(Frozen):
    """How long each step of a release waits for the servers it needs."""

    server_wait_seconds: Seconds = 180.0
    """Time to wait for MLflow, the online store, OPA or the model server to answer at all."""

    served_wait_seconds: Seconds = 60.0
    """Time to wait until the model server answers with the promoted version."""

    retrain_wait_seconds: Seconds = 900.0
    """Time that a release by `up` waits for a retrain that runs, its watch window included."""


class MonitoringSettings(Frozen):
    """What the drift and bias job compares."""

    window_hours: Annotated[float, Field(gt=0)] = 24.0
    """Hours of captured requests that one check looks at, and of outcomes by their delivery."""

    min_rows: Annotated[int, Field(ge=500)] = 500
    """Captured rows below which nothing is scored: the job then says that there is too little data. Fewer than 500
    would hide a shift of 0.3 standard deviations behind chance: raise window_hours instead."""

    max_rows: Annotated[int, Field(ge=500)] = 50_000
    """Captured rows of one check; of more, a seeded sample is taken."""

    min_labelled_rows: Annotated[int, Field(ge=2)] = 200
    """Labelled rows of a version below which its live quality is not measured."""

    kept_reports: Annotated[int, Field(ge=1)] = 30
    """Checks whose report stays in the artifact store."""


class RetrainingSettings(Frozen):
    """When a retrain starts, on what, and when its release goes back."""

    enabled: bool = True
    """Whether alerts start retrains; off where a stack pins a model version: then they only alert."""

    cooldown_seconds: Annotated[float, Field(ge=0)] = 6 * 3600
    """Seconds after the end of a retrain in which alerts start no other; a person's request does."""

    max_alert_age_seconds: Seconds = 7 * 86400
    """Age of an alert's start above which it is of the past and starts nothing."""

    run_seconds: Seconds = 3600
    """Seconds that one run of the pipeline may take."""

    attempts: Annotated[int, Field(ge=1, le=10)] = 3
    """Runs of one retrain, when servers are down or the service was killed in the middle; a refused model is final."""

    retry_pause_seconds: Annotated[float, Field(ge=0)] = 30
    """Seconds between two runs of one retrain."""

    labelled_days: Annotated[float, Field(gt=0)] = 30
    """Days of captured requests whose outcomes are learnt from, beside the days that an outcome usually takes."""

    min_champion_age_days: Annotated[int, Field(ge=0, le=365)] = 7
    """Days, by the dates in UTC, for which a champion serves before the schedule replaces it by a model of fresher data
    that is no worse. An alert and a person do so at once; 0: every scheduled retrain may."""

    min_labelled_rows: Annotated[int, Field(ge=2)] = 2_000
    """Labelled rows below which a retrain learns from the ingested data alone."""

    old_share: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of ingested rows among a retrain's rows; above 0 the next drift reference is a mixture of old and new."""

    min_champion_auc: Share = 0.55
    """AUC, or concordance, of the champion on the labelled rows below which they are not believed: drift weakens a
    ranking, only wrong labels turn it around."""

    max_rate_gap: Share = 0.08
    """Distance between the mean outcome of the labelled rows and what the champion predicted for them, above which they
    are not believed; a score shifted by 60 points moves it by 0.05."""

    watch_seconds: Annotated[float, Field(ge=0)] = 600
    """Seconds after a promotion in which a worse or failing release goes back to `previous` by itself."""

    late_watch_days: Annotated[float, Field(ge=0, le=365)] = 30
    """Days, beside those that an outcome usually takes, in which outcomes can still take a release back: when the
    version before it ranks the same requests better, which their bounds show. 0: the watch window alone decides."""

    watch_error_share: Share = 0.05
    """Share of requests failing on our side, in the watch window, above which the release goes back."""

    watch_auc_loss: Share = 0.03
    """Live AUC, or concordance, that a release may lose against its held-out rows in the watch window, outcomes
    permitting."""


class FairnessSettings(Frozen):
    """Largest differences between groups of a protected attribute, for the release policy and for the bias alert."""

    parity_gap: Share = 0.2
    """Demographic parity, the difference of the shares predicted to default: above it the release policy refuses a
    model and the alert fires. The four-fifths rule, written as a difference."""

    opportunity_gap: Share = 0.15
    """Equal opportunity, the difference of the shares of payers predicted to pay, on held-out rows: above it the
    release policy refuses a model."""

    live_opportunity_gap: Share = 0.2
    """The same on requests with known outcome: above it the alert fires. It is wider than `opportunity_gap` because
    live groups are smaller: five fair groups of 100 payers differ by 0.15 in 2 % of all checks, by 0.2 in 0.04 %."""

    waived: dict[
        Annotated[str, Field(pattern=r"^[A-Za-z_]\w*\.(demographic_parity|equal_opportunity|ranking)$")],
        Annotated[str, Field(min_length=1)],
    ] = {}  # noqa: RUF012  pydantic copies it
    """Gaps that the release policy need not see measured, as `ATTRIBUTE.kind`, each with the reason. Without an entry,
    a gap for which too few groups have enough rows leaves the verdict open (`insufficient`)."""


STORED = "s3://"
"""How the address of a file in the artifact store begins."""

LATENCY_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Upper edges of the model server's latency histogram in seconds."""


def _bucket(seconds: float) -> float:
    """Refuse a latency that the histogram cannot tell; raises ValueError."""
    if seconds not in LATENCY_BUCKETS:
        raise ValueError(f"must be one of the histogram's buckets: {', '.join(map(str, LATENCY_BUCKETS))}")
    return seconds


class AlertSettings(Frozen):
    """Thresholds and durations of the alert rules, and how fast they are delivered."""

    drift_share: Annotated[float, Field(gt=0, le=1)] = 0.2
    """Share of drifted columns from which on a check counts as drift: in the report, the alert, dashboards, start page
    and doctor alike."""

    drift_checks: Annotated[int, Field(ge=1)] = 3
    """Checks in a row that must show drift."""

    drift_for_seconds: Annotated[int, Field(ge=0)] = 900
    """Seconds that drift must last."""

    job_missing_seconds: Annotated[int, Field(ge=1)] = 26 * 3600
    """Seconds without a finished drift job."""

    error_share: Share = 0.05
    """Share of requests that fail on our side."""

    error_min_requests: Annotated[int, Field(ge=1)] = 20
    """Requests of the last hour below which the error alert does not fire: a few failed probes say nothing."""

    latency_seconds: Annotated[float, AfterValidator(_bucket)] = 0.05
    """Time that an answer may take; a bucket of the histogram."""

    latency_share: Annotated[float, Field(gt=0, lt=1)] = 0.99
    """Share of answers that must be as fast."""

    latency_burn: Annotated[float, Field(gt=1)] = 14.4
    """Times faster than allowed that slow answers use up the budget; 14.4 spends 2 % of a month's in an hour."""

    latency_min_requests: Annotated[int, Field(ge=1)] = 100
    """Requests of the last hour below which no latency alert fires: of few requests a slow one says nothing."""

    model_age_days: Annotated[float, Field(gt=0)] = 90
    """Age of the champion."""

    feature_age_share: Annotated[float, Field(gt=0, lt=1)] = 0.75
    """Age of the published features, as a share of the shortest ttl of a view: past the ttl, requests by key fail."""

    live_auc: Share = 0.7
    """Live AUC, or concordance of a regression, below which the model no longer ranks well enough."""

    live_rmse_share: Share = 0.2
    """Live RMSE of a regression, as a share of the range of outcomes, above which the model errs too much; predicting
    the mean for every row costs 0.29 where outcomes are spread evenly."""

    for_seconds: Annotated[int, Field(ge=0)] = 300
    """Seconds that every other condition must last."""

    group_wait_seconds: Annotated[int, Field(ge=0)] = 30
    """Seconds before the first delivery of a group of alerts, and between two of them."""

    repeat_seconds: Annotated[int, Field(ge=1)] = 4 * 3600
    """Seconds after which an alert that still fires is delivered again."""


class WorkloadSettings(Frozen):
    """Everything a person may choose about the workload; every field has a safe default."""

    ingestion: IngestionSettings = IngestionSettings()
    features: FeatureSettings = FeatureSettings()
    training: TrainingSettings = TrainingSettings()
    serving: ServingSettings = ServingSettings()
    batch: BatchSettings = BatchSettings()
    retention: RetentionSettings = RetentionSettings()
    deployment: DeploymentSettings = DeploymentSettings()
    monitoring: MonitoringSettings = MonitoringSettings()
    retraining: RetrainingSettings = RetrainingSettings()
    release: TakeoverSettings = TakeoverSettings()
    fairness: FairnessSettings = FairnessSettings()
    alerts: AlertSettings = AlertSettings()

    @model_validator(mode="after")
    def _requests_are_kept_while_they_are_read(self) -> Self:
        needed = max(self.retraining.labelled_days, self.monitoring.window_hours / 24)
        if self.retention.requests_days < needed:
            raise ValueError(
                f"retention.requests_days is {self.retention.requests_days}, but retrains and drift checks read "
                f"requests of the last {needed:g} days (retraining.labelled_days, monitoring.window_hours): keep "
                f"{math.ceil(needed)} days or more, or lower these"
            )
        return self


DRILL = {
    "serving": {"capture_flush_seconds": 2.0},
    "retraining": {"cooldown_seconds": 30.0, "retry_pause_seconds": 2.0, "watch_seconds": 12.0},
    "release": {"mode": "direct"},
    "alerts": {"drift_for_seconds": 5, "for_seconds": 5, "group_wait_seconds": 1, "repeat_seconds": 20},
}
"""The short profile of a fire drill: the same rules and steps, with shorter durations."""


def drill_profile(settings: "Chosen") -> "Chosen":
    """The settings with the drill's durations."""
    parts = {name: getattr(settings, name).model_copy(update=values) for name, values in DRILL.items()}
    return settings.model_copy(update=parts)


Chosen = TypeVar("Chosen", bound=WorkloadSettings)
