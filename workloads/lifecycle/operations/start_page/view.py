"""Renders the start page: what `Status` found becomes one HTML document that needs no script.

The script renews the parts of the page that the server renders anew; it draws nothing itself.
"""

import json
import secrets
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from workloads.lifecycle.operations.start_page.markup import bars, described, line, number
from workloads.lifecycle.operations.start_page.prediction import BY_KEYS, Prediction
from workloads.lifecycle.operations.start_page.status import CURVE_STEP_SECONDS, Status
from workloads.lifecycle.workload import Workload

FOLDER = Path(__file__).parent
PAGES = ("mlflow_url", "pipelines_url", "grafana_url", "prometheus_url", "alertmanager_url", "drift_report_url")
"""Outputs that a person opens in a browser; the others are for programs."""

MEASURES = {
    "test_auc": "AUC",
    "test_brier": "Brier score",
    "test_calibration_error": "Calibration error",
    "test_concordance": "Concordance",
    "test_rmse": "RMSE",
    "test_mae": "Mean absolute error",
}
"""Metric of a run -> what people call it."""

GAPS = {"demographic_parity": "Parity gap", "equal_opportunity": "Opportunity gap"}
"""Kind of a gap between groups -> what people call it."""

FEATURES_SHOWN = 30
"""Features by distance that have a row of their own; keeps the page of a wide workload below 100 KB."""

_WORDS = {"failed": "failed", "unknown": "could not be examined", "warning": "to look at", "ok": "at work"}
_OPEN = ("queued", "running", "challenging", "watching")
"""Statuses of a retrain that is not over."""

_ORDER = tuple(_WORDS)
_LONG = 200


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What came of a form that a person sent."""

    form: Mapping[str, str]
    """Field -> text, as it was typed."""

    prediction: Prediction | None = None

    error: str = ""
    """Why nothing was sent; empty where something was."""


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """A page and the policy that lets a browser run its own style and script, and nothing else."""

    html: str

    policy: str
    """Value of the header `Content-Security-Policy`."""


def page(status: Status, workloads: Sequence[str], *, chosen: bool = False, sent: Sent | None = None) -> Rendered:
    """The page of one workload.

    `chosen`: the address names the workload, so that forms and links have to.
    """
    found, workload = status.latest(), status.workload
    form = sent.form if sent is not None else {}
    return _rendered(
        "page.html",
        script=Markup((FOLDER / "page.js").read_text(encoding="utf-8")),  # noqa: S704  the project's own file
        title=workload.title,
        description=workload.description,
        answer=workload.answer,
        workload=workload.name,
        workloads=workloads,
        query=f"?{urlencode({'workload': workload.name})}" if chosen else "",
        examined=found["examined"],
        verdict=_verdict(found["answers"]),
        answers=sorted(found["answers"], key=lambda each: _ORDER.index(each["finding"]["status"])),
        alerts=found.get("alerts"),
        model=_model(found.get("model"), found["links"]),
        curves=[_curve(each) for each in found.get("curves", [])],
        drift=_drift(found.get("drift"), found["links"]),
        retrain=_retrain(found.get("retrain")),
        links=_links(found["links"], found.get("experiment_id")),
        requests=_requests(workload, found["links"]),
        fields=_fields(workload, form),
        keys=_keys(workload, form),
        by_keys=form.get("by") == BY_KEYS,
        prediction=sent.prediction if sent is not None else None,
        form_error=sent.error if sent is not None else "",
    )


def runbook(name: str, text: Markup) -> Rendered:
    """The page of a runbook."""
    return _rendered("runbook.html", name=name, text=text)


def _rendered(template: str, **values: object) -> Rendered:
    nonce = secrets.token_urlsafe(16)
    style = Markup((FOLDER / "page.css").read_text(encoding="utf-8"))  # noqa: S704  the project's own file
    return Rendered(
        html=_templates.get_template(template).render(nonce=nonce, style=style, **values),
        policy=f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    )


def _verdict(answers: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """One sentence about all probes, and the worst status."""
    if not answers:
        return {"status": "quiet", "text": "Not examined yet"}
    counts = {status: sum(each["finding"]["status"] == status for each in answers) for status in _ORDER}
    worst = next(status for status in _ORDER if counts[status])
    if worst == "ok":
        return {"status": "ok", "text": f"All {len(answers)} parts at work"}
    told = ", ".join(f"{count} {_WORDS[status]}" for status, count in counts.items() if count)
    return {"status": "failed" if worst == "unknown" else worst, "text": told}


def _model(model: Mapping[str, Any] | None, links: Mapping[str, str]) -> dict[str, Any] | None:
    if model is None:
        return None
    mlflow = links.get("mlflow_url", "").rstrip("/")
    verdict = model["verdict"] if isinstance(model["verdict"], dict) else {}
    bias = verdict.get("bias")
    gaps: Mapping[str, Any] = bias if isinstance(bias, dict) else {}
    return {
        **model,
        "gate": _gate(verdict),
        "measures": [(words, model["metrics"][name]) for name, words in MEASURES.items() if name in model["metrics"]],
        "gaps": [(words, found) for kind, words in GAPS.items() if (found := _gaps(gaps, kind))],
        "version_url": mlflow and f"{mlflow}/#/models/{quote(model['name'])}/versions/{quote(model['version'])}",
        "run_url": mlflow and f"{mlflow}/#/experiments/{quote(model['experiment_id'])}/runs/{quote(model['run_id'])}",
    }


def _gate(verdict: Mapping[str, Any]) -> dict[str, str]:
    """The release gate's verdict in words; the tag may hold anything, as everybody with access to MLflow writes it."""
    if not verdict:
        return {"status": "warning", "text": "no verdict"}
    if verdict.get("allowed") is True:
        return {"status": "ok", "text": "allowed"}
    reasons = verdict.get("reasons")
    said = "; ".join(map(str, reasons)) if isinstance(reasons, list) else ""
    return {"status": "failed", "text": f"not allowed: {said}" if said else "not allowed"}


def _gaps(gaps: Mapping[str, Any], kind: str) -> str:
    """The gap of one kind by attribute, in words; empty where there is none."""
    found = {attribute: kinds.get(kind) for attribute, kinds in gaps.items() if isinstance(kinds, dict)}
    return ", ".join(f"{name} {value:.3f}" for name, value in found.items() if isinstance(value, float))


def _curve(curve: Mapping[str, Any]) -> dict[str, Any]:
    points, limit = curve["points"], curve["threshold"]
    if not points:
        return {"title": curve["title"], "group": curve["group"], "has_data": False}
    return {
        "title": curve["title"],
        "group": curve["group"],
        "unit": curve["unit"],
        "has_data": True,
        "latest": number(points[-1][1]),
        "words": described(points, limit),
        "picture": line(points, curve["start"], curve["end"], CURVE_STEP_SECONDS, limit),
    }


def _drift(drift: Mapping[str, Any] | None, links: Mapping[str, str]) -> dict[str, Any] | None:
    if drift is None:
        return None
    check, features = drift["check"], drift["features"]
    measured = check["drift"] or {"share": None, "features": {}}
    distances = measured["features"]
    ordered = sorted(features, key=lambda name: -distances.get(name, 0.0))
    return {
        "at": check["at"],
        "rows": check["rows"],
        "version": check["version"],
        "share": measured["share"],
        "threshold": drift["threshold"],
        "report_url": links.get("drift_report_url", "") if check["report"] else "",
        "features": [_feature(name, features[name], distances.get(name)) for name in ordered[:FEATURES_SHOWN]],
        "more": max(0, len(ordered) - FEATURES_SHOWN),
    }


def _feature(name: str, found: Mapping[str, Any], distance: float | None) -> dict[str, Any]:
    def shown(value: float | None) -> str:
        return "" if value is None else number(value)

    return {
        "name": name,
        "distance": shown(distance),
        "reference_mean": shown(found["reference_mean"]),
        "current_mean": shown(found["current_mean"]),
        "picture": bars(found["reference"], found["current"]),
    }


def _retrain(retrain: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if retrain is None:
        return None
    hops = [{**each, "detail": each["detail"][:_LONG]} for each in retrain["hops"]]
    for before, each in pairwise(hops):
        each["after"] = _duration(each["at"] - before["at"])
    hops[0]["after"] = ""
    return {"status": retrain["status"], "open": retrain["status"] in _OPEN, "hops": hops}


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.0f} s"


def _links(links: Mapping[str, str], experiment: str | None) -> list[tuple[str, list[dict[str, Any]]]]:
    """Links for people, addresses for programs; the latter answer no browser and are no links."""
    urls = dict(links)
    if experiment is not None and "mlflow_url" in urls:
        urls["mlflow_url"] = f"{urls['mlflow_url'].rstrip('/')}/#/experiments/{quote(experiment)}/runs"

    def shown(name: str) -> dict[str, Any]:
        words = name.removesuffix("_url").removesuffix("_uri").replace("_", " ")
        return {"name": words, "url": urls[name], "page": name in PAGES and urls[name].startswith(("http:", "https:"))}

    others = sorted(name for name in urls if name not in PAGES)
    return [
        ("For people", [shown(name) for name in PAGES if name in urls]),
        ("For programs", [shown(name) for name in others]),
    ]


def _requests(workload: Workload, links: Mapping[str, str]) -> list[dict[str, str]]:
    """Complete requests that a shell takes, with the shape of their answers."""
    url = links.get("prediction_url")
    if not url:
        return []
    v1: dict[str, Any] = {"instances": [list(workload.example)]}
    found: list[tuple[str, str, dict[str, Any], str]] = [("v1, by values", url, v1, '{"predictions":[0.123]}')]
    if workload.example_keys:
        keys = dict(zip(workload.keys, workload.example_keys, strict=True))
        found.append((f"v1, by {', '.join(workload.keys)}", url, {"instances": [keys]}, '{"predictions":[0.123]}'))
    if "model_url" in links and workload.is_numeric:
        vector = workload.example
        tensor = {"name": "features", "shape": [1, len(vector)], "datatype": "FP64", "data": [list(vector)]}
        output = '{"name":…,"datatype":"FP64","shape":[1],"data":[0.123]}'
        answer = f'{{"model_name":"{workload.name}","outputs":[{output}],…}}'
        infer = f"{links['model_url'].replace('/v1/', '/v2/')}/infer"
        found.append(("v2 (Open Inference Protocol)", infer, {"inputs": [tensor]}, answer))
    return [
        {
            "title": title,
            "command": f"curl -s {address} -H 'Content-Type: application/json' -d {shlex.quote(json.dumps(body))}",
            "answer": answer,
        }
        for title, address, body, answer in found
    ]


def _fields(workload: Workload, form: Mapping[str, str]) -> list[dict[str, Any]]:
    kept = form if form.get("by") != BY_KEYS else {}
    return [
        {
            "name": feature.name,
            "description": feature.description,
            "numeric": feature.type != "string",
            "needed": not feature.nullable,
            "value": kept.get(feature.name, "" if value is None else str(value)),
        }
        for feature, value in zip(workload.inputs, workload.example, strict=True)
    ]


def _keys(workload: Workload, form: Mapping[str, str]) -> list[dict[str, Any]]:
    if not workload.example_keys:
        return []
    return [
        {"name": entity.key, "description": entity.description, "value": form.get(entity.key, str(value))}
        for entity, value in zip(workload.entities, workload.example_keys, strict=True)
    ]


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def _utc(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _seconds(text: str) -> float:
    """UNIX time of an ISO moment; Prometheus writes nanoseconds, which Python reads since 3.11."""
    return datetime.fromisoformat(text).timestamp()


_templates = Environment(loader=FileSystemLoader(FOLDER), autoescape=True, undefined=StrictUndefined)
_templates.filters |= {"iso": _iso, "utc": _utc, "seconds": _seconds, "figure": number}
