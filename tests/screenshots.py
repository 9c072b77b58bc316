"""Renew the documents' pictures from the running local stack: `make pictures`.

Reads the stack's outputs from standard input. Takes the start page and the drift report as a browser shows them, and
a review's comment from its Markdown; `tests.pictures` draws the dashboards and makes every file small.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from markdown_it import MarkdownIt

from infra.base import paths
from tests.e2e import browser
from workloads.lifecycle.base.settings import AlertSettings, FairnessSettings
from workloads.lifecycle.monitoring import dashboards
from workloads.lifecycle.operations.start_page.door import link
from workloads.loan_default.definition import LOAN_DEFAULT

DASHBOARDS = ("serving", "quality", "retraining")
SHORT, TALL = "--window-size=1200,640", "--window-size=1200,1330"
SIGNS = {":white_check_mark:": "✔", ":x:": "✘", ":warning:": "⚠"}
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 24px; color: #1f2328; }
h2, h3 { border-bottom: 1px solid #d1d9e0; padding-bottom: .3em; }
table { border-collapse: collapse; } td, th { border: 1px solid #d1d9e0; padding: 5px 12px; }
code { background: #eff1f3; border-radius: 6px; padding: 2px 5px; font-size: 85%; }
pre { background: #f6f8fa; border-radius: 6px; padding: 12px; } pre code { background: none; white-space: pre-wrap; }
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Write every picture into a folder."""
    parser = argparse.ArgumentParser(prog="python -m tests.screenshots", description=__doc__)
    parser.add_argument("--review", type=Path, required=True, help="a review's comment, as Markdown")
    parser.add_argument("--minutes", default="30", help="how far back the dashboards reach")
    parser.add_argument("folder", type=Path)
    given = parser.parse_args(arguments)
    outputs = json.load(sys.stdin)
    for file, window in (("start-page.png", SHORT), ("start-page-whole.png", TALL)):
        browser.screenshot(link(outputs["start_url"], outputs["start_token"]), given.folder / file, window)
    browser.screenshot(outputs["drift_report_url"], given.folder / "drift-report.png", TALL)
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "review.html"
        page.write_text(comment(given.review.read_text(encoding="utf-8")), encoding="utf-8")
        browser.screenshot(page.as_uri(), given.folder / "review.png", SHORT)
    made = dashboards.dashboards(LOAN_DEFAULT, AlertSettings(), FairnessSettings())
    subprocess.run(
        [
            *(paths.environment_dir("workloads") / "bin" / "python", "-m", "tests.pictures"),
            *("--prometheus", outputs["prometheus_url"], "--minutes", given.minutes, given.folder.resolve()),
        ],
        input=json.dumps({"login": outputs["prometheus_login"], **{name: made[name] for name in DASHBOARDS}}),
        cwd=paths.CHECKOUT,
        text=True,
        check=True,
    )


def comment(markdown: str) -> str:
    """A page with a comment about as GitHub lays it out, its first folded part open."""
    for name, sign in SIGNS.items():
        markdown = markdown.replace(name, sign)
    body = MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown)
    body = body.replace("<details>", "<details open>", 1)
    return f"<!doctype html><meta charset=utf-8><style>{STYLE}</style>{body}"


if __name__ == "__main__":
    main()
