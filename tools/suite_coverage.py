"""Which product lines the tests of a run execute: coverage.py in each Python process that a suite starts.

`python3 -m tools.suites --coverage` measures. Leaves out processes whose environment a test empties, and those that
end by `os._exit` or SIGKILL. A measured process takes about twice its time.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from infra.base import paths
from tools.console import ToolError, run

PRODUCT = ("infra", "policies", "stacks", "tools", "workloads")
SETTINGS = """\
[run]
parallel = true
sigterm = true
disable_warnings = no-data-collected, module-not-measured
source = {source}
omit = */simulated_pulumi/tests/*
"""


def prepare(folder: Path) -> None:
    """Write what makes Python processes measure themselves into the folder of reports.

    Raises: ToolError where coverage.py is not installed.
    """
    packages = sorted(paths.environment_dir("coverage").glob("lib/python*/site-packages/coverage"))
    if not packages:
        raise ToolError("coverage.py is not installed: run `python3 -m tools.install coverage`")
    (folder / "path").mkdir(parents=True)
    (folder / "path" / "coverage").symlink_to(packages[0])
    (folder / "path" / "sitecustomize.py").write_text("import coverage\n\ncoverage.process_startup()\n")
    source = ", ".join(str(paths.CHECKOUT / name) for name in PRODUCT)
    (folder / "settings").write_text(SETTINGS.format(source=source))


def variables(folder: Path, suite: str) -> dict[str, str]:
    """What the processes of a suite inherit."""
    return {
        "PYTHONPATH": str(folder / "path"),
        "COVERAGE_PROCESS_START": str(folder / "settings"),
        "COVERAGE_FILE": str(folder / f"lines.{suite}"),
    }


def table(folder: Path, suites: Iterable[str]) -> str:
    """Covered lines of the product by folder, for each suite and for all; `coverage.json` has them by file."""
    lines = [f"{'coverage':<12}" + "".join(f"{name:>12}" for name in (*PRODUCT, "all"))]
    names = [name for name in suites if any(folder.glob(f"lines.{name}.*"))]
    for name in names:
        _coverage(folder, "combine", "--quiet", "--keep", f"--data-file={folder / name}", *_parts(folder, name))
    _coverage(
        folder, "combine", "--quiet", "--keep", f"--data-file={folder / 'all'}", *(str(folder / n) for n in names)
    )
    for name in (*names, "all"):
        file = folder / f"{name}.json"
        _coverage(folder, "json", "--quiet", "-o", str(file), f"--data-file={folder / name}")
        shares = covered(json.loads(file.read_text(encoding="utf-8"))["files"])
        lines.append(f"{name:<12}" + "".join(f"{share:>12.1%}" for share in shares.values()))
    return "\n".join([*lines, ""])


def covered(files: dict[str, dict[str, dict[str, int]]]) -> dict[str, float]:
    """Share of executed lines by folder of the product, and of all."""
    found = {}
    for name in (*PRODUCT, ""):
        below = str(paths.CHECKOUT / name)
        sums = [each["summary"] for file, each in files.items() if str(paths.CHECKOUT / file).startswith(below)]
        lines = sum(each["num_statements"] for each in sums)
        found[name] = sum(each["covered_lines"] for each in sums) / lines if lines else 0.0
    return found


def _parts(folder: Path, suite: str) -> list[str]:
    return [str(file) for file in sorted(folder.glob(f"lines.{suite}.*"))]


def _coverage(folder: Path, command: str, *arguments: str) -> None:
    python = paths.environment_dir("coverage") / "bin" / "python"
    run([python, "-m", "coverage", command, f"--rcfile={folder / 'settings'}", *arguments], cwd=paths.CHECKOUT)
