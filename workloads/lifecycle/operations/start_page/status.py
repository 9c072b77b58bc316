"""What the start page shows: the doctor's answers, the model that serves with its evidence, and a few curves."""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlencode

from workloads.lifecycle.base import metrics
from workloads.lifecycle.base.loops import Loop, Loops
from workloads.lifecycle.monitoring import alerts
from workloads.lifecycle.operations.doctor.http import NoAnswerError
from workloads.lifecycle.operations.doctor.probes import examine, mlflow, probes, prometheus, served, thresholds
from workloads.lifecycle.quality.measures import RANKING_TITLES
from workloads.lifecycle.workload import Workload

EVERY_SECONDS = 15.0
"""Pause between two examinations."""

_STUCK_SECONDS = 300.0

CURVE_SECONDS, CURVE_STEP_SECONDS = 3600, 60
_RATE = "[5m]"


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One plot of the last hour."""

    title: str

    unit: str

    query: str
    """PromQL; its first series is drawn."""

    measure: str = ""
    """What an alert rule calls the number; its threshold is shown. Empty where no rule watches the number."""


def curves(workload: Workload) -> tuple[Curve, ...]:
    """The plots of one workload."""

    def of(metric: str) -> str:
        return metrics.selected(metric, workload.name)

    latency = f"{of(f'{metrics.PREDICTION_LATENCY}_bucket')}{_RATE}"
    drift, ranking = of(metrics.DATA_DRIFT_SCORE), of(metrics.LIVE_RANKING[workload.problem])
    rmse = of(metrics.LIVE_RMSE)
    return (
        Curve(title="Predictions", unit="rows/s", query=f"sum(rate({of(metrics.PREDICTIONS)}{_RATE}))"),
        Curve(
            title="Latency, 99th percentile",
            unit="ms",
            query=f"1000 * histogram_quantile(0.99, sum by (le) (rate({latency})))",
        ),
        Curve(title="Failed requests", unit="1/s", query=f"sum(rate({of(metrics.PREDICTION_ERRORS)}{_RATE}))"),
        Curve(title="Drifted columns", unit="share", query=f"max({drift})", measure=drift),
        *(
            Curve(title=title, unit="", query=f"max({gap})", measure=gap)
            for title, gap in (
                ("Demographic parity gap", alerts.bias_gap(workload.name, metrics.KIND_PARITY)),
                ("Equal opportunity gap", alerts.bias_gap(workload.name, metrics.KIND_OPPORTUNITY)),
            )
            if workload.groups
        ),
        Curve(
            title=f"{RANKING_TITLES[workload.problem]} on outcomes", unit="", query=f"min({ranking})", measure=ranking
        ),
        *(
            Curve(title="Error on outcomes", unit=workload.outcome.unit, query=f"max({rmse})", measure=rmse)
            for _ in range(workload.problem == "regression")
        ),
    )


class Status:
    """The latest examination, renewed in the background."""

    def __init__(self, workload: Workload, probed: Mapping[str, str], links: Mapping[str, str]) -> None:
        """`probed`: outputs as this process reaches them; `links`: as people reach them."""
        self._workload, self._probed, self._links = workload, probed, links
        self._probes = probes(workload)
        self._latest: dict[str, Any] = {
            "workload": workload.name,
            "examined": None,
            "answers": [],
            "links": dict(links),
            "request": self._request(),
        }
        self.loops = Loops()
        self.loops.add(
            Loop("start-page", self._renew, pause_seconds=EVERY_SECONDS, stuck_seconds=_STUCK_SECONDS)
        ).start()

    def latest(self) -> dict[str, Any]:
        """What the page shows; `examined` is None before the first examination has ended."""
        return self._latest

    def _renew(self) -> None:
        self._latest = {
            "workload": self._workload.name,
            "examined": time.time(),
            "answers": [asdict(answer) for answer in examine(self._probed, self._probes)],
            "links": dict(self._links),
            "model": self._model(),
            "experiment_id": self._experiment(),
            "curves": self._curves(),
            "request": self._request(),
        }

    def _request(self) -> dict[str, Any]:
        return {"url": self._links.get("prediction_url", ""), "body": {"instances": [self._workload.example]}}

    def _model(self) -> dict[str, Any] | None:
        """Version, metrics, verdict and evidence of what the model server serves; None while it serves nothing.

        The registry's champion is not asked for: with a pinned version it is another one.
        """
        try:
            server = served(self._probed)
            if server.version is None:
                return None
            model = self._workload.model_name
            version = self._mlflow("model-versions/get", name=model, version=server.version)["model_version"]
            run = self._mlflow("runs/get", run_id=version["run_id"])
        except (KeyError, NoAnswerError):
            return None
        tags = {tag["key"]: tag["value"] for tag in version.get("tags", [])}
        return {
            "name": model,
            "version": version["version"],
            "pinned": server.pinned is not None,
            "since": version["creation_timestamp"] / 1000,
            "run_id": version["run_id"],
            "experiment_id": run["run"]["info"]["experiment_id"],
            "metrics": {each["key"]: each["value"] for each in run["run"]["data"].get("metrics", [])},
            "verdict": _verdict(tags.get("verdict", "null")),
            "evidence": tags.get("evidence", ""),
        }

    def _experiment(self) -> str | None:
        """MLflow's id of the experiment that holds the runs; None before the first run."""
        try:
            found = self._mlflow("experiments/get-by-name", experiment_name=self._workload.experiment)
            return str(found["experiment"]["experiment_id"])
        except (KeyError, NoAnswerError):
            return None

    def _mlflow(self, what: str, **asked: str) -> dict[str, Any]:
        return mlflow(self._probed, f"{what}?{urlencode(asked)}")

    def _curves(self) -> list[dict[str, Any]]:
        try:
            known = thresholds(self._probed)
        except (KeyError, NoAnswerError):
            known = {}
        return [
            {
                "title": curve.title,
                "unit": curve.unit,
                "points": self._points(curve.query),
                "threshold": known.get(curve.measure),
            }
            for curve in curves(self._workload)
        ]

    def _points(self, query: str) -> list[list[float]]:
        """Time and value of the last hour's points; none while there is no such metric or nobody to ask."""
        now = time.time()
        asked = {"query": query, "start": now - CURVE_SECONDS, "end": now, "step": CURVE_STEP_SECONDS}
        try:
            answer = prometheus(self._probed, f"query_range?{urlencode(asked)}")
        except (KeyError, NoAnswerError):
            return []
        series = answer["result"]
        return [[float(at), float(value)] for at, value in series[0]["values"] if value != "NaN"] if series else []


def _verdict(tag: str) -> Any:
    """The release policy's verdict; None when the tag, which anybody with access to the registry writes, is no JSON."""
    try:
        return json.loads(tag)
    except (ValueError, RecursionError):
        return None
