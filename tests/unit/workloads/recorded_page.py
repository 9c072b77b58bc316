"""A start page with recorded state: what the page shows of a platform at work, without a platform.

`python -m tests.unit.workloads.recorded_page` serves it on a loopback port, to be looked at.
"""

import argparse
import json
import math
import random
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import uvicorn

from workloads.lifecycle.base.loops import Loops
from workloads.lifecycle.base.pages import OwnPagesOnly, names_of
from workloads.lifecycle.monitoring.distributions import BINS
from workloads.lifecycle.operations.start_page import __main__ as start_page
from workloads.lifecycle.operations.start_page.status import CURVE_SECONDS, CURVE_STEP_SECONDS, curves
from workloads.loan_default.definition import LOAN_DEFAULT
from workloads.turbofan.definition import TURBOFAN

NOW = 1_796_083_200.0
LEVELS = {"Predictions": 3.2, "Latency, 99th percentile": 4.1, "Failed requests": 0.0, "Drifted columns": 0.25}
LIMITS = {"Drifted columns": 0.2, "Demographic parity gap": 0.2, "Equal opportunity gap": 0.15, "AUC on outcomes": 0.7}
PORTS = {
    "mlflow_url": "http://127.0.0.1:30893",
    "prometheus_url": "http://127.0.0.1:31044",
    "alertmanager_url": "http://127.0.0.1:27111",
    "drift_report_url": "http://127.0.0.1:22450/drift_report.html",
    "prediction_url": "http://127.0.0.1:29188/v1/models/loan-default:predict",
    "model_url": "http://127.0.0.1:29188/v1/models/loan-default",
    "retrain_url": "http://127.0.0.1:22450/retrain",
    "feature_server_url": "http://127.0.0.1:24310",
    "online_store_url": "redis://127.0.0.1:25544",
    "artifact_store_uri": "s3://mlplatform-artifacts",
    "policy_url": "http://127.0.0.1:28199",
}


class Recorded:
    """Stands in for `Status`: the same state at each look."""

    def __init__(self, workload=LOAN_DEFAULT, prediction_url="", **changes):
        self.workload, self.prediction_url, self.loops = workload, prediction_url, Loops()
        self.prediction_probe = "a-probe"
        self._state = {**state(workload), **changes}

    def latest(self):
        return self._state


def state(workload, now=NOW):
    """The state of a platform that has drifted once and retrained."""
    return {
        "workload": workload.name,
        "links": dict(PORTS),
        "request": {"url": PORTS["prediction_url"], "body": {"instances": [list(workload.example)]}},
        "examined": now,
        "answers": answers(),
        "model": model(workload, now),
        "experiment_id": "1",
        "curves": [drawn(curve, now) for curve in curves(workload)],
        "alerts": alerts(),
        "drift": drift(workload),
        "retrain": retrain(now),
    }


def answers():
    found = [
        ("prediction", "ok", "the example scores 0.3336", ""),
        ("v2 protocol", "ok", "v1 and v2 agree", ""),
        ("registry", "ok", "champion is version 3, and it serves", ""),
        ("alert rules", "warning", "alerts that fire: DataDriftDetected", "see docs/runbooks/DataDriftDetected.md"),
        (
            "drift report",
            "warning",
            "no drift was measured yet",
            '`make stage RUN="python -m workloads.lifecycle.monitoring.check"` measures it now',
        ),
        ("online store", "failed", "redis://127.0.0.1:25544: Connection refused", "see the log of the online store"),
    ]
    return [
        {"probe": name, "finding": {"status": status, "detail": detail, "fix": fix}, "seconds": 0.1}
        for name, status, detail, fix in found
    ]


def model(workload, now):
    return {
        "name": workload.model_name,
        "version": "3",
        "pinned": False,
        "since": now - 5400,
        "run_id": "0f3c9a7be1d24b66a1f0",
        "experiment_id": "1",
        "metrics": {"test_auc": 0.7641, "test_brier": 0.1382, "test_calibration_error": 0.0113},
        "verdict": {
            "allowed": True,
            "reasons": [],
            "bias": {"SEX": {"demographic_parity": 0.031, "equal_opportunity": 0.012}},
        },
        "evidence": "9d8ff1020c4d57fa9d8ff1020c4d57fa",
    }


def drawn(curve, now):
    level, points = LEVELS.get(curve.title), []
    if level is not None:
        chance = random.Random(curve.title)
        begun = now - CURVE_SECONDS * 0.7
        steps = range(int(CURVE_SECONDS * 0.7 / CURVE_STEP_SECONDS))
        points = [
            [begun + step * CURVE_STEP_SECONDS, level * (1 + 0.3 * math.sin(step / 6) + 0.1 * chance.random())]
            for step in steps
        ]
    return {
        "title": curve.title,
        "unit": curve.unit,
        "group": curve.group,
        "start": now - CURVE_SECONDS,
        "end": now,
        "points": points,
        "threshold": LIMITS.get(curve.title),
    }


def alerts():
    return [
        {
            "name": "DataDriftDetected",
            "state": "firing",
            "severity": "critical",
            "since": "2026-11-30T22:15:00.123456789Z",
            "summary": "25% of the loan-default columns drifted from the training data, threshold 20%",
            "runbook": "docs/runbooks/DataDriftDetected.md",
            "runbook_address": "runbooks/DataDriftDetected",
        },
        {
            "name": "LoopFailing",
            "state": "pending",
            "severity": "warning",
            "since": "2026-11-30T23:58:00Z",
            "summary": "The loop registry of loan-default fails, or is dead or stuck",
            "runbook": "docs/runbooks/LoopFailing.md",
            "runbook_address": "",
        },
    ]


def drift(workload):
    def shares(middle):
        found = [math.exp(-(((index - middle) / 3) ** 2)) for index in range(BINS)]
        return [round(each / sum(found), 4) for each in found]

    distances = {name: round(0.3 / (index + 1), 4) for index, name in enumerate(workload.features)}
    return {
        "check": {
            "at": "2026-11-30T22:14:30.5Z",
            "version": "3",
            "rows": 1200,
            "drift": {"share": 0.25, "features": distances},
            "report": "reports/1/drift_report.html",
        },
        "threshold": 0.2,
        "features": {
            name: {
                "bins": [str(index) for index in range(BINS)],
                "reference": shares(7),
                "current": shares(7 + 4 * distances[name]),
                "reference_mean": 52_300.0 / (index + 1),
                "current_mean": 61_800.0 / (index + 1),
            }
            for index, name in enumerate(workload.features)
        },
    }


def retrain(now):
    hops = [
        ("Alert fired", -6600, ""),
        ("Requested", -6588, "DataDriftDetected since 2026-11-30T22:10:00Z"),
        ("Pipeline started", -6587, ""),
        ("Training started", -6480, ""),
        ("Training ended", -6390, ""),
        ("Version 3 registered", -6360, ""),
        ("Watch passed", -2400, "version 3 was promoted and watched for 66 minutes"),
    ]
    return {
        "status": "promoted",
        "reason": "DataDriftDetected since 2026-11-30T22:10:00Z",
        "hops": [{"name": name, "at": now + at, "detail": detail} for name, at, detail in hops],
        "enabled": True,
    }


@dataclass(frozen=True)
class Request:
    """What a stand-in was asked."""

    body: Any
    headers: Any


@contextmanager
def answering(content, headers=None, status=200):
    """URL of a model server that answers every request with the same JSON, and the requests that it got."""
    requests = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            requests.append(Request(json.loads(body), self.headers))
            answer = json.dumps(content).encode()
            self.send_response(status)
            for name, value in {"content-length": str(len(answer)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/models/any:predict", requests
    finally:
        server.shutdown()
        server.server_close()


def app(**changes):
    """The page of two workloads, open to everybody."""
    statuses = {each.name: Recorded(each, **changes) for each in (LOAN_DEFAULT, TURBOFAN)}
    return OwnPagesOnly(start_page.app(statuses, LOAN_DEFAULT.name), names_of("127.0.0.1"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--prediction-url", default="")
    arguments = parser.parse_args()
    uvicorn.run(app(prediction_url=arguments.prediction_url), host="127.0.0.1", port=arguments.port)
