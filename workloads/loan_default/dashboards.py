"""The workload's Grafana dashboards; the names of metrics and the limits of alerts come from where they are defined."""

from infra.monitoring.dashboards import Panel, Row, render
from workloads.loan_default import SERVED_NAME, alerts, metrics
from workloads.loan_default.settings import AlertSettings, FairnessSettings

_FAIRNESS = FairnessSettings()
_WINDOW = "[5m]"


def dashboards(settings: AlertSettings, fairness: FairnessSettings = _FAIRNESS) -> dict[str, str]:
    """Name -> Grafana's JSON."""
    return {
        "serving": render(f"{SERVED_NAME}-serving", f"{SERVED_NAME}: serving", _serving(settings)),
        "quality": render(
            f"{SERVED_NAME}-quality", f"{SERVED_NAME}: drift, bias, quality", _quality(settings, fairness)
        ),
        "retraining": render(f"{SERVED_NAME}-retraining", f"{SERVED_NAME}: retraining", _retraining()),
    }


def _serving(settings: AlertSettings) -> list[Row]:
    reason, alias, version = metrics.LABEL_REASON, metrics.LABEL_ALIAS, metrics.LABEL_VERSION
    return [
        Row(
            title="Requests",
            panels=[
                Panel(
                    title="Scored rows",
                    unit="cps",
                    queries=[(_rate(metrics.PREDICTIONS, alias, version), _legend(alias, version))],
                    description="By alias and version: a canary's share shows here.",
                ),
                Panel(
                    title="Requests without a prediction",
                    unit="reqps",
                    queries=[(_rate(metrics.PREDICTION_ERRORS, reason), _legend(reason))],
                ),
                Panel(
                    title="Latency",
                    unit="s",
                    queries=[(_quantile(share), f"{share:.0%}") for share in (0.5, 0.9, 0.99)],
                    limit=settings.latency_seconds,
                ),
            ],
        ),
        Row(
            title="Model",
            panels=[
                Panel(
                    title="Version by alias, served and wanted",
                    unit="short",
                    queries=[
                        (metrics.MODEL_INFO, f"served {_legend(alias, version)}"),
                        (metrics.MODEL_WANTED, f"wanted {_legend(alias, version)}"),
                        (metrics.MODEL_PINNED, f"pinned {_legend(version)}"),
                    ],
                ),
                Panel(
                    title="Served without the registry",
                    unit="bool",
                    queries=[
                        (metrics.MODEL_FROM_CACHE, "from the cache"),
                        (metrics.CHAMPION_MISSING, "no champion in the registry"),
                    ],
                ),
                Panel(
                    title="Age of the champion",
                    unit="d",
                    queries=[(f"(time() - {metrics.MODEL_LOADED_TIMESTAMP}) / 86400", _legend(version))],
                    limit=settings.model_age_days,
                ),
                Panel(
                    title="Mean score",
                    unit="percentunit",
                    queries=[
                        (
                            f"{_rate(f'{metrics.SCORE}_sum', alias)} / {_rate(f'{metrics.SCORE}_count', alias)}",
                            _legend(alias),
                        )
                    ],
                    description="A mean that jumps with a release says that the model sees people differently.",
                ),
            ],
        ),
        Row(
            title="Request capture",
            panels=[
                Panel(
                    title="Captured rows",
                    unit="cps",
                    queries=[(_rate(metrics.CAPTURE_ROWS, metrics.LABEL_OUTCOME), _legend(metrics.LABEL_OUTCOME))],
                ),
            ],
        ),
        Row(
            title="Background loops",
            panels=[
                Panel(
                    title="Failed steps",
                    unit="cps",
                    queries=[(_rate(metrics.LOOP_FAILURES, metrics.LABEL_LOOP), _legend(metrics.LABEL_LOOP))],
                ),
                Panel(
                    title="Failures in a row",
                    unit="short",
                    queries=[
                        (metrics.LOOP_FAILURES_IN_A_ROW, _legend(metrics.LABEL_LOOP)),
                        (metrics.LOOP_BROKEN, f"dead or stuck: {_legend(metrics.LABEL_LOOP)}"),
                    ],
                ),
                Panel(
                    title="Time since the last success",
                    unit="s",
                    queries=[(f"time() - {metrics.LOOP_LAST_SUCCESS}", _legend(metrics.LABEL_LOOP))],
                ),
            ],
        ),
    ]


def _quality(settings: AlertSettings, fairness: FairnessSettings) -> list[Row]:
    return [
        Row(
            title="Drift",
            panels=[
                Panel(
                    title="Share of drifted columns",
                    unit="percentunit",
                    queries=[(metrics.DATA_DRIFT_SCORE, "drifted")],
                    limit=settings.drift_share,
                ),
                Panel(
                    title="Distance from the training data",
                    unit="short",
                    queries=[(metrics.FEATURE_DRIFT_SCORE, _legend(metrics.LABEL_FEATURE))],
                ),
                Panel(
                    title="Checks in a row that showed drift",
                    unit="short",
                    queries=[(metrics.DRIFT_CHECKS_IN_A_ROW, "checks"), (metrics.DRIFT_ROWS, "rows looked at")],
                ),
            ],
        ),
        Row(
            title="Bias",
            panels=[
                Panel(
                    title=title,
                    unit="percentunit",
                    queries=[(alerts.bias_gap(kind), _legend(metrics.LABEL_ATTRIBUTE))],
                    limit=limit,
                )
                for title, kind, limit in (
                    ("Demographic parity gap", metrics.KIND_PARITY, fairness.parity_gap),
                    ("Equal opportunity gap", metrics.KIND_OPPORTUNITY, fairness.live_opportunity_gap),
                )
            ],
        ),
        Row(
            title="Quality on outcomes that are known",
            panels=[
                Panel(
                    title="AUC",
                    unit="short",
                    queries=[(metrics.LIVE_AUC, _legend(metrics.LABEL_VERSION))],
                    floor=settings.live_auc,
                ),
                Panel(
                    title="Calibration error",
                    unit="percentunit",
                    queries=[(metrics.LIVE_CALIBRATION_ERROR, _legend(metrics.LABEL_VERSION))],
                ),
                Panel(
                    title="Rows with an outcome",
                    unit="short",
                    queries=[(metrics.LIVE_LABELLED_ROWS, _legend(metrics.LABEL_VERSION))],
                ),
            ],
        ),
    ]


def _retraining() -> list[Row]:
    return [
        Row(
            title="Retrains",
            panels=[
                Panel(
                    title="In the ledger, by status",
                    unit="short",
                    queries=[(f"max by ({metrics.LABEL_STATUS}) ({metrics.RETRAINS})", _legend(metrics.LABEL_STATUS))],
                ),
                Panel(
                    title="The last one failed",
                    unit="bool",
                    queries=[(f"max({metrics.LAST_RETRAIN_FAILED})", "failed")],
                ),
                Panel(
                    title="Alerts, by what came of them",
                    unit="cps",
                    queries=[(_rate(metrics.ALERTS_RECEIVED, metrics.LABEL_OUTCOME), _legend(metrics.LABEL_OUTCOME))],
                ),
            ],
        ),
        Row(
            title="The job that looks for drift",
            panels=[
                Panel(title="Ended well", unit="bool", queries=[(metrics.DRIFT_JOB_OK, "ok")]),
                Panel(
                    title="Time since it last ended well",
                    unit="s",
                    queries=[(f"time() - {metrics.DRIFT_JOB_TIMESTAMP}", "since")],
                ),
                Panel(title="Had enough rows", unit="bool", queries=[(metrics.DRIFT_MEASURED, "measured")]),
            ],
        ),
    ]


def _rate(metric: str, *labels: str) -> str:
    return f"sum by ({', '.join(labels)}) (rate({metric}{_WINDOW}))"


def _quantile(share: float) -> str:
    return f"histogram_quantile({share}, sum by (le) (rate({metrics.PREDICTION_LATENCY}_bucket{_WINDOW})))"


def _legend(*labels: str) -> str:
    return " ".join(f"{{{{{label}}}}}" for label in labels)
