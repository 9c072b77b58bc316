"""What somebody changed behind Pulumi's back: the fields that we set and do not own any more.

The API server notes the owner of every field in `metadata.managedFields`. A value that is only spelled differently
(`1000m` and `1`) or that was added by admission or defaults is no drift, and needs no rule here.
Source: https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management
"""

from __future__ import annotations

import base64
import copy
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_pulumi_kubernetes.client import Object

_IDENTITY = ("apiVersion", "kind")
_MISSING = object()


def live_inputs(inputs: Object, live: Object, manager: str) -> Object:
    """Give the inputs with the live value of every field that we do not own any more.

    Without inputs (an import) everything that a program could have written is given.
    """
    if not inputs:
        return _imported(live)
    owned = _owned(live, manager)
    found = {key: value for key, value in inputs.items() if key in _IDENTITY or key.startswith("__")}
    for key, value in inputs.items():
        if key in found:
            continue
        if key == "stringData" and inputs.get("kind") == "Secret":
            found[key] = _texts(value, live, owned)
            continue
        now = _walk(value, live.get(key, _MISSING), owned.get(f"f:{key}"), metadata=key == "metadata")
        if now is not _MISSING:
            found[key] = now
    return found


def _owned(live: Object, manager: str) -> Object:
    for entry in live["metadata"].get("managedFields") or ():
        if entry.get("manager") == manager and entry.get("operation") == "Apply" and not entry.get("subresource"):
            return dict(entry.get("fieldsV1") or {})
    return {}


def _walk(wanted: Any, live: Any, owned: Any, *, metadata: bool = False) -> Any:
    """Compare one field; `owned` is its entry in the set of fields, None if it is not in it."""
    if metadata and isinstance(wanted, dict):
        return _fields(wanted, live, owned or {}, kept=("name", "namespace", "generateName"))
    absent = live is _MISSING and not wanted  # Kubernetes leaves out what is empty, zero or false
    inside = {key for key in owned or () if key != "."}
    if absent or (owned is not None and not (inside and isinstance(wanted, (dict, list)))):
        return copy.deepcopy(wanted)
    if isinstance(wanted, dict) and isinstance(live, dict):
        return _fields(wanted, live, owned or {})
    if isinstance(wanted, list) and owned is not None:
        return _items(wanted, live, owned)
    return live if live is _MISSING else copy.deepcopy(live)


def _fields(wanted: Object, live: Any, owned: Object, kept: tuple[str, ...] = ()) -> Object:
    found = {}
    for key, value in wanted.items():
        there = live.get(key, _MISSING) if isinstance(live, dict) else _MISSING
        now = value if key in kept else _walk(value, there, owned.get(f"f:{key}"))
        if now is not _MISSING:
            found[key] = now
    return found


def _items(wanted: list[Any], live: Any, owned: Object) -> list[Any]:
    """Compare a list whose items are owned one by one, by their keys (`k:…`) or values (`v:…`)."""
    keyed = [(json.loads(name[2:]), entry) for name, entry in owned.items() if name.startswith("k:")]
    known = [json.loads(name[2:]) for name in owned if name.startswith("v:")]
    found = []
    for item in wanted:
        if not isinstance(item, dict):
            if item in known:
                found.append(item)
            continue
        entry = next((entry for keys, entry in keyed if _has(item, keys)), None)
        keys = next((keys for keys, _ in keyed if _has(item, keys)), None)
        if keys is None:
            continue
        there = next((one for one in live or () if isinstance(one, dict) and _has(one, keys)), {})
        found.append(_walk(item, there, entry))
    return found


def _has(item: Object, keys: Object) -> bool:
    """Say whether an item has these keys; one that it leaves out has its default."""
    return all(item.get(key, value) == value for key, value in keys.items())


def _texts(texts: Object, live: Object, owned: Object) -> Object:
    ours = owned.get("f:data") or {}
    data = live.get("data") or {}
    found = {}
    for key, text in texts.items():
        if f"f:{key}" in ours:
            found[key] = text
        elif key in data:
            found[key] = base64.b64decode(data[key]).decode(errors="replace")
    return found


def _imported(live: Object) -> Object:
    inputs = {key: copy.deepcopy(value) for key, value in live.items() if key != "status"}
    inputs["metadata"] = {
        key: value
        for key, value in inputs["metadata"].items()
        if key in ("name", "namespace", "labels", "annotations", "finalizers")
    }
    return inputs
