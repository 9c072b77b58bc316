"""Becomes a supervised process: ends what its predecessor left, records who it is, and executes its specification.

Standard library only, so that it costs a few milliseconds. Environment variables travel in the specification (mode
0600), never in an argument, because everyone on the machine can read arguments.
"""

import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # started by its path, in isolated mode

from infra.base import orphans


def inode(path: str) -> int | None:
    """Tells a folder from one of the same path that was made after it; None where there is none."""
    try:
        return Path(path).stat().st_ino
    except FileNotFoundError:
        return None


def main() -> None:
    """Execute the specification that the first argument names."""
    specification = Path(sys.argv[1])
    root, program = specification.parents[2], orphans.process(specification.stem)
    orphans.end(root, lambda each: each == program)
    spec = json.loads(specification.read_text(encoding="utf-8"))
    folders = {path: inode(path) for path in spec.get("folders", [])}
    record = {**orphans.launch_record(os.getpid()), "digest": spec["digest"], "folders": folders}
    temporary = specification.with_suffix(".run.new")
    temporary.write_text(json.dumps(record), encoding="utf-8")
    temporary.replace(specification.with_suffix(".run"))
    os.chdir(spec["directory"])
    environment = {**os.environ, **spec["environment"], **orphans.mark(root, program)}
    os.execvpe(spec["command"][0], spec["command"], environment)  # noqa: S606


if __name__ == "__main__":
    main()
