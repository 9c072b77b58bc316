"""Reads values at former keys of a stack file as if they stood at today's, with a notice, until a MAJOR version."""

from collections.abc import Mapping
from typing import Any

FORMER_KEYS: Mapping[str, str] = {"pipelines.database_volume": "pipelines.mysql.volume"}
"""Key of before to today's, both from the block on, with dots."""


def translated(values: Mapping[str, Any], former: Mapping[str, str] = FORMER_KEYS) -> tuple[dict[str, Any], list[str]]:
    """The values at today's keys, and one notice for each key that was translated.

    Where a file gives both keys the former one stays, so that it is refused as unknown and no value is lost.
    """
    found: dict[str, Any] = dict(values)
    notices = []
    for before, now in former.items():
        if _has(found, before) and not _has(found, now):
            found, value = _without(found, before.split("."))
            found = _with(found, now.split("."), value)
            notices.append(f"mlplatform:{before} is mlplatform:{now} now: rename it, the former key will be refused")
    return found, notices


def _has(values: Any, key: str) -> bool:
    for part in key.split("."):
        if not isinstance(values, Mapping) or part not in values:
            return False
        values = values[part]
    return True


def _without(values: Mapping[str, Any], path: list[str]) -> tuple[dict[str, Any], Any]:
    first, *rest = path
    if not rest:
        return {key: each for key, each in values.items() if key != first}, values[first]
    inner, value = _without(values[first], rest)
    return {**values, first: inner}, value


def _with(values: Mapping[str, Any], path: list[str], value: Any) -> dict[str, Any]:
    first, *rest = path
    return {**values, first: _with(values.get(first, {}), rest, value) if rest else value}
