"""What the start page shows of one workload: the model that serves, traffic, drift, alerts, the last retrain, probes.

Everything is asked of the stack's servers in the background; a page that is opened waits for none of them.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlencode

from workloads.lifecycle.base import metrics
from workloads.lifecycle.base.loops import Loop, Loops
from workloads.lifecycle.monitoring import alerts
from workloads.lifecycle.operations.doctor.http import NoAnswerError, json_of
from workloads.lifecycle.operations.doctor.probes import (
    examine,
    loaded_rules,
    mlflow,
    probes,
    prometheus,
    served,
    thresholds,
)
from workloads.lifecycle.operations.start_page import runbooks
from workloads.lifecycle.operations.start_page.retrain import timeline
from workloads.lifecycle.quality.measures import RANKING_TITLES
from workloads.lifecycle.workload import Workload

EVERY_SECONDS = 15.0
"""Pause between two examinations."""

_STUCK_SECONDS = 300.0

CURVE_SECONDS, CURVE_STEP_SECONDS = 3600, 60
_RATE = "[5m]"
_STATES = ("firing", "pending")


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One plot of the last hour."""

    title: str

    unit: str

    query: str
    """PromQL; its first series is drawn."""

    measure: str = ""
    """What an alert rule calls the number; its threshold is shown. Empty where no rule watches the number."""

    group: str = "traffic"
    """`traffic` or `quality`."""


def curves(workload: Workload) -> tuple[Curve, ...]:
    """The plots of one workload."""

    def of(metric: str) -> str:
        return metrics.selected(metric, workload.name)

    latency = f"{of(f'{metrics.PREDICTION_LATENCY}_bucket')}{_RATE}"
    drift, ranking = of(metrics.DATA_DRIFT_SCORE), of(metrics.LIVE_RANKING[workload.problem])
    rmse = of(metrics.LIVE_RMSE)
    scored, probed = (f"sum(rate({of(each)}{_RATE}))" for each in (metrics.PREDICTIONS, metrics.PROBE_ROWS))
    return (
        Curve(
            title="Predictions",
            unit="rows/s",
            query=f"clamp_min({scored} - ({probed} or vector(0)), 0)",
        ),
        Curve(
            title="Latency, 99th percentile",
            unit="ms",
            query=f"1000 * histogram_quantile(0.99, sum by (le) (rate({latency})))",
        ),
        Curve(title="Failed requests", unit="1/s", query=f"sum(rate({of(metrics.PREDICTION_ERRORS)}{_RATE}))"),
        Curve(title="Drifted columns", unit="share", query=f"max({drift})", measure=drift, group="quality"),
        *(
            Curve(title=title, unit="", query=f"max({gap})", measure=gap, group="quality")
            for title, gap in (
                ("Demographic parity gap", alerts.bias_gap(workload.name, metrics.KIND_PARITY)),
                ("Equal opportunity gap", alerts.bias_gap(workload.name, metrics.KIND_OPPORTUNITY)),
            )
            if workload.groups
        ),
        Curve(
            title=f"{RANKING_TITLES[workload.problem]} on outcomes",
            unit="",
            query=f"min({ranking})",
            measure=ranking,
            group="quality",
        ),
        *(
            Curve(
                title="Error on outcomes",
                unit=workload.outcome.unit,
                query=f"max({rmse})",
                measure=rmse,
                group="quality",
            )
            for _ in range(workload.problem == "regression")
        ),
    )


class Status:
    """The latest examination, renewed in the background."""

    def __init__(
        self, workload: Workload, probed: Mapping[str, str], links: Mapping[str, str], token: str = ""
    ) -> None:
        """`probed`: outputs as this process reaches them; `links`: as people reach them.

        `token`: reads the retraining service's status; empty leaves drift by feature and the timeline out.
        """
        self.workload, self._probed, self._links, self._token = workload, probed, links, token
        self.prediction_url = probed.get("prediction_url", "")
        """Where this process sends predictions; empty where the stack has no model server."""
        self.prediction_probe = probed.get("prediction_probe", "")
        """Marks them as tries."""

        self._probes = probes(workload)
        self._latest: dict[str, Any] = {**self._static(), "examined": None, "answers": []}
        self.loops = Loops()
        self.loops.add(
            Loop("start-page", self._renew, pause_seconds=EVERY_SECONDS, stuck_seconds=_STUCK_SECONDS)
        ).start()

    def latest(self) -> dict[str, Any]:
        """What the page shows; `examined` is None before the first examination has ended."""
        return self._latest

    def _renew(self) -> None:
        known = self._thresholds()
        self._latest = {
            **self._static(),
            "examined": time.time(),
            "answers": [asdict(answer) for answer in examine(self._probed, self._probes)],
            "model": self._model(),
            "experiment_id": self._experiment(),
            "curves": self._curves(known),
            "alerts": self._alerts(),
            "drift": self._drift(known),
            "retrain": self._retrain(),
        }

    def _static(self) -> dict[str, Any]:
        """What no server has to be asked for."""
        return {
            "workload": self.workload.name,
            "links": dict(self._links),
            "request": {
                "url": self._links.get("prediction_url", ""),
                "body": {"instances": [self.workload.example]},
            },
        }

    def _model(self) -> dict[str, Any] | None:
        """Version, metrics, verdict and evidence of what the model server serves; None while it serves nothing.

        The registry's champion is not asked for: with a pinned version it is another one.
        """
        try:
            server = served(self._probed)
            if server.version is None:
                return None
            version = self._version(server.version)
            run = self._run(version["run_id"])
        except (KeyError, NoAnswerError):
            return None
        tags = {tag["key"]: tag["value"] for tag in version.get("tags", [])}
        return {
            "name": self.workload.model_name,
            "version": version["version"],
            "pinned": server.pinned is not None,
            "since": version["creation_timestamp"] / 1000,
            "run_id": version["run_id"],
            "experiment_id": run["info"]["experiment_id"],
            "metrics": {each["key"]: each["value"] for each in run["data"].get("metrics", [])},
            "verdict": _verdict(tags.get("verdict", "null")),
            "evidence": tags.get("evidence", ""),
        }

    def _version(self, number: str) -> dict[str, Any]:
        """MLflow's version of the workload's model; raises NoAnswerError."""
        return dict(self._mlflow("model-versions/get", name=self.workload.model_name, version=number)["model_version"])

    def _run(self, run_id: str) -> dict[str, Any]:
        """MLflow's run; raises NoAnswerError."""
        return dict(self._mlflow("runs/get", run_id=run_id)["run"])

    def _experiment(self) -> str | None:
        """MLflow's id of the experiment that holds the runs; None before the first run."""
        try:
            found = self._mlflow("experiments/get-by-name", experiment_name=self.workload.experiment)
            return str(found["experiment"]["experiment_id"])
        except (KeyError, NoAnswerError):
            return None

    def _mlflow(self, what: str, **asked: str) -> dict[str, Any]:
        return mlflow(self._probed, f"{what}?{urlencode(asked)}")

    def _thresholds(self) -> dict[str, float]:
        try:
            return thresholds(self._probed)
        except (KeyError, NoAnswerError):
            return {}

    def _curves(self, known: Mapping[str, float]) -> list[dict[str, Any]]:
        now = time.time()
        return [
            {
                "title": curve.title,
                "unit": curve.unit,
                "group": curve.group,
                "start": now - CURVE_SECONDS,
                "end": now,
                "points": self._points(curve.query, now),
                "threshold": known.get(curve.measure),
            }
            for curve in curves(self.workload)
        ]

    def _points(self, query: str, now: float) -> list[list[float]]:
        """Time and value of the last hour's points; none while there is no such metric or nobody to ask."""
        asked = {"query": query, "start": now - CURVE_SECONDS, "end": now, "step": CURVE_STEP_SECONDS}
        try:
            answer = prometheus(self._probed, f"query_range?{urlencode(asked)}")
        except (KeyError, NoAnswerError):
            return []
        series = answer["result"]
        return [[float(at), float(value)] for at, value in series[0]["values"] if value != "NaN"] if series else []

    def _alerts(self) -> list[dict[str, Any]] | None:
        """The workload's alerts that fire or are about to, firing ones first; None where Prometheus does not answer."""
        mine = {None, self.workload.name}
        try:
            found = [
                _alert(rule, alert)
                for rule in loaded_rules(self._probed)
                for alert in rule.get("alerts", [])
                if rule["labels"].get(metrics.LABEL_WORKLOAD) in mine and alert["state"] in _STATES
            ]
        except (KeyError, NoAnswerError):
            return None
        return sorted(found, key=lambda alert: (_STATES.index(alert["state"]), alert["name"]))

    def _drift(self, known: Mapping[str, float]) -> dict[str, Any] | None:
        """The last check with the distributions of each feature; None before it, or where it cannot be read."""
        found = self._of_retraining("drift")
        if not found or not found.get("check"):
            return None
        threshold = known.get(metrics.selected(metrics.DATA_DRIFT_SCORE, self.workload.name))
        return {**found, "threshold": threshold}

    def _retrain(self) -> dict[str, Any] | None:
        """The newest retrain and its hops; None before the first one, or where the ledger cannot be read."""
        found = self._of_retraining("status")
        if not found or not found.get("recent"):
            return None
        newest = found["recent"][0]
        version = run = None
        try:
            if newest.get("version_after"):
                version = self._version(newest["version_after"])
                run = self._run(version["run_id"])["info"]
        except (KeyError, NoAnswerError):
            version = None
        hops = [asdict(hop) for hop in timeline(newest, version, run)]
        return {"status": newest["status"], "reason": newest["reason"], "hops": hops, "enabled": found.get("enabled")}

    def _of_retraining(self, what: str) -> dict[str, Any] | None:
        """What the retraining service answers to readers; None where it does not."""
        if not self._token or "retrain_url" not in self._probed:
            return None
        url = self._probed["retrain_url"].removesuffix("/retrain")
        try:
            answer = json_of(f"{url}/{what}", token=self._token)
        except NoAnswerError:
            return None
        return answer if isinstance(answer, dict) else None


def _alert(rule: Mapping[str, Any], alert: Mapping[str, Any]) -> dict[str, Any]:
    notes = {**rule.get("annotations", {}), **alert.get("annotations", {})}
    runbook = str(notes.get("runbook_url", ""))
    return {
        "name": rule["name"],
        "state": alert["state"],
        "severity": rule["labels"].get("severity", ""),
        "since": alert.get("activeAt", ""),
        "summary": notes.get("summary", ""),
        "runbook": runbook,
        "runbook_address": runbooks.address(runbook),
    }


def _verdict(tag: str) -> Any:
    """The release policy's verdict; None when the tag, which anybody with access to the registry writes, is no JSON."""
    try:
        return json.loads(tag)
    except (ValueError, RecursionError):
        return None
