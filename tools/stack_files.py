"""The settings of a stack as the CLI may write to them.

The passphrase secrets provider writes an `encryptionsalt` into the stack file. So that using the platform never changes
the checkout, the CLI gets a copy in the state folder. A stack file that names a secrets provider (or a salt) of its own
is meant to be shared with what the CLI writes, and is used as it is.
"""

import contextlib
import re
from pathlib import Path

from infra.base import paths
from tools import stamps
from tools.console import ToolError

_OWN_PROVIDER = re.compile(r"^(secretsprovider|encryptionsalt|encryptedkey)\s*:", re.MULTILINE)
_KIND = re.compile(r"""\bkind["']?\s*:\s*["']?([a-z0-9-]+)""")
_COMMENT = re.compile(r"(?:^|\s)#.*$", re.MULTILINE)
_SALT = re.compile(r"^encryptionsalt\s*:.*$", re.MULTILINE)


def stacks(checkout: Path = paths.CHECKOUT) -> list[str]:
    """Names of the stacks that have a file."""
    return sorted(file.name.split(".")[1] for file in checkout.glob("Pulumi.*.yaml"))


def source(stack: str, checkout: Path = paths.CHECKOUT) -> Path:
    """The file of a stack in the checkout.

    Raises: ToolError listing the stacks that there are.
    """
    file = checkout / f"Pulumi.{stack}.yaml"
    if stack not in stacks(checkout):
        known = ", ".join(stacks(checkout)) or "none"
        raise ToolError(f"there is no stack {stack!r} ({file.name} is missing); stacks here: {known}")
    return file


def kinds(stack: str) -> set[str]:
    """Every kind that a stack file names; by its text, because the installer runs without a YAML parser."""
    return set(_KIND.findall(_COMMENT.sub("", source(stack).read_text())))


def working_file(stack: str, state: Path, checkout: Path = paths.CHECKOUT) -> Path:
    """The file to give to the CLI; a copy is renewed when the checkout's file has changed, and keeps its salt."""
    original = source(stack, checkout)
    text = original.read_text()
    if _OWN_PROVIDER.search(text):
        return original
    copy = state / original.name
    mark = f"# Made from {original} ({stamps.digest(text)}): change that file, not this one.\n"
    present = copy.read_text() if copy.exists() else ""
    if not present.startswith(mark):
        salt = _SALT.search(present)
        ending = f"{salt[0]}\n" if salt else ""
        stamps.write_text(copy, mark + text.rstrip("\n") + "\n" + ending, mode=0o600)
    return copy


def project_beside(file: Path, checkout: Path = paths.CHECKOUT) -> Path:
    """The folder of a working file, with the project's Pulumi.yaml in it, so that the CLI can run there."""
    project = file.parent / "Pulumi.yaml"
    if file.parent != checkout and not project.is_symlink():
        with contextlib.suppress(FileExistsError):  # another command made it meanwhile
            project.symlink_to(checkout / "Pulumi.yaml")
    return file.parent
