"""The plan as text, as Markdown for a pull request, and as JSON."""

import json
from collections import Counter
from dataclasses import asdict

from stacks.commands.preview.plan import Change, Plan, Step

MARKS: dict[Change, str] = {"create": "+", "update": "~", "replace": "!", "delete": "-"}
WORDS: dict[str, str] = {"create": "to create", "update": "to change", "replace": "to replace", "delete": "to delete"}
COLUMNS = ("create", "update", "replace", "delete", "same")
SHOWN_PATHS = 6
SHOWN_STEPS = 400


def verdict(plan: Plan) -> str:
    """One line: how much of what."""
    said = [f"{plan.counts[change]} {words}" for change, words in WORDS.items() if plan.counts[change]]
    return f"{', '.join(said) or 'no changes'}; {plan.counts['same']} stay as they are"


def as_text(plan: Plan, title: str) -> str:
    """For a terminal."""
    rows = [("role", *COLUMNS), *((role, *_cells(counts)) for role, counts in sorted(plan.roles.items()))]
    width = max(len(row[0]) for row in rows)
    table = [f"{row[0]:<{width}}" + "".join(f"{cell:>9}" for cell in row[1:]) for row in rows]
    return "\n".join([f"{title}: {verdict(plan)}", "", *table, "", *_lines(plan), *_warnings(plan)]).rstrip() + "\n"


def as_markdown(plan: Plan, title: str) -> str:
    """For a pull request's comment: verdict, table of the roles that change, and the steps folded away."""
    changed = {role: counts for role, counts in sorted(plan.roles.items()) if set(counts) - {"same"}}
    table = [
        f"| role | {' | '.join(COLUMNS)} |",
        f"|---|{'---:|' * len(COLUMNS)}",
        *(f"| {role} | {' | '.join(_cells(counts))} |" for role, counts in changed.items()),
    ]
    steps = ["<details><summary>every change</summary>", "", "```diff", *_lines(plan), "```", "", "</details>"]
    lines = [f"### `{title}`: {verdict(plan)}", ""]
    if changed:
        lines += [*table, "", *steps]
    return "\n".join([*lines, *_warnings(plan)]).rstrip() + "\n"


def as_json(plan: Plan) -> str:
    """For machines: counts, roles, and every change."""
    return json.dumps(
        {
            "counts": dict(plan.counts),
            "roles": {role: dict(counts) for role, counts in sorted(plan.roles.items())},
            "uses": {role: sorted(needed) for role, needed in sorted(plan.uses.items())},
            "changes": [asdict(step) for step in plan.changes],
            "diagnostics": list(plan.diagnostics),
        },
        indent=1,
    )


def _cells(counts: Counter[str]) -> list[str]:
    return [str(counts[column] or ".") for column in COLUMNS]


def _lines(plan: Plan) -> list[str]:
    ordered = sorted(plan.changes, key=lambda step: (step.role, step.name))
    lines = [_line(step) for step in ordered[:SHOWN_STEPS]]
    left = len(ordered) - SHOWN_STEPS
    return [*lines, f"... and {left} more"] if left > 0 else lines


def _line(step: Step) -> str:
    why = ""
    if step.because and step.change != "create":
        shown = ", ".join(step.because[:SHOWN_PATHS])
        why = f"  {shown}{', ...' if len(step.because) > SHOWN_PATHS else ''}"
    return f"{MARKS[step.change] if step.change else ' '} {step.role}: {step.name} ({step.type}){why}"


def _warnings(plan: Plan) -> list[str]:
    return ["", *(f"warning: {text}" for text in dict.fromkeys(plan.diagnostics))] if plan.diagnostics else []
