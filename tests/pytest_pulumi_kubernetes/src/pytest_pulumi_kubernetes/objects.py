"""Kubernetes objects as the engine and the API server see them."""

from __future__ import annotations

import base64
import copy
from typing import TYPE_CHECKING, Any

from simulated_pulumi import values
from simulated_pulumi.providers.diff import covers

if TYPE_CHECKING:
    from simulated_pulumi.providers.base import Planned

    from pytest_pulumi_kubernetes.client import Object

_TIMEOUT_SECONDS = 600.0
"""What the provider waits unless it is told otherwise."""


def wanted(inputs: Object) -> Object:
    """Give what is sent: the inputs without what is ours alone and without nulls, a Secret's texts encoded."""
    sent: Object = {key: value for key, value in _bare(inputs).items() if not key.startswith("__")}
    if sent.get("kind") == "Secret" and "stringData" in sent:
        encoded = {key: base64.b64encode(str(text).encode()).decode() for key, text in sent.pop("stringData").items()}
        sent["data"] = (sent.get("data") or {}) | encoded
    return sent


def _bare(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _bare(item) for key, item in value.items() if item is not None}
    return [_bare(item) for item in value] if isinstance(value, list) else value


def identity(planned: Planned, given: str = "") -> Object:
    """Give kind, name and namespace of the object that a resource stands for, from its id or its inputs."""
    known = planned.inputs or planned.old_inputs or planned.old_outputs
    _, module, kind = planned.type.split(":", 2)
    version = module.removeprefix("core/")
    metadata = known.get("metadata") or {}
    named = {key: metadata[key] for key in ("namespace", "name") if isinstance(metadata.get(key), str)}
    space, _, name = (given or planned.id).rpartition("/")
    if name:
        named = {"name": name} | ({"namespace": space} if space else {})
    return {
        "apiVersion": known.get("apiVersion") or version,
        "kind": known.get("kind") or kind.removesuffix("Patch"),
        "metadata": named,
    }


def title(found: Object) -> str:
    """Give kind, namespace and name for a message."""
    named = found.get("metadata") or {}
    name = "/".join(str(named[key]) for key in ("namespace", "name") if named.get(key))
    return f"{found.get('kind')} {name!r}"


def names(found: Object) -> Object:
    """Give the part of an object's metadata that says which object it is."""
    return {key: found["metadata"][key] for key in ("name", "namespace") if key in found["metadata"]}


def annotated(planned: Planned, name: str) -> str:
    """Give the annotation `pulumi.com/<name>` of a resource, or an empty string."""
    known = planned.inputs or planned.old_inputs
    annotations = (known.get("metadata") or {}).get("annotations") or {}
    return str(annotations.get(f"pulumi.com/{name}") or "")


def is_patch(planned: Planned) -> bool:
    """Say whether a resource stands for some fields of an object only."""
    return planned.type.endswith("Patch")


def unknown(value: Any) -> bool:
    """Say whether anything in a value is known only after the update."""
    if isinstance(value, dict):
        return any(unknown(item) for item in value.values())
    return any(unknown(item) for item in value) if isinstance(value, list) else value is values.UNKNOWN


def merged(old: Any, new: Any) -> Any:
    """Lay new values over old ones; lists are replaced."""
    if isinstance(old, dict) and isinstance(new, dict):
        return old | {key: merged(old.get(key), item) for key, item in new.items()}
    return copy.deepcopy(new)


def secret(shown: Object, planned: Planned) -> Object:
    """Mark what is secret: the data of every Secret, and whatever was secret in the inputs."""
    marked = copy.deepcopy(shown)
    paths = {"data", "stringData"} if marked.get("kind") == "Secret" else set(planned.secrets)
    for path in paths:
        _mark(marked, path)
    return marked


def _mark(shown: Object, path: str) -> None:
    *way, last = path.replace("[", ".[").split(".")
    here: Any = shown
    for step in way:
        here = _step(here, step)
    if isinstance(here, dict) and here.get(last) is not None:
        here[last] = values.SecretValue(here[last])
    elif isinstance(here, list) and last.startswith("[") and int(last[1:-1]) < len(here):
        here[int(last[1:-1])] = values.SecretValue(here[int(last[1:-1])])


def _step(here: Any, step: str) -> Any:
    if isinstance(here, dict):
        return here.get(step)
    if isinstance(here, list) and step.startswith("[") and int(step[1:-1]) < len(here):
        return here[int(step[1:-1])]
    return None


def take_ignored(sent: Object, live: Object, ignored: tuple[str, ...]) -> None:
    """Send the live value of what `ignore_changes` names, so that its other owner is not disturbed."""
    _take(sent, live, ignored, "")


def _take(sent: Object, live: Any, ignored: tuple[str, ...], path: str) -> None:
    for key in list(sent):
        here = f"{path}.{key}" if path else key
        now = live.get(key) if isinstance(live, dict) else None
        if any(covers(rule, here) for rule in ignored):
            if now is None:
                del sent[key]
            else:
                sent[key] = copy.deepcopy(now)
        elif isinstance(sent[key], dict):
            _take(sent[key], now, ignored, here)


def forces(planned: Planned) -> bool:
    """Say whether a conflict with another field manager is won by force."""
    return annotated(planned, "patchForce") == "true" or truth(planned.config.get("enablePatchForce"))


def truth(given: Any) -> bool:
    """Read a setting of the provider, which the engine hands over as text."""
    return str(given).lower() == "true"


def timeout_seconds(planned: Planned) -> float:
    """Give how long the provider waits for an object to become ready, or to go."""
    given = planned.timeout_seconds or annotated(planned, "timeoutSeconds")
    return float(given) if given else _TIMEOUT_SECONDS


def propagation(planned: Planned) -> str:
    """Give what a deletion does to dependants."""
    given = annotated(planned, "deletionPropagationPolicy").capitalize()
    return given if given in ("Orphan", "Background") else "Foreground"
