"""Secrets that a simulated stack was given, and the places where none of them may stand in plain text."""

import base64
import json
from collections.abc import Iterable, Iterator
from typing import Any

from pytest_pulumi.engine import Stack
from pytest_pulumi.providers import Kubernetes, Random, SimulatedProvider
from pytest_pulumi.result import Result


def planted(randomness: Random, cluster: Kubernetes) -> set[str]:
    """Every password, whatever else a Secret holds that has one in it, and what base64 and hex make of them."""
    passwords = {item.values["result"] for item in randomness.items.values() if item.type.endswith("RandomPassword")}
    held = [
        text
        for item in cluster.items.values()
        if item.type.endswith(":Secret")
        for text in (item.values.get("stringData") or {}).values()
    ]
    found = passwords | {text for text in held if any(password in text for password in passwords)}
    return found | {
        coded for text in found for coded in (base64.b64encode(text.encode()).decode(), text.encode().hex())
    }


def leaks(secrets: Iterable[str], stack: Stack, done: Result, *clouds: SimulatedProvider) -> set[str]:
    """Where a secret is plain: state and its history, events, outputs, objects that are no Secret."""
    places = dict(_places(stack, done, clouds))
    return {name for name, text in places.items() for secret in secrets if secret in text}


def _places(stack: Stack, done: Result, clouds: Iterable[SimulatedProvider]) -> Iterator[tuple[str, str]]:
    for path in stack.backend.folder.rglob("*"):
        if path.is_file():
            yield str(path.relative_to(stack.backend.folder)), path.read_text(errors="replace")
    yield "events", told(done.events)
    yield "outputs", repr({key: value for key, value in done.outputs.items() if key not in done.secret_outputs})
    for item in (item for cloud in clouds for item in cloud.items.values()):
        if not item.type.endswith(":Secret"):
            yield item.urn, repr({key: value for key, value in item.values.items() if key != "authToken"})


def told(events: Iterable[Any]) -> str:
    """The engine's events, less the SDK's debug messages, which nobody is shown and which hold secret values."""
    kept = [each for each in events if not each.diagnostic_event or each.diagnostic_event.severity != "debug"]
    return json.dumps(kept, default=lambda value: getattr(value, "__dict__", str(value)))
