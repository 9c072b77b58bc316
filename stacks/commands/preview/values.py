"""Inputs before and after a change, as people read them: `old -> new`, secrets and unknown values never shown."""

import json
from collections.abc import Mapping
from typing import Any

SECRET_KEY = "4dabf18193072939515e22adb298388d"  # noqa: S105  a marker, no secret
"""Key by which the engine marks a value that is no plain JSON, a secret among them.
Source: https://github.com/pulumi/pulumi/blob/v3.250.0/sdk/go/common/resource/sig/sig.go"""

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""String that stands for a value known after the update only.
Source: https://github.com/pulumi/pulumi/blob/v3.250.0/sdk/go/common/resource/plugin/rpc.go"""

LONGEST = 60
"""Characters of a value that is shown; a longer one ends in `…`."""

ABSENT = "(none)"


def changed(path: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """`path: old -> new`; the path alone where the inputs hold the same, as for a replacement's cause."""
    before, after = _at(path, old), _at(path, new)
    return path if before == after else f"{path}: {_shown(before)} -> {_shown(after)}"


_MISSING = object()


def _at(path: str, inputs: Any) -> Any:
    """The value at an engine's path such as `spec.ports[0].port` or `data["a.b"]`."""
    found = inputs
    for part in _parts(path):
        try:
            found = found[part]
        except (KeyError, IndexError, TypeError):
            return _MISSING
    return found


def _parts(path: str) -> list[str | int]:
    parts: list[str | int] = []
    rest = path
    while rest:
        if rest.startswith('["'):
            inner, _, rest = rest[2:].partition('"]')
            parts.append(inner)
        elif rest.startswith("["):
            inner, _, rest = rest[1:].partition("]")
            parts.append(int(inner) if inner.isdigit() else inner)
        else:
            rest = rest.removeprefix(".")
            end = min((at for at in (rest.find("."), rest.find("[")) if at >= 0), default=len(rest))
            parts.append(rest[:end])
            rest = rest[end:]
    return parts


def _shown(value: Any) -> str:
    if value is _MISSING:
        return ABSENT
    text = json.dumps(_safe(value), ensure_ascii=False)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _safe(value: Any) -> Any:
    """The value without what must not be shown."""
    if isinstance(value, Mapping):
        return "(secret)" if SECRET_KEY in value else {name: _safe(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_safe(each) for each in value]
    return "(known after the update)" if value == UNKNOWN else value
