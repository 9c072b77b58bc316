"""The verdict with its bounds and sample sizes, as a person reads them: a section of the model card."""

from collections.abc import Iterator
from typing import Any

from workloads.lifecycle.registry.verdict import Verdict

HEADING = "## The gate's verdict"


def section(verdict: Verdict, bounds: dict[str, Any]) -> str:
    """Markdown: what the release policy decided, by which measurements of how many rows."""
    rows = "\n".join(f"| {name} | {low:.4f} | {value:.4f} | {high:.4f} |" for name, value, low, high in _lines(bounds))
    sizes = (
        f"By {bounds['judged_rows']} held-out rows of {bounds['judged_units']} entities; "
        f"{bounds['learnt_rows']} rows were learnt from"
    )
    theirs = bounds.get("champion_learnt_rows")
    compared = "" if theirs is None else f", {theirs} by the champion"
    known = bounds.get("known_rows")
    beside = "" if known is None else f". Known rows are {known} held-out rows of the ingested data"
    reasons = "".join(f"\n- {reason}" for reason in verdict.reasons)
    missing = f"\n\nAbout {verdict.more_rows} more labelled rows would decide it." if verdict.insufficient else ""
    return f"""{HEADING}

{verdict.decision}{reasons}{missing}

{sizes}{compared}{beside}. The bounds hold in 95 of 100 samples (DeLong's method and its kin, rows of an entity as one);
those against the champion are paired, on the same rows; those of groups hold for all pairs at once.

| measure | low | value | high |
|---|---|---|---|
{rows}
"""


def _lines(bounds: dict[str, Any]) -> Iterator[tuple[str, float, float, float]]:
    """Name, value, low and high of everything that was judged."""
    parts = {
        "": bounds["candidate"],
        "learnt rows less held-out rows: ": {"ranking": bounds["train_gap"]},
        "loss against the champion: ": bounds.get("champion") or {},
        "loss on known rows: ": bounds.get("known") or {},
    }
    for each in bounds.get("former", ()):
        parts[f"loss against version {each['version']} on {each['rows']} rows known at its promotion: "] = each[
            "settled"
        ]
    for prefix, measures in parts.items():
        for name, bound in sorted(measures.items()):
            yield f"{prefix}{name}", bound["value"], bound["low"], bound["high"]
    for attribute, kinds in sorted(bounds["groups"].items()):
        for kind, pairs in kinds.items():
            if pairs:  # the widest gap
                pair = max(pairs, key=lambda each: each["value"])
                yield f"{attribute}, {kind}: {pair['groups']}", pair["value"], pair["low"], pair["high"]
