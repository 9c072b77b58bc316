"""A command about a stack without accounts.

Run as `python -m stacks.commands.simulated --stack NAME [--base REVISION] -- COMMAND`.
The command's `pulumi` is the real engine on a backend that is thrown away, with the stack file's settings less its
secrets, and simulated providers in place of the clouds'. With `--base` the stack is first brought up, simulated too, as
that revision of the checkout declares it, so that a preview shows changes and not only creations.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import yaml
from simulated_pulumi import SecretValue
from simulated_pulumi.backend import TemporaryBackend
from simulated_pulumi.project import copy_project
from simulated_pulumi.providers import Aws, Kubernetes, Random, SimulatedProvider, simulate
from simulated_pulumi.providers.base import Planned

from infra.base import images
from infra.base.paths import CHECKOUT
from stacks.settings import IMAGES_VARIABLE, with_made_up_secrets

MADE_UP = "simulated.invalid/mlplatform"
"""Repository of an image that `make images` has not pushed; its digest is made up, too."""


class Machine(SimulatedProvider):
    """Stands in for `infra.host`: a preview makes no cluster in Docker."""

    package = "host"
    ignored_config = ("root",)

    def compute(self, planned: Planned) -> dict[str, Any]:
        """What others are told of a cluster."""
        if planned.type != "host:index:KindCluster":
            return {}
        return {"kubeconfig": SecretValue("apiVersion: v1\nkind: Config\n")}


class SimulationError(Exception):
    """The stack cannot be simulated; one line that says why."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit as the command does; with 2 when it could not be run."""
    parser = argparse.ArgumentParser(prog="python -m stacks.commands.simulated", description=__doc__)
    parser.add_argument("--stack", required=True)
    parser.add_argument("--base", default="", help="revision that the stack is at before; none: it does not exist yet")
    parser.add_argument("command", nargs="+", metavar="-- COMMAND")
    given = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="mlp-simulated-") as folder:
            return run(given.stack, given.base, given.command, Path(folder))
    except (SimulationError, images.ImageError) as error:
        sys.stderr.write(f"{error}\n")
        return 2


def run(stack: str, base: str, command: Sequence[str], folder: Path) -> int:
    """Run a command in the simulation; what is kept about it goes into `folder`. Gives its exit code.

    Raises: SimulationError when there is no such stack or revision, or the revision's program fails.
    """
    backend = TemporaryBackend(folder / "backend")
    with simulate(backend, Aws(), Kubernetes(), Random(), Machine()) as variables:
        environment = _environment(variables, folder, stack)
        project = _project(CHECKOUT, folder / "project", stack)
        _pulumi(["stack", "init", stack], project, environment)
        if base:
            with revision(base, folder / "base") as checkout:
                _up(checkout, folder / "base-project", stack, environment)
        return subprocess.run(command, cwd=project, env=environment, check=False).returncode


@contextlib.contextmanager
def revision(name: str, folder: Path) -> Iterator[Path]:
    """A checkout of a revision for the time of a block.

    Raises: SimulationError when git knows no such revision.
    """
    git = ["git", "-C", str(CHECKOUT), "worktree"]
    added = subprocess.run([*git, "add", "--detach", str(folder), name], capture_output=True, text=True, check=False)
    if added.returncode != 0:
        raise SimulationError(f"there is no revision {name!r} to compare with: {added.stderr.strip().splitlines()[-1]}")
    try:
        yield folder
    finally:
        subprocess.run([*git, "remove", "--force", str(folder)], capture_output=True, check=True)


def _up(checkout: Path, folder: Path, stack: str, environment: Mapping[str, str]) -> None:
    """Bring the stack up as another checkout declares it; a revision without that stack leaves none behind."""
    if not (checkout / f"Pulumi.{stack}.yaml").exists():
        return
    project = _project(checkout, folder, stack)
    # Of a state that is thrown away only the end counts: it is not written after each resource.
    theirs = {**environment, "PYTHONPATH": str(checkout), "PULUMI_SKIP_CHECKPOINTS": "true"}
    _pulumi(["up", "--yes", "--skip-preview", "--non-interactive", "--stack", stack], project, theirs)


def _environment(variables: Mapping[str, str], folder: Path, stack: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PULUMI_")}
    return {**kept, **variables, "PULUMI_STACK": stack, IMAGES_VARIABLE: str(made_up_images(folder))}


def made_up_images(folder: Path) -> Path:
    """A file with every image, made up where `make images` has not pushed it."""
    made_up = {target: f"{MADE_UP}/{target}@sha256:{'0' * 64}" for target in get_args(images.Target)}
    file = folder / "images.json"
    file.write_text(json.dumps(made_up | images.references()))
    return file


def _project(checkout: Path, folder: Path, stack: str) -> Path:
    """A project that runs a checkout's program in this environment, and keeps what the CLI writes for itself."""
    file = checkout / f"Pulumi.{stack}.yaml"
    if not file.exists():
        raise SimulationError(f"there is no stack {stack!r}: {file.name} is missing")
    folder.mkdir()
    copy_project(checkout, folder, file, stack, virtualenv=Path(sys.prefix))
    copied = folder / file.name
    settings = yaml.safe_load(copied.read_text(encoding="utf-8"))
    copied.write_text(yaml.safe_dump({**settings, "config": with_made_up_secrets(settings["config"])}))
    return folder


def _pulumi(arguments: Sequence[str], project: Path, environment: Mapping[str, str]) -> None:
    done = subprocess.run(
        ["pulumi", *arguments], cwd=project, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        said = (done.stdout + done.stderr).strip()
        raise SimulationError(f"`pulumi {' '.join(arguments[:2])}` failed in the simulation:\n{said[-4000:]}")


if __name__ == "__main__":
    sys.exit(main())
