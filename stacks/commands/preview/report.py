"""The plan as text, as Markdown for a pull request, and as JSON."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict

from stacks.commands.preview.picture import fenced
from stacks.commands.preview.plan import Change, Plan, Step
from stacks.commands.preview.values import changed

MARKS: dict[Change, str] = {"create": "+", "update": "~", "replace": "!", "delete": "-"}
WORDS: dict[str, str] = {"create": "to create", "update": "to change", "replace": "to replace", "delete": "to delete"}
COLUMNS = ("create", "update", "replace", "delete", "same")
SHOWN_PATHS = 6
SHOWN_STEPS = 400


def verdict(plan: Plan) -> str:
    """One line: how much of what."""
    said = [f"{plan.counts[change]} {words}" for change, words in WORDS.items() if plan.counts[change]]
    return f"{', '.join(said) or 'no changes'}; {plan.counts['same']} stay as they are"


def as_text(plan: Plan, title: str, *, beside: Sequence[str] = (), where: str = "") -> str:
    """For a terminal; the first screen has the verdict, the roles that change, what is lost, and `beside`.

    Below it every change. `beside`: lines of other verdicts, such as cost and policies. `where`: what has the changes
    that are too many to be listed.
    """
    differing = [(role, counts) for role, counts in sorted(plan.roles.items()) if set(counts) - {"same"}]
    rows = [("role", *COLUMNS), *((role, *_cells(counts)) for role, counts in differing)]
    width = max(len(row[0]) for row in rows)
    table = [f"{row[0]:<{width}}" + "".join(f"{cell:>9}" for cell in row[1:]) for row in rows] if differing else []
    left = len(plan.roles) - len(differing)
    if differing and left:
        table.append(f"{left} more {'role stays as it is' if left == 1 else 'roles stay as they are'}")
    if groups := sum(not step.custom for step in plan.steps):
        table.append(f"{groups} components, which only group resources, are not counted")
    blocks = [[f"{title}: {verdict(plan)}"], table, _losses(plan), [*beside], _lines(plan, where), _warnings(plan)]
    return "\n\n".join("\n".join(block) for block in blocks if block).rstrip() + "\n"


def as_markdown(plan: Plan, title: str) -> str:
    """For a pull request's comment: verdict, table of the roles that change, and the steps folded away."""
    differing = {role: counts for role, counts in sorted(plan.roles.items()) if set(counts) - {"same"}}
    table = [
        f"| role | {' | '.join(COLUMNS)} |",
        f"|---|{'---:|' * len(COLUMNS)}",
        *(f"| {role} | {' | '.join(_cells(counts))} |" for role, counts in differing.items()),
    ]
    steps = [
        *("<details><summary>every change</summary>", "", "```diff", *_lines(plan, "`preview.json` of the artifacts")),
        *("```", "", "</details>", "", "<details><summary>roles and who uses them</summary>", "", fenced(plan)),
        "</details>",
    ]
    lines = [f"### `{title}`: {verdict(plan)}", ""]
    if differing:
        lost = _losses(plan)
        lines += [*table, "", *(["```diff", *lost, "```", ""] if lost else []), *steps]
    return "\n".join([*lines, "", *_warnings(plan)]).rstrip() + "\n"


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


def _losses(plan: Plan) -> list[str]:
    """Each resource that is replaced or deleted, all of them."""
    found = [step for step in _ordered(plan) if step.change in {"replace", "delete"}]
    return ["Replaced or deleted:", *(_line(step) for step in found)] if found else []


def _ordered(plan: Plan) -> list[Step]:
    return sorted(plan.changes, key=lambda step: (step.role, step.name))


def _lines(plan: Plan, where: str) -> list[str]:
    ordered = _ordered(plan)
    lines = [_line(step) for step in ordered[:SHOWN_STEPS]]
    left = len(ordered) - SHOWN_STEPS
    found = where or "the file preview.json that REPORT=folder writes"
    listed = [*lines, f"... and {left} more: see {found}"] if left > 0 else lines
    return ["Every change:", *listed] if listed else []


def _line(step: Step) -> str:
    why = ""
    if step.because and step.change != "create":
        shown = [changed(path, step.old, step.new) for path in step.because[:SHOWN_PATHS]]
        left = len(step.because) - SHOWN_PATHS
        why = f"  {', '.join(shown)}{f', and {left} more inputs' if left > 0 else ''}"
    return f"{MARKS[step.change] if step.change else ' '} {step.role}: {step.name} ({step.type}){why}"


def _warnings(plan: Plan) -> list[str]:
    return [f"warning: {text}" for text in dict.fromkeys(plan.diagnostics)]
