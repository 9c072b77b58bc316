"""The runbooks of `docs/runbooks` as pages, where the checkout is at hand: an image holds none."""

import re
from pathlib import Path

from markdown_it import MarkdownIt
from markupsafe import Markup

FOLDER = Path(__file__).parents[4] / "docs" / "runbooks"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}")


def address(annotation: str, folder: Path = FOLDER) -> str:
    """Where a person reads the runbook that an alert names: a URL, a page of this server, or empty."""
    if annotation.startswith(("https://", "http://")):
        return annotation
    name = Path(annotation).stem
    return f"runbooks/{name}" if _file(name, folder) else ""


def page(name: str, folder: Path = FOLDER) -> Markup | None:
    """A runbook as HTML; None when there is no such one. Markup in the text is shown, not interpreted."""
    found = _file(name, folder)
    if found is None:
        return None
    text = found.read_text(encoding="utf-8")
    return Markup(_Runbook("js-default", {"linkify": False}).render(text))  # noqa: S704  the renderer escapes markup


class _Runbook(MarkdownIt):
    """Leads links to the file of another runbook to its page."""

    def normalizeLink(self, url: str) -> str:  # noqa: N802  the library's name
        return super().normalizeLink(url.removesuffix(".md") if "/" not in url else url)


def _file(name: str, folder: Path) -> Path | None:
    """The file of a runbook; the name is checked before it becomes a path."""
    if not _NAME.fullmatch(name):
        return None
    found = folder / f"{name}.md"
    return found if found.is_file() else None
