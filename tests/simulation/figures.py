"""What a run must reach, and the table that people read."""

from collections.abc import Sequence
from typing import Any

LIMITS = {
    "wrong promotions standing": 0,
    "rollbacks to a bad version": 0,
    "double retrains": 0,
    "rows lost": 0,
    "stale answers": 0,
    "missed drifts": 0,
    "champions worn": 0,
    "requests failed": 0,
}
"""Largest count of each run; the judge says what each one counts."""

CAUSELESS_PER_180_DAYS = 1
"""Retrains without a cause that a quiet run may have in 180 days; a shorter one too."""

COLUMNS = {
    "promoted": "promotions",
    "wrong": "wrong promotions",
    "standing": "wrong promotions standing",
    "worn": "champions worn",
    "back": "rollbacks",
    "to bad": "rollbacks to a bad version",
    "alerts": "alerts",
    "false": "false alarms",
    "causeless": "retrains without cause",
    "missed": "missed drifts",
    "stale": "stale answers",
    "failed": "requests failed",
    "lost": "rows lost",
    "double": "double retrains",
}
"""Heading -> count."""


def failures(run: dict[str, Any]) -> list[str]:
    """What a run does not reach, one sentence each."""
    counts, name = run["counts"], f"seed {run['seed']}, {run['days']} days"
    found = [
        f"{name}: {counts.get(count, 0)} {count}, at most {limit} allowed"
        for count, limit in LIMITS.items()
        if counts.get(count, 0) > limit
    ]
    causeless = counts.get("retrains without cause", 0)
    allowed = CAUSELESS_PER_180_DAYS * max(1, run["days"] // 180)
    if run["quiet"] and causeless > allowed:
        found.append(f"{name}: {causeless} retrains without cause in quiet days, at most {allowed} allowed")
    return found


def table(runs: Sequence[dict[str, Any]]) -> str:
    """One line for each run."""
    head = ["seed", "days", "kind", *COLUMNS, "found after", "s/day"]
    lines = [head]
    for run in runs:
        found = run["days_until_found"]
        lines.append(
            [
                str(run["seed"]),
                str(run["days"]),
                "quiet" if run["quiet"] else "drift",
                *(str(run["counts"].get(count, 0)) for count in COLUMNS.values()),
                ", ".join(f"{days:.0f} d" for days in found) or "-",
                f"{run['seconds_a_day']:.2f}",
            ]
        )
    widths = [max(len(line[place]) for line in lines) for place in range(len(head))]
    return "\n".join(
        "  ".join(text.rjust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )
