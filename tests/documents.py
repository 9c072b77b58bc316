"""What the documents show: every fenced block, and the commands of those that are for a shell."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

from infra.base.paths import CHECKOUT

DOCUMENTS = [
    CHECKOUT / "README.md",
    CHECKOUT / "CONTRIBUTING.md",
    CHECKOUT / "SECURITY.md",
    *sorted((CHECKOUT / "docs").rglob("*.md")),
]
TUTORIAL = CHECKOUT / "docs" / "how-to" / "add-a-workload.md"
"""Its commands are about what it lets its reader write; `tests/unit/docs/test_tutorial.py` follows it."""
_NAMED = re.compile(r"`([\w./-]+)`(, [^:]*)?:")
"""A paragraph that names the file of the block below it."""

SHELL = ("sh", "bash", "console")
SETS_THE_SHELL = ("export ", "cd ", "eval ")


@dataclass(frozen=True, kw_only=True)
class Block:
    """One fenced block."""

    document: Path

    line: int
    """Number of its first line in the document."""

    language: str

    text: str
    """Without the indentation of a list that it stands in."""

    @property
    def commands(self) -> list[str]:
        """What is run, without comments: each line, or the whole where a line needs the shell of the one before."""
        if self.language not in SHELL:
            return []
        joined = self.text.replace("\\\n", " ").splitlines()
        lines = [line.partition(" #")[0].strip().removeprefix("$ ") for line in joined if not line.startswith("#")]
        found = [line for line in lines if line]
        return ["\n".join(found)] if any(line.startswith(SETS_THE_SHELL) for line in found) else found


def blocks(text: str, document: Path) -> list[Block]:
    """Every fenced block of a document."""
    return [
        Block(document=document, line=(token.map or [0])[0] + 2, language=token.info.strip(), text=token.content)
        for token in MarkdownIt().parse(text)
        if token.type == "fence"
    ]


def commands(documents: Iterable[Path] = DOCUMENTS) -> list[str]:
    """Every command of every document, once."""
    every = (block for document in documents for block in blocks(document.read_text(), document))
    return list(dict.fromkeys(command for block in every for command in block.commands))


def tutorial() -> str:
    """The guide to a workload of another repository."""
    return TUTORIAL.read_text()


def tutorial_files() -> dict[str, str]:
    """Path -> content of each block of the tutorial that a paragraph above it names."""
    found, named = {}, None
    for token in MarkdownIt().parse(tutorial()):
        if token.type == "inline":
            named = _NAMED.fullmatch(token.content)
        elif token.type == "fence" and named:
            found[named[1]], named = token.content, None
    return found


def write_package(folder: Path) -> Path:
    """Write the files of the tutorial's package, `greenhouse`, below a folder."""
    for name, content in tutorial_files().items():
        if not name.startswith("Pulumi."):
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
    return folder
