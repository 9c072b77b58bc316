"""A cluster, asked by the program `kubectl`."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

LABEL = "app.kubernetes.io/part-of=mlplatform"
"""On every object of the stack, controllers' namespaces included."""
SECONDS = 60


class ClusterError(Exception):
    """The cluster cannot be asked, or refuses; the text is what `kubectl` says last."""

    def __init__(self, said: str) -> None:
        super().__init__((said.strip().splitlines() or ["kubectl failed and said nothing"])[-1])
        self.said = said
        """Everything that `kubectl` says."""


class Kubectl:
    """The cluster that a kubeconfig leads to; a copy of it is kept in `folder` while this is used."""

    def __init__(self, kubeconfig: str, folder: Path) -> None:
        self._file = folder / "kubeconfig"
        self._file.touch(mode=0o600)
        self._file.write_text(kubeconfig)

    def run(self, *arguments: str, given: str = "", seconds: int = SECONDS) -> str:
        """What a command prints, with `given` on its standard input; raises ClusterError."""
        command = ["kubectl", "--kubeconfig", str(self._file), f"--request-timeout={seconds}s", *arguments]
        try:
            done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
        except FileNotFoundError as error:
            raise ClusterError("there is no `kubectl`: install it (https://kubernetes.io/docs/tasks/tools)") from error
        if done.returncode != 0:
            raise ClusterError(done.stderr)
        return done.stdout

    def get(self, kinds: str | Sequence[str], *flags: str) -> list[Mapping[str, Any]]:
        """Every object of some kinds; raises ClusterError."""
        named = kinds if isinstance(kinds, str) else ",".join(kinds)
        text = self.run("get", named, *flags, "--output=json", "--ignore-not-found")
        return list(json.loads(text)["items"]) if text.strip() else []
