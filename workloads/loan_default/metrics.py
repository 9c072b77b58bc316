"""Names and labels of every metric, read by emitters, alert rules, dashboards and tests; standard library only."""

PREDICTIONS = "loan_default_predictions_total"
"""Counter of scored rows; label `alias` (`champion` or `challenger`) and `version`."""

PREDICTION_ERRORS = "loan_default_prediction_errors_total"
"""Counter of requests that got no prediction; label `reason`."""

PREDICTION_LATENCY = "loan_default_prediction_latency_seconds"
"""Histogram of the time from decoded request to answer, in seconds; label `source` (`vector` or `online`)."""

SCORE = "loan_default_score"
"""Histogram of predicted default probabilities; label `alias`."""

MODEL_INFO = "loan_default_model_info"
"""Gauge, 1 for the version each alias serves; labels `alias` and `version`."""

MODEL_PINNED = "loan_default_model_pinned"
"""Gauge, 1 for the version that `serving.model_version` pins; absent without a pin; label `version`."""

MODEL_LOADED_TIMESTAMP = "loan_default_model_loaded_timestamp_seconds"
"""Gauge of the UNIX time at which the champion was trained, for the model's age; label `version`."""

MODEL_FROM_CACHE = "loan_default_model_from_cache"
"""Gauge, 1 while a verified copy answers that was loaded from the local cache instead of the registry."""

MODEL_WANTED = "loan_default_model_wanted"
"""Gauge, 1 for the version that the registry (or a pin) wants each alias to serve; labels `alias` and `version`."""

CHAMPION_MISSING = "loan_default_champion_missing"
"""Gauge, 1 while a model serves and the registry answers that it has no champion."""

LOOP_FAILURES = "loan_default_loop_failures_total"
"""Counter of failed steps; label `loop`."""

LOOP_FAILURES_IN_A_ROW = "loan_default_loop_failures_in_a_row"
"""Gauge of the failed steps since the last success; label `loop`."""

LOOP_LAST_SUCCESS = "loan_default_loop_last_success_timestamp_seconds"
"""Gauge of the UNIX time at which a step last succeeded; absent before the first success; label `loop`."""

LOOP_BROKEN = "loan_default_loop_broken"
"""Gauge, 1 while a loop's thread is dead or one of its steps exceeds its limit; label `loop`."""

CAPTURE_ROWS = "loan_default_capture_rows_total"
"""Counter of captured rows; label `outcome` (`stored` or `dropped`)."""

DATA_DRIFT_SCORE = "evidently_data_drift_score"
"""Gauge of the share of drifted columns, 0 to 1."""

FEATURE_DRIFT_SCORE = "evidently_feature_drift_score"
"""Gauge of one column's distance from the reference; label `feature`."""

BIAS_GAP = "loan_default_bias_gap"
"""Gauge of the largest difference between groups; labels `attribute` and `kind` (`demographic_parity`,
`equal_opportunity`)."""

DRIFT_CHECKS_IN_A_ROW = "loan_default_drift_checks_in_a_row"
"""Gauge of the last checks, without a gap, that showed drift from the same reference."""

DRIFT_ROWS = "loan_default_drift_rows"
"""Gauge of the captured rows that the last check looked at."""

DRIFT_MEASURED = "loan_default_drift_measured"
"""Gauge, 1 when the last check had enough rows to measure drift, 0 when it had too few."""

DRIFT_JOB_OK = "loan_default_drift_job_ok"
"""Gauge, 0 when the last drift job failed, e.g. because requests are answered and not captured, or there is no
reference."""

DRIFT_JOB_TIMESTAMP = "loan_default_drift_job_timestamp_seconds"
"""Gauge of the UNIX time at which a drift job last ended well."""

LIVE_AUC = "loan_default_live_auc"
"""Gauge of the AUC on captured requests whose outcome is known; label `version`."""

LIVE_CALIBRATION_ERROR = "loan_default_live_calibration_error"
"""Gauge of the gap between predicted and observed default rate on the same rows; label `version`."""

LIVE_LABELLED_ROWS = "loan_default_live_labelled_rows"
"""Gauge of those rows; label `version`."""

RETRAINS = "loan_default_retrains"
"""Gauge of the retrains in the ledger; label `status`."""

LAST_RETRAIN_FAILED = "loan_default_last_retrain_failed"
"""Gauge, 1 when the last finished retrain failed or its release was rolled back."""

ALERTS_RECEIVED = "loan_default_alerts_received_total"
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

KIND_PARITY, KIND_OPPORTUNITY = "demographic_parity", "equal_opportunity"
"""Values of the label `kind`."""

ERROR_REASONS = ("malformed", "unknown_customer", "stale_features", "online_store_down", "not_ready", "internal")
"""Every value of the label `reason`; the counter starts at 0 for each, so that a rate exists before the first error."""

ALERT_DATA_DRIFT = "DataDriftDetected"
"""Name of the alert on `DATA_DRIFT_SCORE`."""

ALERT_ERRORS = "LoanDefaultErrors"
ALERT_NOT_SERVING = "LoanDefaultNotServing"
ALERT_LATENCY = "LoanDefaultLatencyBudgetBurn"
ALERT_DRIFT_JOB_MISSING = "LoanDefaultDriftJobMissing"
ALERT_DRIFT_JOB_FAILED = "LoanDefaultDriftJobFailed"
ALERT_DRIFT_NOT_MEASURED = "LoanDefaultDriftNotMeasured"
ALERT_CAPTURE = "LoanDefaultCaptureMissing"
ALERT_BIAS = "LoanDefaultBiasGap"
ALERT_MODEL_AGE = "LoanDefaultModelAge"
ALERT_LIVE_QUALITY = "LoanDefaultLiveQuality"
ALERT_RETRAIN_FAILED = "LoanDefaultRetrainFailed"
ALERT_RETRAINING_DOWN = "LoanDefaultRetrainingDown"
ALERT_LOOP_FAILING = "LoanDefaultLoopFailing"
ALERT_VERSION_NOT_SERVED = "LoanDefaultVersionNotServed"
ALERT_CHAMPION_MISSING = "LoanDefaultChampionMissing"

ALERTS_THAT_RETRAIN = (ALERT_DATA_DRIFT,)
"""Alerts that are sent to the retraining service; it ignores every other."""

MONITORING_JOB = "loan-default-monitoring"
"""Value of the label `job` on what the drift job pushes."""
