"""Secrets that a simulated stack was given, and the places in which none of them may be plain."""

import base64
import json
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from pytest_pulumi.result import Result
from simulated_pulumi.providers import Kubernetes, Random, SimulatedProvider

KEPT_BY_AWS = {
    ("aws:elasticache/user:User", "passwords"),
    ("aws:rds/instance:Instance", "password"),
}
"""Inputs that hold a secret, which AWS gives back to nobody."""


def planted(randomness: Random, cluster: Kubernetes, *others: str) -> set[str]:
    """Passwords, `others`, whatever else a Secret holds with one in it, and what base64 and hex make of them."""
    passwords = drawn(randomness) | set(others)
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


def drawn(randomness: Random) -> set[str]:
    """Every password."""
    return {item.values["result"] for item in randomness.items.values() if item.type.endswith("RandomPassword")}


def leaks(secrets: Iterable[str], *places: Iterator[tuple[str, str]]) -> set[str]:
    """Names of the places in which a secret is plain."""
    texts = dict(chain(*places))
    return {name for name, text in texts.items() for secret in secrets if secret in text}


def files(folder: Path) -> Iterator[tuple[str, str]]:
    """What the files of a folder hold."""
    for path in folder.rglob("*"):
        if path.is_file():
            yield str(path.relative_to(folder)), path.read_text(errors="replace")


def results(done: Result) -> Iterator[tuple[str, str]]:
    """What the engine said, and the outputs that are no secret."""
    yield "events", told(done.events)
    yield "outputs", repr({key: value for key, value in done.outputs.items() if key not in done.secret_outputs})


def objects(*clouds: SimulatedProvider) -> Iterator[tuple[str, str]]:
    """What was made in the clouds and is no Secret, less the keys that AWS itself keeps as secret."""
    for item in (item for cloud in clouds for item in cloud.items.values()):
        if not item.type.endswith(":Secret"):
            kept = {key: value for key, value in item.values.items() if (item.type, key) not in KEPT_BY_AWS}
            yield item.urn, repr(kept)


def told(events: Iterable[Any]) -> str:
    """The engine's events, less the SDK's debug messages, which nobody is shown and which hold secret values."""
    kept = [each for each in events if not each.diagnostic_event or each.diagnostic_event.severity != "debug"]
    return json.dumps(kept, default=lambda value: getattr(value, "__dict__", str(value)))
