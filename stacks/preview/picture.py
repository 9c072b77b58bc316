"""The platform as a picture: a box for each role, an arrow to each role that it uses, coloured by what would change."""

from xml.etree import ElementTree as ET

import networkx as nx

from stacks.preview.plan import OUTSIDE, Plan

BOX_WIDTH, BOX_HEIGHT = 228, 58
GAP_X, GAP_Y = 70, 26
MARGIN, TITLE_HEIGHT = 28, 46
SWEEPS = 8
FONT = "system-ui, -apple-system, Segoe UI, sans-serif"
INK, QUIET, LINE, GROUND = "#1c2430", "#5d6875", "#9aa5b1", "#ffffff"
COLOURS = {"delete": "#c0392b", "replace": "#c0392b", "update": "#9a6700", "create": "#1a7f4b", "same": "#c7cfd8"}
"""By the gravest change of a role's resources."""
NAMES = {"create": "new", "update": "changed", "replace": "replaced", "delete": "deleted", "same": ""}


def as_svg(plan: Plan, title: str) -> str:
    """An SVG document; what a role uses stands to its left."""
    roles = plan.roles
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(sorted(role for role in roles if role != OUTSIDE))
    graph.add_edges_from((used, role) for role, needed in plan.uses.items() for used in needed if used in roles)
    layers = _layers(graph)
    height = MARGIN + TITLE_HEIGHT + max((len(layer) for layer in layers), default=0) * (BOX_HEIGHT + GAP_Y)
    width = 2 * MARGIN + len(layers) * (BOX_WIDTH + GAP_X) - GAP_X
    places = _places(layers, height)
    picture = ET.Element(
        "svg", xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {width} {height + MARGIN}", role="img"
    )
    _draw(picture, "title", title)
    _draw(picture, "rect", width="100%", height="100%", fill=GROUND)
    _draw(picture, "text", title, x=MARGIN, y=MARGIN + 12, fill=INK, font_family=FONT, font_size=18, font_weight=600)
    for used, role in _arrows(graph):
        _arrow(picture, places[used], places[role])
    for role, place in places.items():
        _box(picture, role, dict(roles[role]), place)
    ET.indent(picture, " ")
    return ET.tostring(picture, encoding="unicode") + "\n"


def _arrows(graph: "nx.DiGraph[str]") -> list[tuple[str, str]]:
    """Who uses whom; what already follows from other arrows is left out where nobody uses each other."""
    return list((nx.transitive_reduction(graph) if nx.is_directed_acyclic_graph(graph) else graph).edges)


def _layers(graph: "nx.DiGraph[str]") -> list[list[str]]:
    """Roles by how far they are from those that use nothing; within a layer close to what they use."""
    condensed = nx.condensation(graph)  # roles that use each other stand in one layer
    layers = [
        [role for group in generation for role in sorted(condensed.nodes[group]["members"])]
        for generation in nx.topological_generations(condensed)
    ]
    for sweep in range(SWEEPS):
        ordered = layers if sweep % 2 == 0 else layers[::-1]
        rank = {role: index / max(1, len(layer) - 1) for layer in layers for index, role in enumerate(layer)}
        for layer in ordered:
            layer.sort(key=lambda role: (_middle(graph, role, rank), role))
            rank |= {role: index / max(1, len(layer) - 1) for index, role in enumerate(layer)}
    return layers


def _middle(graph: "nx.DiGraph[str]", role: str, rank: dict[str, float]) -> float:
    near = [rank[other] for other in (*graph.predecessors(role), *graph.successors(role))]
    return sum(near) / len(near) if near else rank[role]


def _places(layers: list[list[str]], height: int) -> dict[str, tuple[float, float]]:
    """Upper left corner of each role's box; every column is centred."""
    found: dict[str, tuple[float, float]] = {}
    for column, layer in enumerate(layers):
        used = len(layer) * (BOX_HEIGHT + GAP_Y) - GAP_Y
        top = TITLE_HEIGHT + MARGIN + (height - TITLE_HEIGHT - MARGIN - used) / 2
        for row, role in enumerate(layer):
            found[role] = (MARGIN + column * (BOX_WIDTH + GAP_X), top + row * (BOX_HEIGHT + GAP_Y))
    return found


def _box(picture: ET.Element, role: str, counts: dict[str, int], place: tuple[float, float]) -> None:
    gravest = next((change for change in COLOURS if counts.get(change)), "same")
    group = _draw(picture, "g", transform=f"translate({place[0]:.0f} {place[1]:.0f})")
    edge = 1.2 if gravest == "same" else 2.4
    _draw(
        group,
        "rect",
        width=BOX_WIDTH,
        height=BOX_HEIGHT,
        rx=9,
        fill="#f6f7f9",
        stroke=COLOURS[gravest],
        stroke_width=edge,
    )
    _draw(group, "text", role, x=14, y=25, fill=INK, font_family=FONT, font_size=15, font_weight=600)
    said = [f"{counts[change]} {name}" for change, name in NAMES.items() if name and counts.get(change)]
    words = f"{sum(counts.values())} resources" + (f": {', '.join(said)}" if said else "")
    _draw(group, "text", words, x=14, y=44, fill=QUIET, font_family=FONT, font_size=12)


def _arrow(picture: ET.Element, start: tuple[float, float], end: tuple[float, float]) -> None:
    from_x, from_y = start[0] + BOX_WIDTH, start[1] + BOX_HEIGHT / 2
    to_x, to_y = end[0], end[1] + BOX_HEIGHT / 2
    bend = max(30.0, (to_x - from_x) / 2)
    bends = f"{from_x + bend:.0f} {from_y:.0f}, {to_x - bend:.0f} {to_y:.0f}"
    curve = f"M {from_x:.0f} {from_y:.0f} C {bends}, {to_x:.0f} {to_y:.0f}"
    _draw(picture, "path", d=curve, fill="none", stroke=LINE, stroke_width=1.2, opacity=0.75)
    _draw(picture, "circle", cx=f"{to_x:.0f}", cy=f"{to_y:.0f}", r=3, fill=LINE)


def _draw(parent: ET.Element, tag: str, text: str = "", **attributes: object) -> ET.Element:
    """Add an element; underscores of an attribute's name stand for dashes."""
    named = {name.replace("_", "-"): str(value) for name, value in attributes.items()}
    made = ET.SubElement(parent, tag, named)
    made.text = text or None
    return made
