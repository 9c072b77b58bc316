"""Raw data that people give to a stack by `DATA`, remembered by workload until other data is given."""

import contextlib
import json
import re
from collections.abc import Mapping
from pathlib import Path

from infra.base import data_paths
from tools import stack_files, stamps

FOLDER = "data-paths"
"""Folder in the state folder with a file for each stack: JSON, in the order in which the data was given."""


def variable(stack: str, state: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """The variable that tells the program a stack's data, with what `DATA` gives to the workload that `WORKLOAD` names.

    A file or an address is remembered; a file that the stack cannot read is passed on, so that the program refuses it.
    """
    given = environ.get("DATA", "")
    memory = _memory(stack, state)
    found = _read(memory)
    if given:
        workload = environ.get("WORKLOAD", "").replace("-", "_")
        found.pop(workload, None)
        found[workload] = _absolute(given)
        if _is_kept(stack, found[workload]):
            stamps.write_text(memory, json.dumps(found), mode=0o600)
    return {data_paths.VARIABLE: json.dumps({stack: found})}


def _memory(stack: str, state: Path) -> Path:
    """The file that remembers a stack's data; what an earlier release remembered for all stacks becomes `local`'s."""
    folder = state / FOLDER
    with contextlib.suppress(FileNotFoundError):
        (state / "data-path").rename(stamps.make_folder(folder, mode=0o700) / "local")
    return folder / stack


def _read(memory: Path) -> dict[str, str]:
    """Data by workload; an earlier release wrote the default workload's alone, as it is."""
    if not memory.exists():
        return {}
    text = memory.read_text()
    return dict(json.loads(text)) if text.startswith("{") else {"": text}


def _absolute(given: str) -> str:
    if given == data_paths.GENERATED or given.startswith("s3://"):
        return given
    return str(Path(given).expanduser().absolute())


def _is_kept(stack: str, data: str) -> bool:
    stored = data == data_paths.GENERATED or data.startswith("s3://")
    return stored or (Path(data).is_file() and _reads_files(stack))


def _reads_files(stack: str) -> bool:
    """Whether a stack runs on this machine; the pods of any other read none of its files."""
    text = stack_files.source(stack).read_text()
    return re.search(r"^\s*mlplatform:substrate:\s*\{?\s*kind:\s*local\b", text, re.MULTILINE) is not None
