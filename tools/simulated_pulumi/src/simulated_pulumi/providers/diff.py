"""Differences between two property bags, as paths."""

from __future__ import annotations

import re
from typing import Any

from simulated_pulumi.values import Asset


def compare(old: Any, new: Any, ignored: tuple[str, ...] = (), path: str = "") -> dict[str, str]:
    """Give path -> `ADD`, `DELETE` or `UPDATE` for every leaf that differs; internal keys (`__…`) are left out."""
    if path and any(covers(rule, path) for rule in ignored):
        return {}
    if isinstance(old, dict) and isinstance(new, dict):
        changed: dict[str, str] = {}
        for key in sorted(old.keys() | new.keys()):
            here = f"{path}.{key}" if path else key
            if not key.startswith("__"):
                changed |= _compare_entry(old.get(key), new.get(key), ignored, here)
        return changed
    if isinstance(old, list) and isinstance(new, list):
        changed = {}
        for index in range(max(len(old), len(new))):
            before = old[index] if index < len(old) else None
            after = new[index] if index < len(new) else None
            changed |= _compare_entry(before, after, ignored, f"{path}[{index}]")
        return changed
    if isinstance(old, Asset) and isinstance(new, Asset):
        return {} if old.is_same(new) else {path: "UPDATE"}
    return {} if old == new else {path: "UPDATE"}


def _compare_entry(old: Any, new: Any, ignored: tuple[str, ...], path: str) -> dict[str, str]:
    if old is None and new is None:
        return {}
    if old is None or new is None:
        return {} if any(covers(rule, path) for rule in ignored) else {path: "ADD" if old is None else "DELETE"}
    return compare(old, new, ignored, path)


def covers(rule: str, path: str) -> bool:
    """Say whether a rule (`spec.selector`, `ingress[*].port`, `*`) names this path or something around it."""
    pattern = re.escape(rule).replace(r"\[\*\]", r"\[\d+\]").replace(r"\*", "[^.]*")
    return re.match(rf"{pattern}($|[.\[])", path) is not None


def touches(rule: str, path: str) -> bool:
    """Say whether a change at this path changes what a rule names: the path is it, in it, or around it."""
    return covers(rule, path) or rule.startswith((f"{path}.", f"{path}["))
