"""Draw dashboards' panels from the series of a Prometheus, as pictures for the documents, and make pictures small.

Grafana is on clusters only: this draws the same queries, units, legends and thresholds, without Grafana's looks.
Runs in the workloads' environment, which has Matplotlib: `tests.screenshots` (`make pictures`) gives the dashboards.
"""

import argparse
import base64
import json
import math
import re
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import dates
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from PIL import Image

COLUMNS, SAMPLES, SECONDS, COLOURS = 3, 240, 30, 48
PANEL_INCHES = (5.2, 2.7)

Series = list[tuple[str, list[float], list[float]]]
"""Legend, Unix times in seconds, values."""


def main(arguments: Sequence[str]) -> None:
    """Read `login` and each dashboard's JSON by its name from standard input; write `dashboard-<name>.png`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--prometheus", required=True, help="its URL")
    parser.add_argument("--minutes", type=int, default=30, help="how far back the panels reach")
    parser.add_argument("folder", type=Path)
    given = parser.parse_args(arguments)
    until = time.time()
    since = until - 60 * given.minutes

    boards: dict[str, str] = json.load(sys.stdin)
    login = boards.pop("login")

    def series(expression: str, legend: str) -> Series:
        return _read(given.prometheus, login, expression, legend, since=since, until=until)

    for name, board in boards.items():
        draw(json.loads(board), series, given.folder / f"dashboard-{name}.png")
    for picture in given.folder.glob("*.png"):
        shrink(picture)


def shrink(picture: Path) -> None:
    """Keep so many colours as a page with text and lines needs."""
    with Image.open(picture) as opened:
        opened.convert("RGB").quantize(COLOURS).save(picture, optimize=True)


def draw(dashboard: dict[str, Any], series: Callable[[str, str], Series], picture: Path) -> None:
    """Write a PNG of all panels of a dashboard; `series` gives what a query and its legend show."""
    panels = [panel for panel in dashboard["panels"] if panel["type"] == "timeseries"]
    mpl.use("agg")
    rows = math.ceil(len(panels) / COLUMNS)
    width, height = PANEL_INCHES
    figure, axes = plt.subplots(rows, COLUMNS, figsize=(width * COLUMNS, height * rows), squeeze=False)
    for axis, panel in zip(axes.flat, panels, strict=False):
        _panel(axis, panel, series)
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    figure.suptitle(dashboard["title"], x=0.01, ha="left", fontweight="bold")
    figure.tight_layout()
    figure.savefig(picture, dpi=80)
    plt.close(figure)


def _panel(axis: Axes, panel: dict[str, Any], series: Callable[[str, str], Series]) -> None:
    shown = [line for target in panel["targets"] for line in series(target["expr"], target["legendFormat"])]
    for legend, times, values in shown:
        axis.plot([datetime.fromtimestamp(at, UTC) for at in times], values, linewidth=1.2, label=legend)
    defaults = panel["fieldConfig"]["defaults"]
    for step in defaults.get("thresholds", {}).get("steps", []):
        if step["value"] is not None:
            axis.axhline(step["value"], color="tab:red", linestyle="--", linewidth=1)
    axis.set_title(f"{panel['title']} ({defaults.get('unit', 'short')})", fontsize=9, loc="left")
    axis.xaxis.set_major_formatter(dates.DateFormatter("%H:%M"))
    axis.tick_params(labelsize=7)
    axis.grid(alpha=0.3)
    if shown:
        axis.legend(fontsize=6, loc="upper left")
    else:
        axis.text(0.5, 0.5, "No data", ha="center", va="center", transform=axis.transAxes, color="gray")


def _read(url: str, login: str, expression: str, legend: str, *, since: float, until: float) -> Series:
    step = max(1.0, (until - since) / SAMPLES)
    asked = urllib.parse.urlencode({"query": expression, "start": since, "end": until, "step": step})
    request = urllib.request.Request(
        f"{url.rstrip('/')}/api/v1/query_range?{asked}",
        headers={"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"},
    )
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:
        found = json.load(answer)["data"]["result"]
    return [
        (
            legend_of(legend, one["metric"]),
            [float(at) for at, _ in one["values"]],
            [float(value) for _, value in one["values"]],
        )
        for one in found
    ]


def legend_of(legend: str, labels: dict[str, str]) -> str:
    """Grafana's form of a legend: `{{label}}` stands for the label's value."""
    return re.sub(r"{{\s*(\w+)\s*}}", lambda found: labels.get(found[1], ""), legend).strip()


if __name__ == "__main__":
    main(sys.argv[1:])
