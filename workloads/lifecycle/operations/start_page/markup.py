"""Draws the page's small pictures as SVG and says in a sentence what each shows: lines over an hour, distributions.

Colours, widths of strokes and dark mode are the style sheet's.
"""

from collections.abc import Sequence

from markupsafe import Markup

WIDTH, HEIGHT = 300, 60
_MARGIN = 4
_GAP_STEPS = 3
"""Missing points from which on a line is interrupted."""

BARS_WIDTH, BARS_HEIGHT = 140, 36


def number(value: float) -> str:
    """A number for people: three significant digits, whole from 100 on."""
    if abs(value) >= 100:  # noqa: PLR2004
        return f"{value:,.0f}"
    return f"{float(f'{value:.3g}'):g}"


def line(points: Sequence[Sequence[float]], start: float, end: float, step: float, limit: float | None) -> Markup:
    """A line from `start` to `end`, whatever part of that time has points; the limit is always inside the picture."""
    values = [value for _, value in points]
    shown = [*values, *([] if limit is None else [limit])]
    low, high = min([0.0, *shown]), max([0.0, *shown])
    span = high - low or 1.0

    def x(moment: float) -> str:
        return f"{WIDTH * (moment - start) / (end - start):.1f}"

    def y(value: float) -> str:
        return f"{HEIGHT - _MARGIN - (HEIGHT - 2 * _MARGIN) * (value - low) / span:.1f}"

    path, before = [], None
    for moment, value in points:
        joined = before is not None and moment - before <= _GAP_STEPS * step
        path.append(f"{'L' if joined else 'M'}{x(moment)} {y(value)}{'' if joined else 'h.1'}")
        before = moment
    drawn = f'<path d="{"".join(path)}"/>'
    if limit is not None:
        drawn = f'<line x1="0" x2="{WIDTH}" y1="{y(limit)}" y2="{y(limit)}"/>{drawn}'
    return Markup(  # noqa: S704  numbers only
        f'<svg class="line" viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" aria-hidden="true">{drawn}</svg>'
    )


def described(points: Sequence[Sequence[float]], limit: float | None) -> str:
    """The range of a line, in words."""
    values = [value for _, value in points]
    told = f"lowest {number(min(values))}, highest {number(max(values))}"
    return told if limit is None else f"{told}; alert threshold {number(limit)}"


def bars(reference: Sequence[float], current: Sequence[float]) -> Markup:
    """Two distributions over the same bins: the reference as an outline, the current rows as bars."""
    top = max([*reference, *current, 1e-9])
    width = BARS_WIDTH / max(len(reference), 1)

    def y(share: float) -> str:
        return f"{BARS_HEIGHT - (BARS_HEIGHT - 2) * share / top:.1f}"

    filled = "".join(
        f"M{index * width:.1f} {BARS_HEIGHT}V{y(share)}h{width:.1f}V{BARS_HEIGHT}"
        for index, share in enumerate(current)
        if share
    )
    outline = "".join(f"V{y(share)}h{width:.1f}" for share in reference)
    return Markup(  # noqa: S704  numbers only
        f'<svg class="bars" viewBox="0 0 {BARS_WIDTH} {BARS_HEIGHT}" preserveAspectRatio="none" aria-hidden="true">'
        f'<path class="current" d="{filled}"/>'
        f'<path class="reference" d="M0 {BARS_HEIGHT}{outline}V{BARS_HEIGHT}"/></svg>'
    )
