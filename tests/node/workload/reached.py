"""A stack's servers as a program in the cluster's network reaches them: by names and addresses of Services."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_pulumi_kubernetes.real_node import RealNode

from tests.node.workload import program


@dataclass(frozen=True)
class Reached:
    """The servers that `make forward` would open ports for."""

    node: RealNode

    folder: Path

    outputs: dict[str, Any]

    def url(self, server: str) -> str:
        """Scheme, name and port of a server's Service."""
        found: str = self.outputs["forwards"][server]["url"]
        scheme, _, rest = found.partition("://")
        return f"{scheme}://{rest.partition('/')[0]}"

    def ask(self, server: str, path: str, body: Any = None, *, token: str = "", parse: bool = True) -> Any:
        """What a server answers: JSON, or its text."""
        post = ["--header", f"Authorization: Bearer {token}"] if token else []
        post += ["--json", json.dumps(body)] if body is not None else []
        command = ["curl", "--silent", "--show-error", "--fail-with-body", "--max-time", "60", *post]
        done = program.within(self.node, self.folder, [*command, self.url(server) + path])
        assert done.returncode == 0, f"{server}{path}: {done.stdout} {done.stderr}"
        return json.loads(done.stdout) if parse else done.stdout.strip()

    def predict(self, body: Any) -> Any:
        """The model's answer, by the v1 protocol."""
        return self.ask("model", "/v1/models/loan-default:predict", body)
