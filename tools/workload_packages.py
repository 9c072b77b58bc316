"""`python3 -m tools.workload_packages FOLDER`: gives this installation a workload of another repository.

Its wheel is built with what the environment `infra` holds and kept beside the environments: both get it, again after
each change of their locks, and so do images.
"""

import argparse
import configparser
import shutil
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from infra.base import paths
from tools import environments, stamps
from tools.console import ToolError, exit_with_errors_in_one_line, run, say

ENTRY_POINTS = "mlplatform.workloads"
OURS = {"infra", "policies", "stacks", "tests", "tools", "workloads"}
"""Packages of this repository, which an installed one would hide or be hidden by."""

_LEFTOVERS = shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "*.egg-info")


def add(folder: Path) -> list[str]:
    """Build, keep and install a package; gives the names of its workloads.

    Raises: ToolError when the folder holds no package, or it brings no workload.
    """
    if not (folder / "pyproject.toml").is_file():
        raise ToolError(f"FROM={folder} holds no pyproject.toml: give the folder of a package, `make workload FROM=…`")
    kept = stamps.make_folder(environments.packages_dir())
    with tempfile.TemporaryDirectory() as temporary:
        sources, built = Path(temporary) / "sources", Path(temporary) / "built"
        shutil.copytree(folder, sources, ignore=_LEFTOVERS)
        python = paths.environment_dir("infra") / "bin" / "python"
        flags = ("--quiet", "--no-deps", "--no-index", "--no-build-isolation")
        otherwise = (
            f"of build backends only setuptools is there; see `{python} -m pip wheel {' '.join(flags[1:])} {folder}`"
        )
        run([python, "-m", "pip", "wheel", *flags, "--wheel-dir", built, sources], otherwise)
        (wheel,) = built.glob("*.whl")
        names = workloads(wheel)
        for former in kept.glob(f"{wheel.name.split('-')[0]}-*.whl"):
            former.unlink()
        shutil.move(wheel, kept)
    for name in environments.EXTENDED:
        environments.add_packages(name)
    return names


def remove(package: str) -> None:
    """Uninstall a package and forget it; raises ToolError for one that is not kept."""
    wheels = {wheel.name.split("-")[0]: wheel for wheel in environments.packages_dir().glob("*.whl")}
    wheel = wheels.get(package.replace("-", "_"))
    if wheel is None:
        raise ToolError(f"REMOVE={package} is none of the installed packages ({', '.join(sorted(wheels)) or 'none'})")
    for name in environments.EXTENDED:
        python = paths.environment_dir(name) / "bin" / "python"
        run([environments.find_uv(), "pip", "uninstall", "--quiet", "--python", python, package])
    wheel.unlink()


def workloads(wheel: Path) -> list[str]:
    """Names of the workloads that a wheel brings; raises ToolError for one that cannot stand beside this repository."""
    points = configparser.ConfigParser()
    with zipfile.ZipFile(wheel) as archive:
        files = archive.namelist()
        for file in files:
            if file.endswith(".dist-info/entry_points.txt"):
                points.read_string(archive.read(file).decode())
    if not points.has_section(ENTRY_POINTS):
        raise ToolError(
            f"{wheel.name} brings no workload: add the entry point `[project.entry-points.{ENTRY_POINTS!r}]` to its "
            'pyproject.toml, e.g. `my-model = "my_package.definition:MY_MODEL"`'
        )
    hidden = sorted(OURS & {file.split("/")[0].removesuffix(".py") for file in files})
    if hidden:
        raise ToolError(f"{wheel.name} holds {hidden[0]!r}, as this repository does: name its package otherwise")
    return list(points[ENTRY_POINTS])


def main(arguments: Sequence[str] | None = None) -> int:
    """Install, and say what is there now."""
    parser = argparse.ArgumentParser(prog="python3 -m tools.workload_packages", description=__doc__)
    parser.add_argument("folder", nargs="?", help="folder with the package's pyproject.toml")
    parser.add_argument("--remove", metavar="PACKAGE", help="uninstall a package instead")
    given = parser.parse_args(arguments)
    if given.remove:
        remove(given.remove)
        return 0
    if not given.folder:
        raise ToolError("say where the package is: `make workload FROM=../my-model`")
    names = add(Path(given.folder))
    blocks = ", ".join(name.replace("-", "_") for name in names)
    say(f"installed; list {blocks} in `mlplatform:workloads` of a stack file, then `make up`")
    return 0


if __name__ == "__main__":
    exit_with_errors_in_one_line(main)
