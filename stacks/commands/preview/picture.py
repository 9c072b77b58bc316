"""The platform as a Mermaid flowchart: a box for each role, an arrow to each role that uses it, coloured by its change.

GitHub draws it in documents and comments. Source: https://mermaid.js.org/syntax/flowchart.html
"""

from collections import Counter

import networkx as nx

from stacks.commands.preview.plan import OUTSIDE, Plan

NAMES = {"delete": "deleted", "replace": "replaced", "update": "changed", "create": "new"}
"""Changes of resources, the gravest first, to what a box says of them."""
COLOURS = {"delete": "#c0392b", "replace": "#c0392b", "update": "#9a6700", "create": "#1a7f4b"}


def as_mermaid(plan: Plan) -> str:
    """A flowchart; roles that use each other stand in one frame, and an arrow that follows from others is left out."""
    roles = {role: counts for role, counts in sorted(plan.roles.items()) if role != OUTSIDE}
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(roles)
    graph.add_edges_from((used, role) for role, needed in plan.uses.items() for used in needed if used in roles)
    groups = nx.condensation(graph)
    group_of: dict[str, int] = groups.graph["mapping"]
    kept = nx.transitive_reduction(groups).edges
    lines = [
        "flowchart LR",
        *(f"  classDef {each} stroke:{colour},stroke-width:3px" for each, colour in COLOURS.items()),
    ]
    for members in sorted(sorted(groups.nodes[group]["members"]) for group in groups):
        boxes = [_box(role, roles[role]) for role in members]
        lines += [f'  subgraph with-{members[0]}[" "]', *boxes, "  end"] if len(members) > 1 else boxes
    arrows = sorted((used, role) for used, role in graph.edges if (group_of[used], group_of[role]) in kept)
    return "\n".join([*lines, *(f"  {used} --> {role}" for used, role in arrows)]) + "\n"


def fenced(plan: Plan) -> str:
    """The flowchart as a block of Markdown."""
    return f"```mermaid\n{as_mermaid(plan)}```\n"


def _box(role: str, counts: Counter[str]) -> str:
    said = [f"{counts[change]} {name}" for change, name in NAMES.items() if counts[change]]
    gravest = next((change for change in NAMES if counts[change]), "")
    label = "<br>".join([role, *([", ".join(said)] if said else [])])
    return f'  {role}["{label}"]' + (f":::{gravest}" if gravest else "")
