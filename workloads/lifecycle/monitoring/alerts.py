"""A workload's alert rules, as a Prometheus rule file; the names of metrics come from `metrics`.

Standard library and pydantic only: the Pulumi program reads this.
"""

import json
from typing import Any

from workloads.lifecycle.base import metrics
from workloads.lifecycle.base.settings import AlertSettings, FairnessSettings
from workloads.lifecycle.quality.measures import RANKING_TITLES
from workloads.lifecycle.workload import Workload

RUNBOOKS = "docs/runbooks"
OUR_FAULT = "internal|online_store_down"
"""Reasons of a failed request that no client can mend."""

_JOINED = f"on ({metrics.LABEL_WORKLOAD})"
_SUM = f"sum by ({metrics.LABEL_WORKLOAD})"

MEASURE, THRESHOLD = "measure", "threshold"
"""Annotations of an alert on one number: the PromQL of the number and its threshold, for doctor and start page."""

_DAY_SECONDS = 86400
_CHALLENGER_LATE_SECONDS = 300
"""How long after its limit a challenge may still be announced: the model server has ended it by then."""


def rules(workload: Workload, settings: AlertSettings, fairness: FairnessSettings) -> str:
    """The rule file as YAML (JSON, which YAML contains): one group, on the workload's series alone."""
    return json.dumps(
        {"groups": [{"name": workload.name, "rules": _Rules(workload, settings).all(fairness)}]}, indent=1
    )


def retrain_matchers(workload: Workload) -> list[str]:
    """Alertmanager matchers of the alerts that start a retrain of the workload, and of no other."""
    return [f'alertname="{metrics.ALERT_DATA_DRIFT}"', f'{metrics.LABEL_WORKLOAD}="{workload.name}"']


def bias_gap(workload: str, kind: str) -> str:
    """PromQL of the gaps of one kind, by attribute."""
    return metrics.selected(metrics.BIAS_GAP, workload, **{metrics.LABEL_KIND: kind})


class _Rules:
    """The rules of one workload: each expression selects its series, and joins on the label `workload`."""

    def __init__(self, workload: Workload, settings: AlertSettings) -> None:
        self._workload = workload
        self._name = workload.name
        self._settings = settings

    def all(self, fairness: FairnessSettings) -> list[dict[str, Any]]:
        """Every rule."""
        return [
            *(self._drift(), self._not_measured(), *self._job(), self._capture()),
            *(self._errors(), self._absent(), self._latency()),
            *(*self._bias(fairness), self._age(), self._feature_age(), *self._live_quality(), *self._retraining()),
            *(*self._served(), self._challenger(), self._loops()),
        ]

    def _drift(self) -> dict[str, Any]:
        settings = self._settings
        score, in_a_row = self._of(metrics.DATA_DRIFT_SCORE), self._of(metrics.DRIFT_CHECKS_IN_A_ROW)
        return self._alert(
            metrics.ALERT_DATA_DRIFT,
            f"{score} >= {settings.drift_share} and {_JOINED} {in_a_row} >= {settings.drift_checks}",
            settings.drift_for_seconds,
            "critical",
            f"{{{{ $value | humanizePercentage }}}} of the {self._name} columns drifted from the training data, "
            f"threshold {settings.drift_share * 100:g}%, in at least {settings.drift_checks} checks in a row",
            measured=(score, settings.drift_share),
        )

    def _not_measured(self) -> dict[str, Any]:
        return self._alert(
            metrics.ALERT_DRIFT_NOT_MEASURED,
            f"{self._of(metrics.DRIFT_MEASURED)} == 0",
            self._settings.for_seconds,
            "info",
            f"Too few captured requests to say whether the {self._name} data drifted",
        )

    def _job(self) -> list[dict[str, Any]]:
        """Late, never seen at all, and failed; the second waits as long as the first: a new stack is no alert."""
        settings, at = self._settings, self._of(metrics.DRIFT_JOB_TIMESTAMP)
        late = f"time() - {at} > {settings.job_missing_seconds}"
        missing = f"The drift job of {self._name} has not ended well for too long"
        failed = f"The drift job of {self._name} failed: no reference, no capture of requests, or the store is down"
        return [
            self._alert(metrics.ALERT_DRIFT_JOB_MISSING, late, settings.for_seconds, "critical", missing),
            self._alert(
                metrics.ALERT_DRIFT_JOB_MISSING, f"absent({at})", settings.job_missing_seconds, "warning", missing
            ),
            self._alert(
                metrics.ALERT_DRIFT_JOB_FAILED,
                f"{self._of(metrics.DRIFT_JOB_OK)} == 0",
                settings.for_seconds,
                "critical",
                failed,
            ),
        ]

    def _capture(self) -> dict[str, Any]:
        stored = self._of(metrics.CAPTURE_ROWS, **{metrics.LABEL_OUTCOME: "stored"})
        scored = self._of(metrics.PREDICTIONS)
        return self._alert(
            metrics.ALERT_CAPTURE,
            f"{_SUM} (increase({scored}[15m])) > 0 unless {_JOINED} {_SUM} (increase({stored}[15m])) > 0",
            max(self._settings.for_seconds, 600),
            "warning",
            f"{self._name} answers requests and captures none of them",
        )

    def _errors(self) -> dict[str, Any]:
        share, lowest = self._settings.error_share, self._settings.error_min_requests
        ours = f'{metrics.LABEL_WORKLOAD}="{self._name}",{metrics.LABEL_REASON}=~"{OUR_FAULT}"'
        failed = f"{metrics.PREDICTION_ERRORS}{{{ours}}}"
        # Answered requests, and not their rows: one batch of 1,000 rows must not hide 20 requests that fail.
        answered = self._of(f"{metrics.PREDICTION_LATENCY}_count")
        errors, answers = (f"{_SUM} (rate({each}[5m]))" for each in (failed, answered))
        requests = " + ".join(f"{_SUM} (increase({each}[1h]))" for each in (failed, answered))
        return self._alert(
            metrics.ALERT_ERRORS,
            f"{errors} > {share} * ({errors} + {answers}) and {_JOINED} {requests} >= {lowest}",
            self._settings.for_seconds,
            "critical",
            f"More than {share:.0%} of the {self._name} requests fail on our side",
        )

    def _absent(self) -> dict[str, Any]:
        return self._alert(
            metrics.ALERT_NOT_SERVING,
            f"absent({self._of(metrics.MODEL_INFO)})",
            self._settings.for_seconds,
            "critical",
            f"No model server answers with a {self._name} model",
        )

    def _served(self) -> list[dict[str, Any]]:
        """What the model server serves against what the registry names; outages of the registry change neither."""
        labels = f"{metrics.LABEL_WORKLOAD}, instance, {metrics.LABEL_ALIAS}, {metrics.LABEL_VERSION}"
        return [
            self._alert(
                metrics.ALERT_VERSION_NOT_SERVED,
                f"{self._of(metrics.MODEL_WANTED)} unless on ({labels}) {self._of(metrics.MODEL_INFO)}",
                self._settings.for_seconds,
                "critical",
                f"The registry's {{{{ $labels.{metrics.LABEL_ALIAS} }}}} of {self._name} is version "
                f"{{{{ $labels.{metrics.LABEL_VERSION} }}}}, and the model server does not serve it",
            ),
            self._alert(
                metrics.ALERT_CHAMPION_MISSING,
                f"{self._of(metrics.CHAMPION_MISSING)} == 1",
                self._settings.for_seconds,
                "critical",
                f"The registry has no {self._name} champion; the model server answers with the last verified version",
            ),
        ]

    def _challenger(self) -> dict[str, Any]:
        until = self._of(metrics.CHALLENGER_UNTIL)
        return self._alert(
            metrics.ALERT_CHALLENGER_STUCK,
            f"time() - ({until} > 0) > {_CHALLENGER_LATE_SECONDS}",
            self._settings.for_seconds,
            "warning",
            f"The challenge of the {self._name} champion is over since {{{{ $value | humanizeDuration }}}} and has no "
            "verdict; the champion answers alone",
        )

    def _loops(self) -> dict[str, Any]:
        in_a_row, broken = self._of(metrics.LOOP_FAILURES_IN_A_ROW), self._of(metrics.LOOP_BROKEN)
        return self._alert(
            metrics.ALERT_LOOP_FAILING,
            f"{in_a_row} > 0 or {broken} == 1",
            self._settings.for_seconds,
            "warning",
            f"The loop {{{{ $labels.{metrics.LABEL_LOOP} }}}} of {self._name} fails, or is dead or stuck",
        )

    def _latency(self) -> dict[str, Any]:
        """Two windows: an hour, so that a spike is no alert, and five minutes, so that it ends when the cause does.

        Source: https://sre.google/workbook/alerting-on-slos/ (multiwindow, burn rate).
        """
        settings = self._settings
        budget = f"{settings.latency_burn * (1 - settings.latency_share):.4f}"
        requests = f"{_SUM} (increase({self._of(f'{metrics.PREDICTION_LATENCY}_count')}[1h]))"
        slow = (f"{self._slow('1h')} > {budget}", f"{self._slow('5m')} > {budget}")
        return self._alert(
            metrics.ALERT_LATENCY,
            f" and {_JOINED} ".join((*slow, f"{requests} >= {settings.latency_min_requests}")),
            0,
            "critical",
            f"{{{{ $value | humanizePercentage }}}} of the {self._name} answers take over {settings.latency_seconds} s",
        )

    def _slow(self, window: str) -> str:
        bucket = self._of(f"{metrics.PREDICTION_LATENCY}_bucket", le=str(self._settings.latency_seconds))
        count = self._of(f"{metrics.PREDICTION_LATENCY}_count")
        return f"1 - {_SUM} (rate({bucket}[{window}])) / {_SUM} (rate({count}[{window}]))"

    def _bias(self, fairness: FairnessSettings) -> list[dict[str, Any]]:
        """Nothing where there is no attribute by which to compare."""
        if not self._workload.groups:
            return []
        thresholds = {metrics.KIND_PARITY: fairness.parity_gap, metrics.KIND_OPPORTUNITY: fairness.live_opportunity_gap}
        return [
            self._alert(
                metrics.ALERT_BIAS,
                f"{bias_gap(self._name, kind)} > {threshold}",
                self._settings.for_seconds,
                "critical",
                f"{kind} gap of {{{{ $value | humanize }}}} by {{{{ $labels.{metrics.LABEL_ATTRIBUTE} }}}} in "
                f"{self._name}, threshold {threshold}",
                measured=(bias_gap(self._name, kind), threshold),
            )
            for kind, threshold in thresholds.items()
        ]

    def _age(self) -> dict[str, Any]:
        days = self._settings.model_age_days
        return self._alert(
            metrics.ALERT_MODEL_AGE,
            f"time() - {self._of(metrics.MODEL_LOADED_TIMESTAMP)} > {days * _DAY_SECONDS:.0f}",
            self._settings.for_seconds,
            "warning",
            f"The {self._name} champion was trained more than {days:g} days ago",
        )

    def _feature_age(self) -> dict[str, Any]:
        ttl = self._workload.shortest_ttl.total_seconds()
        return self._alert(
            metrics.ALERT_FEATURE_AGE,
            f"time() - {self._of(metrics.FEATURES_TIMESTAMP)} > {self._settings.feature_age_share * ttl:.0f}",
            self._settings.for_seconds,
            "critical",
            f"The {self._name} features are {{{{ $value | humanizeDuration }}}} old; from {ttl / 3600:g} h on, "
            "requests by key are refused",
        )

    def _live_quality(self) -> list[dict[str, Any]]:
        """The ranking and, of a regression, the error in the outcome's unit."""
        workload, problem, version = (
            self._workload,
            self._workload.problem,
            f"{{{{ $labels.{metrics.LABEL_VERSION} }}}}",
        )
        ranking, lowest = self._of(metrics.LIVE_RANKING[problem]), self._settings.live_auc
        ranked = f"ranks requests with known outcome with {RANKING_TITLES[problem]} {{{{ $value | humanize }}}}"
        watched = [(f"{ranking} < {lowest}", ranked, (ranking, lowest))]
        if problem == "regression":
            span = workload.outcome.highest - workload.outcome.lowest
            error, highest = self._of(metrics.LIVE_RMSE), self._settings.live_rmse_share * span
            erring = f"errs by {{{{ $value | humanize }}}} {workload.outcome.unit} on requests with known outcome"
            watched.append((f"{error} > {highest:g}", erring, (error, highest)))
        return [
            self._alert(
                metrics.ALERT_LIVE_QUALITY,
                expression,
                self._settings.for_seconds,
                "critical",
                f"Version {version} of {self._name} {what}",
                measured=measured,
            )
            for expression, what, measured in watched
        ]

    def _retraining(self) -> list[dict[str, Any]]:
        name, last = self._name, self._of(metrics.LAST_RETRAIN_FAILED)
        failed = f"The last retrain of {name} failed or was rolled back; the champion before it keeps serving"
        down = f"The retraining service of {name} does not answer: drift starts nothing, no release is watched"
        conditions = (
            (metrics.ALERT_RETRAIN_FAILED, f"max by ({metrics.LABEL_WORKLOAD}) ({last}) == 1", failed),
            (metrics.ALERT_RETRAINING_DOWN, f"absent({last})", down),
        )
        return [
            self._alert(alert, expression, self._settings.for_seconds, "critical", summary)
            for alert, expression, summary in conditions
        ]

    def _of(self, metric: str, **labels: str) -> str:
        return metrics.selected(metric, self._name, **labels)

    def _alert(
        self,
        name: str,
        expression: str,
        seconds: int,
        severity: str,
        summary: str,
        *,
        measured: tuple[str, float] | None = None,
    ) -> dict[str, Any]:
        """One rule; `measured` is the PromQL of the number that it watches, and the threshold."""
        noted = {} if measured is None else {MEASURE: measured[0], THRESHOLD: f"{measured[1]:g}"}
        workload = self._workload
        return {
            "alert": name,
            "expr": expression,
            "for": f"{seconds}s",
            "labels": {
                "severity": severity,
                metrics.LABEL_WORKLOAD: workload.name,
                metrics.LABEL_MODEL: workload.model_name,
            },
            "annotations": {"summary": summary, "runbook_url": f"{RUNBOOKS}/{name}.md", **noted},
        }
