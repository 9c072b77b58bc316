"""The Python environments of a checkout, made by uv from their hash-pinned locks."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from infra.base import paths
from tools import stamps
from tools.console import ToolError, run, say

REQUIREMENTS = paths.CHECKOUT / "requirements"

EXTENDED = ("infra", "workloads")
"""Environments that get the workloads of other repositories."""

NO_PYTHON = (
    "put a Python that `requires-python` in pyproject.toml allows on PATH, which uv searches before it downloads one"
)

COMPILING = {"UV_COMPILE_BYTECODE_TIMEOUT": "900"}
"""Seconds that uv waits for one file to be compiled: its own 60 end an installation on a busy machine."""

OFFLINE = "check that the package index can be reached (UV_INDEX_URL, UV_DEFAULT_INDEX name another one)"


def pinned(package: str, file: Path) -> str:
    """The version that a requirements file pins a package to.

    Raises: ToolError when it does not.
    """
    found = re.search(rf"^{re.escape(package)}==([^\s;\\]+)", file.read_text(), re.MULTILINE)
    if found is None:
        raise ToolError(f"{file} pins no version of {package}: add a line `{package}==<version>`")
    return found[1]


def lock_of(name: str) -> Path:
    """The lock that an environment is to follow; once the cloud SDKs are in `infra`, the lock that holds them too."""
    if name == "infra" and stamps.read(_stamp(name)).get("lock") == "cloud":
        return REQUIREMENTS / "cloud.txt"
    return REQUIREMENTS / f"{name}.txt"


def is_made(name: str, lock: Path) -> bool:
    """Whether an environment is as its lock says."""
    python = paths.environment_dir(name) / "bin" / "python"
    return (
        stamps.read(_stamp(name)).get("digest") == _wanted(lock)
        and python.exists()
        and not paths.unfinished_mark(name).exists()
    )


def make(name: str, lock: Path) -> None:
    """Make an environment, or bring it to what its lock says."""
    folder, stamp = paths.environment_dir(name), _stamp(name)
    uv, python = find_uv(), folder / "bin" / "python"
    wanted = _wanted(lock)
    unfinished = paths.unfinished_mark(name)
    is_new = unfinished.exists() or not python.exists()
    stamps.make_folder(stamp.parent)
    unfinished.touch()
    if is_new:
        say(f"making the Python environment {name} in {folder}")
        run([uv, "venv", "--quiet", "--seed", "--clear", folder], NO_PYTHON, cwd=paths.CHECKOUT)
    say(f"installing what requirements/{lock.name} names into {name}")
    # Compiling takes 4 s for `infra` and 17 s for `workloads`, once; without it the first imports of the servers, which
    # start at the same time and each compile for themselves, take two to three times as long (mlflow 3.7 s, not 1.4 s).
    command: list[str | Path] = [uv, "pip", "sync", "--quiet", "--compile-bytecode", "--python", python, lock]
    run(command, OFFLINE, cwd=paths.CHECKOUT, env=os.environ | COMPILING)
    if name in EXTENDED:
        add_packages(name)
    stamps.write(stamp, {"digest": wanted, "lock": lock.stem})
    unfinished.unlink()


def packages_dir() -> Path:
    """Wheels of workloads of other repositories (`tools.workload_packages`)."""
    return paths.environment_dir("infra").parent / "packages"


def add_packages(name: str) -> None:
    """Install every kept wheel into an environment, beside what its lock says."""
    wheels = sorted(packages_dir().glob("*.whl"))
    if wheels:
        python = paths.environment_dir(name) / "bin" / "python"
        command: list[str | Path] = [find_uv(), "pip", "install", "--quiet", "--no-deps", "--no-index", "--reinstall"]
        command += ["--compile-bytecode", "--python", python, *wheels]
        run(command, f"remove what is wrong in {packages_dir()}", env=os.environ | COMPILING)


def link() -> None:
    """Let `.venv` point to `infra`, where editors, Pulumi.yaml and people look for it."""
    target, name = paths.environment_dir("infra"), paths.CHECKOUT / ".venv"
    if name.is_symlink() and name.readlink() == target:
        return
    if name.exists() and not name.is_symlink():
        raise ToolError(f"{name} is in the way: move it away, it has to be a link to {target}")
    temporary = name.with_name(f".venv.{os.getpid()}")
    temporary.symlink_to(target)
    temporary.replace(name)


def find_uv() -> Path:
    """The uv that requirements/uv.txt pins: from PATH, or from an environment of its own in the cache."""
    version = pinned("uv", REQUIREMENTS / "uv.in")
    on_path = shutil.which("uv")
    if on_path is not None and uv_version(Path(on_path)) == version:
        return Path(on_path)
    folder = paths.cache_dir() / "uv" / version
    uv = folder / "bin" / "uv"
    if uv.exists() and uv_version(uv) == version:
        return uv
    with stamps.only_one(paths.cache_dir() / "locks" / "uv.lock", "uv"):
        if uv.exists() and uv_version(uv) == version:
            return uv
        say(f"installing uv {version} into {folder}")
        shutil.rmtree(folder, ignore_errors=True)
        without_venv = "install the venv module of this Python (Debian, Ubuntu: apt-get install python3-venv)"
        run([sys.executable, "-m", "venv", folder], without_venv)
        lock = REQUIREMENTS / "uv.txt"
        run([folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--require-hashes", "-r", lock], OFFLINE)
    return uv


def uv_version(uv: Path) -> str:
    """What `uv --version` says; empty when it cannot say."""
    answer = subprocess.run([uv, "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return answer.stdout.split()[1] if answer.returncode == 0 and answer.stdout.startswith("uv ") else ""


def _stamp(name: str) -> Path:
    return paths.environment_dir(name).with_suffix(".json")


def _wanted(lock: Path) -> str:
    """Changes with the lock, and with how a project that the lock installs from this checkout is packaged."""
    if not lock.is_file():
        raise ToolError(
            f"requirements/{lock.name} is missing, without which nobody knows what to install: restore it "
            f"(`git checkout requirements/{lock.name}`), or make it from its .in file (`make lock`)"
        )
    text = lock.read_text()
    packaging = [
        json.dumps(_packaging(folder), sort_keys=True) for folder in re.findall(r"^-e (\S+)", text, re.MULTILINE)
    ]
    return stamps.digest(text, *packaging)


def _packaging(folder: str) -> dict[str, object]:
    project = tomllib.loads((paths.CHECKOUT / folder / "pyproject.toml").read_text())
    kept: dict[str, object] = {key: project.get(key) for key in ("build-system", "project")}
    kept["hatch"] = project.get("tool", {}).get("hatch")
    return kept
