"""Alert rules from templates: a YAML list of alerts with `<name>` where a value goes.

Keys of an alert: `alert`, `expr`, `for`, `severity`, `summary`; where they apply `description`, `runbook: false`,
`measure` and `threshold` (PromQL of the number that is watched, and its limit), and `only`, which names a case.
"""

import json
import re
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

RUNBOOKS = "docs/runbooks"
MEASURE, THRESHOLD = "measure", "threshold"
"""Annotations of an alert on one number: the PromQL of the number and its threshold, for doctor and start page."""

_PLACE = re.compile(r"<(\w+)>")


def rule_file(
    group: str,
    template: Path,
    values: Mapping[str, object] = {},
    *,
    labels: Mapping[str, str] = {},
    cases: Collection[str] = (),
) -> str:
    """A Prometheus rule file as JSON, which YAML contains: one group, each alert with `labels`.

    `cases`: those of the alerts' `only` that apply. Raises KeyError for a place without a value.
    """
    text = {name: str(value) for name, value in values.items()}
    rules = [_rule(each, text, labels) for each in _alerts(template) if each.get("only") in (None, *cases)]
    return json.dumps({"groups": [{"name": group, "rules": rules}]}, indent=1)


@cache
def _alerts(template: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load(template.read_text(encoding="utf-8")))


def _rule(alert: Mapping[str, Any], values: Mapping[str, str], labels: Mapping[str, str]) -> dict[str, Any]:
    filled = {key: _PLACE.sub(lambda place: values[place[1]], str(text)) for key, text in alert.items()}
    annotations = {
        "summary": filled["summary"],
        **_some(filled, "description"),
        **({"runbook_url": f"{RUNBOOKS}/{filled['alert']}.md"} if alert.get("runbook", True) else {}),
        **_some(filled, MEASURE, THRESHOLD),
    }
    return {
        "alert": filled["alert"],
        "expr": filled["expr"],
        **_some(filled, "for"),
        "labels": {"severity": filled["severity"], **labels},
        "annotations": annotations,
    }


def _some(given: Mapping[str, str], *keys: str) -> dict[str, str]:
    return {key: given[key] for key in keys if key in given}
