"""The platform as a picture: a box for each role, an arrow to each role that it uses, coloured by what would change."""

from itertools import pairwise
from typing import NamedTuple
from xml.etree import ElementTree as ET

import networkx as nx

from stacks.commands.preview.plan import OUTSIDE, Plan

BOX_WIDTH, BOX_HEIGHT = 228, 58
GAP_X, GAP_Y = 70, 26
LANE_HEIGHT = 4
FRAME = 11
MARGIN, TITLE_HEIGHT = 28, 46
SWEEPS = 8
FONT = "system-ui, -apple-system, Segoe UI, sans-serif"
INK, QUIET, LINE, GROUND = "#1c2430", "#5d6875", "#9aa5b1", "#ffffff"
COLOURS = {"delete": "#c0392b", "replace": "#c0392b", "update": "#9a6700", "create": "#1a7f4b", "same": "#c7cfd8"}
"""By the gravest change of a role's resources."""
NAMES = {"create": "new", "update": "changed", "replace": "replaced", "delete": "deleted", "same": ""}


def as_svg(plan: Plan, title: str) -> str:
    """An SVG document; what a role uses stands to its left, and roles that use each other stand in one frame."""
    roles = plan.roles
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(sorted(role for role in roles if role != OUTSIDE))
    graph.add_edges_from((used, role) for role, needed in plan.uses.items() for used in needed if used in roles)
    layers, arrows, circles = _drawing(graph)
    height = MARGIN + TITLE_HEIGHT + max((_extent(layer) for layer in layers), default=0)
    width = 2 * MARGIN + len(layers) * (BOX_WIDTH + GAP_X) - GAP_X
    places = _places(layers, height)
    picture = ET.Element(
        "svg", xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {width} {height + MARGIN}", role="img"
    )
    _draw(picture, "title", title)
    _draw(picture, "rect", width="100%", height="100%", fill=GROUND)
    _draw(picture, "text", title, x=MARGIN, y=MARGIN + 12, fill=INK, font_family=FONT, font_size=18, font_weight=600)
    for circle in circles:
        _frame(picture, [places[Stop(role)] for role in circle])
    for start, end in sorted(arrows):
        _arrow(picture, start, end, places)
    for role in graph:
        _box(picture, role, dict(roles[role]), places[Stop(role)])
    ET.indent(picture, " ")
    return ET.tostring(picture, encoding="unicode") + "\n"


class Stop(NamedTuple):
    """Where arrows begin, end or pass by."""

    role: str

    column: int = -1
    """Column that the arrows from the role only pass through; -1 is the role's own box."""

    @property
    def height(self) -> int:
        """Pixels that it takes of its column."""
        return BOX_HEIGHT if self.column < 0 else LANE_HEIGHT


Arrow = tuple[Stop, Stop]


def _drawing(graph: "nx.DiGraph[str]") -> tuple[list[list[Stop]], set[Arrow], list[set[str]]]:
    """Columns from top to bottom, the arrows between them, and the roles that use each other.

    An arrow that follows from others is left out. Those of one role share their way through the columns between.
    """
    groups = nx.condensation(graph)
    members: dict[int, set[str]] = {group: groups.nodes[group]["members"] for group in groups}
    group_of = {role: group for group, roles in members.items() for role in roles}
    kept = nx.transitive_reduction(groups).edges
    generations = [sorted(generation) for generation in nx.topological_generations(groups)]
    column = {role: at for at, generation in enumerate(generations) for each in generation for role in members[each]}
    arrows: set[Arrow] = set()
    for used, role in graph.edges:
        if (group_of[used], group_of[role]) in kept:
            way = [Stop(used), *(Stop(used, at) for at in range(column[used] + 1, column[role])), Stop(role)]
            arrows |= set(pairwise(way))
    layers: list[list[Stop]] = [[] for _ in generations]
    for role in sorted(graph):
        layers[column[role]].append(Stop(role))
    for stop in sorted({end for _, end in arrows if end.column >= 0}):
        layers[stop.column].append(stop)
    _order(layers, arrows)
    return layers, arrows, [roles for roles in members.values() if len(roles) > 1]


def _order(layers: list[list[Stop]], arrows: set[Arrow]) -> None:
    """Sort each column so that what an arrow connects is close; boxes of a group stay together where they are alone."""
    near: dict[Stop, list[Stop]] = {stop: [] for layer in layers for stop in layer}
    for start, end in sorted(arrows):
        near[start].append(end)
        near[end].append(start)
    rank = {stop: index / max(1, len(layer) - 1) for layer in layers for index, stop in enumerate(layer)}
    for sweep in range(SWEEPS):
        for layer in layers if sweep % 2 == 0 else layers[::-1]:
            middle = {stop: _mean([rank[other] for other in near[stop]] or [rank[stop]]) for stop in layer}
            layer.sort(key=lambda stop: (middle[stop], stop))
            rank |= {stop: index / max(1, len(layer) - 1) for index, stop in enumerate(layer)}


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _extent(layer: list[Stop]) -> int:
    """Pixels from the top of a column to its end, with the gap below."""
    return sum(stop.height + GAP_Y for stop in layer)


def _places(layers: list[list[Stop]], height: int) -> dict[Stop, tuple[float, float]]:
    """Upper left corner of each box or lane; every column is centred."""
    found: dict[Stop, tuple[float, float]] = {}
    for column, layer in enumerate(layers):
        top = TITLE_HEIGHT + MARGIN + (height - TITLE_HEIGHT - MARGIN - _extent(layer) + GAP_Y) / 2
        for stop in layer:
            found[stop] = (MARGIN + column * (BOX_WIDTH + GAP_X), top)
            top += stop.height + GAP_Y
    return found


def _frame(picture: ET.Element, corners: list[tuple[float, float]]) -> None:
    left, top, bottom = corners[0][0], min(y for _, y in corners), max(y for _, y in corners)
    _draw(
        picture,
        "rect",
        x=f"{left - FRAME:.0f}",
        y=f"{top - FRAME:.0f}",
        width=BOX_WIDTH + 2 * FRAME,
        height=f"{bottom - top + BOX_HEIGHT + 2 * FRAME:.0f}",
        rx=14,
        fill="none",
        stroke=LINE,
        stroke_dasharray="4 4",
    )


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
    number = sum(counts.values())
    words = f"{number} resource{'s' * (number != 1)}" + (f": {', '.join(said)}" if said else "")
    _draw(group, "text", words, x=14, y=44, fill=QUIET, font_family=FONT, font_size=12)


def _arrow(picture: ET.Element, start: Stop, end: Stop, places: dict[Stop, tuple[float, float]]) -> None:
    from_x, from_y = places[start][0] + BOX_WIDTH, places[start][1] + start.height / 2
    to_x, to_y = places[end][0], places[end][1] + end.height / 2
    bend = (to_x - from_x) / 2
    bends = f"{from_x + bend:.0f} {from_y:.0f}, {to_x - bend:.0f} {to_y:.0f}"
    through = f" h {BOX_WIDTH}" if end.column >= 0 else ""
    curve = f"M {from_x:.0f} {from_y:.0f} C {bends}, {to_x:.0f} {to_y:.0f}{through}"
    _draw(picture, "path", d=curve, fill="none", stroke=LINE, stroke_width=1.2, opacity=0.75)
    if end.column < 0:
        _draw(picture, "circle", cx=f"{to_x:.0f}", cy=f"{to_y:.0f}", r=3, fill=LINE)


def _draw(parent: ET.Element, tag: str, text: str = "", **attributes: object) -> ET.Element:
    """Add an element; underscores of an attribute's name stand for dashes."""
    named = {name.replace("_", "-"): str(value) for name, value in attributes.items()}
    made = ET.SubElement(parent, tag, named)
    made.text = text or None
    return made
