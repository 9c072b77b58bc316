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

MODEL_LOADED_TIMESTAMP = "loan_default_model_loaded_timestamp_seconds"
"""Gauge of the UNIX time at which the champion was trained, for the model's age; label `version`."""

MODEL_FROM_CACHE = "loan_default_model_from_cache"
"""Gauge, 1 while the registry cannot be reached and the last verified copy answers."""

CAPTURE_ROWS = "loan_default_capture_rows_total"
"""Counter of captured rows; label `outcome` (`stored` or `dropped`)."""

DATA_DRIFT_SCORE = "evidently_data_drift_score"
"""Gauge of the share of drifted columns, 0 to 1."""

FEATURE_DRIFT_SCORE = "evidently_feature_drift_score"
"""Gauge of one column's distance from the reference; label `feature`."""

BIAS_GAP = "loan_default_bias_gap"
"""Gauge of the largest difference between groups; labels `attribute` and `kind` (`demographic_parity`, …)."""

LABEL_ALIAS = "alias"
LABEL_VERSION = "version"
LABEL_REASON = "reason"
LABEL_SOURCE = "source"
LABEL_OUTCOME = "outcome"
LABEL_FEATURE = "feature"
LABEL_ATTRIBUTE = "attribute"
LABEL_KIND = "kind"

ERROR_REASONS = ("malformed", "unknown_customer", "stale_features", "online_store_down", "not_ready", "internal")
"""Every value of the label `reason`; the counter starts at 0 for each, so that a rate exists before the first error."""

ALERT_DATA_DRIFT = "DataDriftDetected"
"""Name of the alert on `DATA_DRIFT_SCORE`."""
