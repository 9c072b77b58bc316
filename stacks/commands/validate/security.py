"""Checkov over the objects that a stack makes on Kubernetes, in an environment of its own; it downloads nothing."""

import json
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stacks.commands.validate import judging
from stacks.commands.validate.judges.built_in import built_in
from stacks.commands.validate.verdict import Finding

LIMIT_SECONDS = 300
"""After which checkov is taken to hang; on a quiet machine it needs 8 s."""


def judge(resources: Sequence[dict[str, Any]]) -> tuple[list[Finding], dict[str, int]]:
    """Every check that fails, and how many objects were judged. Raises: judging.ValidatorsError."""
    python = judging.python("checkov")
    objects = [(each["name"], found) for each in resources if (found := built_in(each)) is not None]
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, found) in enumerate(objects):
            made = {**found, "metadata": {"name": name, **found.get("metadata", {})}}
            (Path(folder) / f"{number}.json").write_text(json.dumps(made, default=str), encoding="utf-8")
        options = ["--framework", "kubernetes", "--skip-download", "--compact", "--quiet", "--output", "json"]
        command = [str(python), "-m", "checkov.main", "--directory", folder, *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT_SECONDS)
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise judging.ValidatorsError(f"checkov failed: {last}; {judging.HINT}, or report it") from None
    found_at = {f"/{number}.json": (found["kind"], name) for number, (name, found) in enumerate(objects)}
    return [_finding(each, found_at) for each in _failed(answer)], {"objects by checkov": len(objects)}


def _failed(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """The checks that failed; without anything to check the answer has counts alone."""
    found: list[dict[str, Any]] = answer.get("results", {}).get("failed_checks", [])
    return found


def _finding(check: dict[str, Any], found_at: dict[str, tuple[str, str]]) -> Finding:
    kind, name = found_at["/" + check["file_path"].rpartition("/")[2]]
    return {"judge": "checkov", "rule": check["check_id"], "where": f"{kind} {name}", "message": check["check_name"]}
