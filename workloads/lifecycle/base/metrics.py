"""Names and labels of every metric, read by emitters, alert rules, dashboards and tests; standard library only.

One name serves every workload: each series has the label `workload`, which `exposition` adds, and by which rules,
dashboards and commands select.
"""

LABEL_WORKLOAD = "workload"
"""Label of every series and every alert; its value is the workload's name, e.g. `churn`."""

PREFIX = "mlplatform_"
"""How the names begin, Evidently's aside. Before the label each workload had its own prefix: `former` has the table."""


PREDICTIONS = "mlplatform_predictions_total"
"""Counter of scored rows; label `alias` (`champion` or `challenger`) and `version`."""

PROBE_ROWS = "mlplatform_probe_rows_total"
"""Counter of the scored rows of requests that only try the server, which `PREDICTIONS` counts as well."""

OUT_OF_RANGE_ROWS = "mlplatform_out_of_range_rows_total"
"""Counter of scored rows with a value outside the bounds of its feature, which are not captured."""

PREDICTION_ERRORS = "mlplatform_prediction_errors_total"
"""Counter of requests that got no prediction; label `reason`."""

CONNECTIONS_CLOSED = "mlplatform_connections_closed_total"
"""Counter of connections that the model server closed; label `reason`."""

CLOSE_REASONS = ("headers", "body", "answer", "idle", "full")
"""What a closed connection waited for too long, and `full` where there were too many; the counters start at 0."""

PREDICTION_LATENCY = "mlplatform_prediction_latency_seconds"
"""Histogram of the time from decoded request to answer, in seconds; label `source` (`vector` or `online`)."""

SCORE = "mlplatform_score"
"""Histogram of the answers, in the unit of the outcome; label `alias`."""

CHALLENGER_ROWS = "mlplatform_challenger_rows_total"
"""Counter of a challenger's rows; label `outcome`: `answered` by a canary, `shadowed` (scored and not answered),
`failed` (the champion answered), `dropped` (the shadow's queue was full)."""

CHALLENGER_OUTCOMES = ("answered", "shadowed", "failed", "dropped")

CHALLENGER_UNTIL = "mlplatform_challenger_until_timestamp_seconds"
"""Gauge of the UNIX time by which the challenge that the registry announces must be over; 0 without one."""

MODEL_INFO = "mlplatform_model_info"
"""Gauge, 1 for the version each alias serves; labels `alias` and `version`."""

MODEL_PINNED = "mlplatform_model_pinned"
"""Gauge, 1 for the version that `serving.model_version` pins; absent without a pin; label `version`."""

MODEL_LOADED_TIMESTAMP = "mlplatform_model_loaded_timestamp_seconds"
"""Gauge of the UNIX time at which the champion was trained, for the model's age; label `version`."""

MODEL_FROM_CACHE = "mlplatform_model_from_cache"
"""Gauge, 1 while a verified copy answers that was loaded from the local cache instead of the registry."""

MODEL_WANTED = "mlplatform_model_wanted"
"""Gauge, 1 for the version that the registry (or a pin) wants each alias to serve; labels `alias` and `version`."""

VERSIONS_REFUSED = "mlplatform_versions_refused_total"
"""Counter of looks at a version that the model server must not serve; label `reason` (`bundle` or `signature`)."""

WHY_VERSIONS_ARE_REFUSED = ("bundle", "signature")

SIGNATURES = "mlplatform_signatures_total"
"""Counter of what the signer did with verdicts; label `outcome` (`signed`, `adopted`, `renewed`, `kept`, `refused`)."""

SIGNATURE_OUTCOMES = ("signed", "adopted", "renewed", "kept", "refused")

CHAMPION_MISSING = "mlplatform_champion_missing"
"""Gauge, 1 while a model serves and the registry answers that it has no champion."""

LOOP_FAILURES = "mlplatform_loop_failures_total"
"""Counter of failed steps; label `loop`."""

LOOP_FAILURES_IN_A_ROW = "mlplatform_loop_failures_in_a_row"
"""Gauge of the failed steps since the last success; label `loop`."""

LOOP_LAST_SUCCESS = "mlplatform_loop_last_success_timestamp_seconds"
"""Gauge of the UNIX time at which a step last succeeded; absent before the first success; label `loop`."""

LOOP_BROKEN = "mlplatform_loop_broken"
"""Gauge, 1 while a loop's thread is dead or one of its steps exceeds its limit; label `loop`."""

CAPTURE_ROWS = "mlplatform_capture_rows_total"
"""Counter of captured rows; label `outcome` (`stored` or `dropped`)."""

FEATURES_TIMESTAMP = "mlplatform_features_timestamp_seconds"
"""Gauge of the UNIX time of the newest row among the published features; requests by key fail past their ttl."""

DATA_DRIFT_SCORE = "evidently_data_drift_score"
"""Gauge of the share of drifted columns, 0 to 1."""

FEATURE_DRIFT_SCORE = "evidently_feature_drift_score"
"""Gauge of one column's distance from the reference; label `feature`."""

BIAS_GAP = "mlplatform_bias_gap"
"""Gauge of the largest difference between groups; labels `attribute` and `kind` (`demographic_parity`,
`equal_opportunity`)."""

DRIFT_CHECKS_IN_A_ROW = "mlplatform_drift_checks_in_a_row"
"""Gauge of the last checks, without a gap, that showed drift from the same reference."""

DRIFT_ROWS = "mlplatform_drift_rows"
"""Gauge of the captured rows that the last check looked at."""

DRIFT_MEASURED = "mlplatform_drift_measured"
"""Gauge, 1 when the last check had enough rows to measure drift, 0 when it had too few."""

DRIFT_JOB_OK = "mlplatform_drift_job_ok"
"""Gauge, 0 when the last drift job failed, e.g. because requests are answered and not captured, or there is no
reference."""

DRIFT_JOB_TIMESTAMP = "mlplatform_drift_job_timestamp_seconds"
"""Gauge of the UNIX time at which a drift job last ended well."""

LIVE_AUC = "mlplatform_live_auc"
"""Gauge of the AUC on captured requests whose outcome is known, of a binary problem; label `version`."""

LIVE_CONCORDANCE = "mlplatform_live_concordance"
"""Gauge of the concordance on captured requests whose outcome is known, of a regression; label `version`."""

LIVE_RMSE = "mlplatform_live_rmse"
"""Gauge of the root mean squared error on the same rows, of a regression, in the outcome's unit; label `version`."""

LIVE_CALIBRATION_ERROR = "mlplatform_live_calibration_error"
"""Gauge of the gap between mean prediction and mean outcome by decile of the same rows; label `version`."""

LIVE_LABELLED_ROWS = "mlplatform_live_labelled_rows"
"""Gauge of those rows; label `version`."""

RETRAINS = "mlplatform_retrains"
"""Gauge of the retrains in the ledger; label `status`."""

LAST_RETRAIN_FAILED = "mlplatform_last_retrain_failed"
"""Gauge, 1 when the last finished retrain failed or its release was rolled back."""

ALERTS_RECEIVED = "mlplatform_alerts_received_total"
"""Counter of alerts at the retraining service; label `outcome`."""

LABEL_STATUS = "status"
LABEL_MODEL = "model"
"""Label of every alert; its value is the registered model."""

LABEL_ALIAS = "alias"
LABEL_VERSION = "version"
LABEL_REASON = "reason"
LABEL_SOURCE = "source"
LABEL_OUTCOME = "outcome"
LABEL_FEATURE = "feature"
LABEL_ATTRIBUTE = "attribute"
LABEL_KIND = "kind"
LABEL_LOOP = "loop"

LIVE_RANKING = {"binary": LIVE_AUC, "regression": LIVE_CONCORDANCE}
"""How well a model ranks live requests, by problem."""

KIND_PARITY, KIND_OPPORTUNITY = "demographic_parity", "equal_opportunity"
"""Values of the label `kind`."""

UNKNOWN_ENTITY = "unknown_entity"
"""Value of the label `reason` where a request names an entity without features. Former metric names show it with the
names of the entities, e.g. `unknown_customer`."""

OUT_OF_RANGE = "out_of_range"
"""Reason of a request with a value outside the bounds of its feature."""

NOT_EXPLAINED = "not_explained"
"""Reason of a request whose explanation could not be had; without one it would be answered."""

ERROR_REASONS = (
    "malformed",
    OUT_OF_RANGE,
    UNKNOWN_ENTITY,
    "stale_features",
    "online_store_down",
    "not_ready",
    "overloaded",
    NOT_EXPLAINED,
    "internal",
)
"""Every value of the label `reason`; the counter starts at 0 for each, so that a rate exists before the first error."""

ALERT_DATA_DRIFT = "DataDriftDetected"
"""Name of the alert on `DATA_DRIFT_SCORE`."""

ALERT_RETRAIN_FAILED = "RetrainFailed"

ALERTS_THAT_RETRAIN = (ALERT_DATA_DRIFT,)
"""Alerts that are sent to the retraining service; it ignores every other."""


def selected(name: str, workload: str, **labels: str) -> str:
    """PromQL of one workload's series of a metric, of those with `labels` only."""
    matchers = ",".join(f'{label}="{value}"' for label, value in {LABEL_WORKLOAD: workload, **labels}.items())
    return f"{name}{{{matchers}}}"


def monitoring_job(workload: str) -> str:
    """Value of the label `job` on what a workload's drift job pushes; the Pushgateway groups by it."""
    return f"{workload}-monitoring"


def former(prefix: str) -> dict[str, str]:
    """Former name -> name, of every metric that was named after a workload; `prefix` is e.g. `churn_`."""
    names = (value for name, value in globals().items() if name.isupper() and isinstance(value, str))
    return {prefix + name.removeprefix(PREFIX): name for name in names if name.startswith(PREFIX) and name != PREFIX}
