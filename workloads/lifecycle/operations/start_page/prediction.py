"""Sends the prediction that a person typed into the page's form, and reads what a form can hold.

An explanation of the score belongs into `Prediction`, and into the template beside it, once the model server gives one.
"""

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

import httpx

from workloads.lifecycle.base.names import PROBE_HEADER
from workloads.lifecycle.base.servers import trust
from workloads.lifecycle.schema import Entity, Feature
from workloads.lifecycle.workload import Workload

BY_KEYS = "keys"
MAX_FORM_BYTES = 32_768
_SECONDS = 10.0
_SHOWN = 300


class FormError(ValueError):
    """A form that cannot be sent; the text names the field and what it takes."""


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """The model server's answer to one instance."""

    score: float | None
    """In the unit of the outcome; None where the server refused the request."""

    error: str
    """The server's sentence; empty where it answered with a score."""

    version: str
    """Version that answered; empty where none did."""

    request_id: str
    """Id by which the model server's log has the request. It counts neither as data nor as an outcome."""

    milliseconds: float
    """From the start page's process to the model server and back."""


def instance(workload: Workload, form: Mapping[str, str]) -> list[object] | dict[str, object]:
    """The instance that a form holds: a vector, or the keys of an entity where `by` says so; raises FormError."""
    if form.get("by") == BY_KEYS:
        return {entity.key: _key(entity, form.get(entity.key, "")) for entity in workload.entities}
    return [_value(feature, form.get(feature.name, "")) for feature in workload.inputs]


def _key(entity: Entity, text: str) -> object:
    if not text.strip():
        raise FormError(f"{entity.key} is empty: give the key of one {entity.name}")
    if entity.type == "string":
        return text
    try:
        return int(text)
    except ValueError:
        raise FormError(f"{entity.key} is {text!r:.60}, which is not a whole number") from None


def _value(feature: Feature, text: str) -> object:
    if not text.strip():
        if feature.nullable:
            return None
        raise FormError(f"{feature.name} is empty: give {feature.description}")
    if feature.type == "string":
        return text
    try:
        return int(text) if feature.type == "integer" else float(text)
    except ValueError:
        kind = "a whole number" if feature.type == "integer" else "a number"
        raise FormError(f"{feature.name} is {text!r:.60}, which is not {kind}: give {feature.description}") from None


def ask(url: str, sent: list[object] | dict[str, object], probe: str = "") -> Prediction:
    """Post one instance to the model server at `url`, protocol v1; never raises: a failure is a sentence.

    `probe`: tells the server that the request only tries it; without it the request counts.
    """
    request_id = f"page-{uuid.uuid4().hex[:16]}"
    headers = {"x-request-id": request_id, **({PROBE_HEADER: probe} if probe else {})}
    begun = time.monotonic()

    def answered(score: float | None, error: str, version: str = "") -> Prediction:
        spent = 1000 * (time.monotonic() - begun)
        return Prediction(score=score, error=error, version=version, request_id=request_id, milliseconds=spent)

    try:
        answer = httpx.post(url, json={"instances": [sent]}, headers=headers, timeout=_SECONDS, verify=trust())
        content = answer.json()
        version = answer.headers.get("x-model-version", "")
        if answer.is_success:
            return answered(float(content["predictions"][0]), "", version)
        return answered(None, str(content.get("error", content))[:_SHOWN], version)
    except (httpx.HTTPError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        return answered(None, f"the model server at {url} gave no prediction: {error}"[:_SHOWN])
