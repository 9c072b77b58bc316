"""A workload's Grafana dashboards; the names of metrics and the limits of alerts come from where they are defined."""

from infra.monitoring.dashboards import Panel, Row, render
from workloads.lifecycle.base import metrics
from workloads.lifecycle.base.settings import AlertSettings, FairnessSettings
from workloads.lifecycle.monitoring import alerts
from workloads.lifecycle.quality.measures import RANKING_TITLES
from workloads.lifecycle.workload import Workload

_WINDOW = "[5m]"


def dashboards(workload: Workload, settings: AlertSettings, fairness: FairnessSettings) -> dict[str, str]:
    """Name -> Grafana's JSON."""
    name = workload.name
    queried = _Queries(workload)
    return {
        "serving": render(f"{name}-serving", f"{name}: serving", _serving(queried, settings)),
        "quality": render(f"{name}-quality", f"{name}: drift, bias, quality", _quality(queried, settings, fairness)),
        "retraining": render(f"{name}-retraining", f"{name}: retraining", _retraining(queried)),
    }


class _Queries:
    """PromQL on the series of one workload."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload.name
        self.problem = workload.problem
        self.span = workload.outcome.highest - workload.outcome.lowest
        self.ttl_hours = workload.shortest_ttl.total_seconds() / 3600
        self.unit = "percentunit" if workload.problem == "binary" else "short"

    def of(self, metric: str) -> str:
        """The series."""
        return metrics.selected(metric, self.workload)

    def rate(self, metric: str, *labels: str) -> str:
        """A counter's rate by some of its labels."""
        return f"sum by ({', '.join(labels)}) (rate({self.of(metric)}{_WINDOW}))"

    def quantile(self, share: float) -> str:
        """A quantile of the latency, in seconds."""
        return f"histogram_quantile({share}, {self.rate(f'{metrics.PREDICTION_LATENCY}_bucket', 'le')})"


def _serving(queried: _Queries, settings: AlertSettings) -> list[Row]:
    reason, alias, version = metrics.LABEL_REASON, metrics.LABEL_ALIAS, metrics.LABEL_VERSION
    return [
        Row(
            title="Requests",
            panels=[
                Panel(
                    title="Scored rows",
                    unit="cps",
                    queries=[
                        (queried.rate(metrics.PREDICTIONS, alias, version), _legend(alias, version)),
                        (f"sum(rate({queried.of(metrics.PROBE_ROWS)}{_WINDOW}))", "of them tries and probes"),
                        (f"sum(rate({queried.of(metrics.OUT_OF_RANGE_ROWS)}{_WINDOW}))", "of them out of range"),
                    ],
                    description="By alias and version: a canary's share shows here.",
                ),
                Panel(
                    title="Requests without a prediction",
                    unit="reqps",
                    queries=[(queried.rate(metrics.PREDICTION_ERRORS, reason), _legend(reason))],
                ),
                Panel(
                    title="Latency",
                    unit="s",
                    queries=[(queried.quantile(share), f"{share:.0%}") for share in (0.5, 0.9, 0.99)],
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
                        (queried.of(metrics.MODEL_INFO), f"served {_legend(alias, version)}"),
                        (queried.of(metrics.MODEL_WANTED), f"wanted {_legend(alias, version)}"),
                        (queried.of(metrics.MODEL_PINNED), f"pinned {_legend(version)}"),
                    ],
                ),
                Panel(
                    title="Served without the registry",
                    unit="bool",
                    queries=[
                        (queried.of(metrics.MODEL_FROM_CACHE), "from the cache"),
                        (queried.of(metrics.CHAMPION_MISSING), "no champion in the registry"),
                    ],
                ),
                Panel(
                    title="Versions refused, connections closed",
                    unit="cps",
                    queries=[
                        (
                            queried.rate(metrics.VERSIONS_REFUSED, metrics.LABEL_REASON),
                            f"version: {_legend(metrics.LABEL_REASON)}",
                        ),
                        (
                            queried.rate(metrics.CONNECTIONS_CLOSED, metrics.LABEL_REASON),
                            f"connection: {_legend(metrics.LABEL_REASON)}",
                        ),
                    ],
                    description="A version without a valid bundle or signed verdict is not served.",
                ),
                Panel(
                    title="Challenger's rows",
                    unit="cps",
                    queries=[
                        (
                            queried.rate(metrics.CHALLENGER_ROWS, metrics.LABEL_OUTCOME),
                            _legend(metrics.LABEL_OUTCOME),
                        )
                    ],
                    description="Answered by a canary, scored by a shadow, failed, or dropped from a shadow's queue.",
                ),
                Panel(
                    title="Time left to the challenge",
                    unit="s",
                    queries=[(f"({queried.of(metrics.CHALLENGER_UNTIL)} > 0) - time()", "seconds")],
                    description="Empty without a challenge; below 0 the challenger answers nothing any more.",
                ),
                Panel(
                    title="Age of the champion",
                    unit="d",
                    queries=[(f"(time() - {queried.of(metrics.MODEL_LOADED_TIMESTAMP)}) / 86400", _legend(version))],
                    limit=settings.model_age_days,
                ),
                Panel(
                    title="Age of the features",
                    unit="h",
                    queries=[(f"(time() - {queried.of(metrics.FEATURES_TIMESTAMP)}) / 3600", "published run")],
                    limit=settings.feature_age_share * queried.ttl_hours,
                    description="Since the newest observation; past their view's ttl, requests by key are refused.",
                ),
                Panel(
                    title="Mean score",
                    unit=queried.unit,
                    queries=[
                        (
                            " / ".join(queried.rate(f"{metrics.SCORE}_{part}", alias) for part in ("sum", "count")),
                            _legend(alias),
                        )
                    ],
                    description="A mean that jumps with a release says that the model sees the world differently.",
                ),
            ],
        ),
        Row(
            title="Request capture",
            panels=[
                Panel(
                    title="Captured rows",
                    unit="cps",
                    queries=[
                        (queried.rate(metrics.CAPTURE_ROWS, metrics.LABEL_OUTCOME), _legend(metrics.LABEL_OUTCOME))
                    ],
                ),
            ],
        ),
        Row(
            title="Background loops",
            panels=[
                Panel(
                    title="Failed steps",
                    unit="cps",
                    queries=[(queried.rate(metrics.LOOP_FAILURES, metrics.LABEL_LOOP), _legend(metrics.LABEL_LOOP))],
                ),
                Panel(
                    title="Failures in a row",
                    unit="short",
                    queries=[
                        (queried.of(metrics.LOOP_FAILURES_IN_A_ROW), _legend(metrics.LABEL_LOOP)),
                        (queried.of(metrics.LOOP_BROKEN), f"dead or stuck: {_legend(metrics.LABEL_LOOP)}"),
                    ],
                ),
                Panel(
                    title="Time since the last success",
                    unit="s",
                    queries=[(f"time() - {queried.of(metrics.LOOP_LAST_SUCCESS)}", _legend(metrics.LABEL_LOOP))],
                ),
            ],
        ),
    ]


def _quality(queried: _Queries, settings: AlertSettings, fairness: FairnessSettings) -> list[Row]:
    return [
        Row(
            title="Drift",
            panels=[
                Panel(
                    title="Share of drifted columns",
                    unit="percentunit",
                    queries=[(queried.of(metrics.DATA_DRIFT_SCORE), "drifted")],
                    limit=settings.drift_share,
                ),
                Panel(
                    title="Distance from the training data",
                    unit="short",
                    queries=[(queried.of(metrics.FEATURE_DRIFT_SCORE), _legend(metrics.LABEL_FEATURE))],
                ),
                Panel(
                    title="Checks in a row that showed drift",
                    unit="short",
                    queries=[
                        (queried.of(metrics.DRIFT_CHECKS_IN_A_ROW), "checks"),
                        (queried.of(metrics.DRIFT_ROWS), "rows looked at"),
                    ],
                ),
            ],
        ),
        Row(
            title="Bias",
            panels=[
                Panel(
                    title=title,
                    unit="percentunit",
                    queries=[(alerts.bias_gap(queried.workload, kind), _legend(metrics.LABEL_ATTRIBUTE))],
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
                    title=RANKING_TITLES[queried.problem],
                    unit="short",
                    queries=[(queried.of(metrics.LIVE_RANKING[queried.problem]), _legend(metrics.LABEL_VERSION))],
                    floor=settings.live_auc,
                ),
                *_errors(queried, settings),
                Panel(
                    title="Calibration error",
                    unit=queried.unit,
                    queries=[(queried.of(metrics.LIVE_CALIBRATION_ERROR), _legend(metrics.LABEL_VERSION))],
                ),
                Panel(
                    title="Rows with an outcome",
                    unit="short",
                    queries=[(queried.of(metrics.LIVE_LABELLED_ROWS), _legend(metrics.LABEL_VERSION))],
                ),
            ],
        ),
    ]


def _errors(queried: _Queries, settings: AlertSettings) -> list[Panel]:
    """What a regression has beside its ranking."""
    if queried.problem == "binary":
        return []
    return [
        Panel(
            title="Root mean squared error",
            unit=queried.unit,
            queries=[(queried.of(metrics.LIVE_RMSE), _legend(metrics.LABEL_VERSION))],
            limit=settings.live_rmse_share * queried.span,
        )
    ]


def _retraining(queried: _Queries) -> list[Row]:
    return [
        Row(
            title="Retrains",
            panels=[
                Panel(
                    title="In the ledger, by status",
                    unit="short",
                    queries=[
                        (
                            f"max by ({metrics.LABEL_STATUS}) ({queried.of(metrics.RETRAINS)})",
                            _legend(metrics.LABEL_STATUS),
                        )
                    ],
                ),
                Panel(
                    title="The last one failed",
                    unit="bool",
                    queries=[(f"max({queried.of(metrics.LAST_RETRAIN_FAILED)})", "failed")],
                ),
                Panel(
                    title="Alerts, by what came of them",
                    unit="cps",
                    queries=[
                        (queried.rate(metrics.ALERTS_RECEIVED, metrics.LABEL_OUTCOME), _legend(metrics.LABEL_OUTCOME))
                    ],
                ),
                Panel(
                    title="Verdicts, by what the signer did",
                    unit="cps",
                    queries=[(queried.rate(metrics.SIGNATURES, metrics.LABEL_OUTCOME), _legend(metrics.LABEL_OUTCOME))],
                ),
            ],
        ),
        Row(
            title="The job that looks for drift",
            panels=[
                Panel(title="Ended well", unit="bool", queries=[(queried.of(metrics.DRIFT_JOB_OK), "ok")]),
                Panel(
                    title="Time since it last ended well",
                    unit="s",
                    queries=[(f"time() - {queried.of(metrics.DRIFT_JOB_TIMESTAMP)}", "since")],
                ),
                Panel(title="Had enough rows", unit="bool", queries=[(queried.of(metrics.DRIFT_MEASURED), "measured")]),
            ],
        ),
    ]


def _legend(*labels: str) -> str:
    return " ".join(f"{{{{{label}}}}}" for label in labels)
