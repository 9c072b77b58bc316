"""This machine, as what realizations stand on; made once per stack in `stacks/composition.py`."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pulumi

from infra.host import Supervisor

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, kw_only=True)
class PythonEnvironment:
    """An installed Python environment of this checkout."""

    folder: Path
    """Its programs are in `bin`."""

    lock_sha256: str
    """Digest of what it was installed from: a server is started again when that changes."""

    def program(self, name: str) -> str:
        """Absolute path of one of its programs."""
        return str(self.folder / "bin" / name)


@dataclass(frozen=True, kw_only=True)
class Local:
    """This machine: processes below one supervisor, files below one folder."""

    supervisor: Supervisor

    checkout: Path
    """Root of the checkout; the processes' code is read from there."""

    python: str
    """Interpreter of the environment that this program and its provider run in."""

    search_path: str
    """PATH of the processes: the tools of the platform first."""

    keep_data: bool
    """Whether the stores' folders outlive the stack."""

    environment: Callable[[str], PythonEnvironment]
    """The environment of a kind, by its name (`infra.base.kind_environments`).

    Raises where it has no lock or is not installed, one sentence with the fix.
    """

    @property
    def kubernetes(self) -> None:
        """A machine has no cluster."""

    @property
    def aws(self) -> None:
        """Nor an account."""

    def program(self, *names: str) -> str:
        """The first of a program's names (distributions differ) that is on the search path; else the first."""
        return next((name for name in names if shutil.which(name, path=self.search_path)), names[0])

    def child(self, parent: pulumi.Resource, *needs: pulumi.Input[pulumi.Resource]) -> pulumi.ResourceOptions:
        """Options of a process of `parent`: it depends on the supervisor and on `needs`."""
        return pulumi.ResourceOptions(parent=parent, depends_on=[self.supervisor, *needs])
