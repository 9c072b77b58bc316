"""The runbooks of `docs/runbooks` as pages, where the checkout is at hand: an image holds none."""

import re
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.common import normalize_url
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
    markdown = MarkdownIt("js-default", {"linkify": False})
    markdown.normalizeLink = _beside  # type: ignore[method-assign]
    return Markup(markdown.render(found.read_text(encoding="utf-8")))  # noqa: S704  the renderer escapes markup


def _beside(link: str) -> str:
    """The page of a runbook that another one links by its file's name."""
    return normalize_url.normalizeLink(link.removesuffix(".md") if "/" not in link else link)


def _file(name: str, folder: Path) -> Path | None:
    """The file of a runbook; the name is checked before it becomes a path."""
    if not _NAME.fullmatch(name):
        return None
    found = folder / f"{name}.md"
    return found if found.is_file() else None
