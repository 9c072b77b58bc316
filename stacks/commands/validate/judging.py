"""Runs the validators, which live in an environment of their own, and gives what they find."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from infra.base import paths
from stacks.commands.validate.verdict import Finding

HINT = "run `python3 -m tools.install judges checkov`"
LIMIT_SECONDS = 600
"""After which validators are taken to hang; on a quiet machine they need 20 s."""


class ValidatorsError(Exception):
    """The validators could not be asked; one line that says why."""


def python(environment: str = "judges") -> Path:
    """The interpreter of the environment of the validators, or of another one.

    Raises: ValidatorsError when it is not installed.
    """
    found = paths.environment_dir(environment) / "bin" / "python"
    if not found.exists():
        raise ValidatorsError(f"the validators are not installed: {HINT}")
    return found


def judge(
    resources: Sequence[dict[str, Any]], region: str | None, kubernetes: str
) -> tuple[list[Finding], dict[str, int]]:
    """Every finding, and how many things each validator was given.

    `region`: None where nothing is on AWS. `kubernetes`: version, e.g. `1.36`.
    Raises: ValidatorsError.
    """
    given = json.dumps({"resources": list(resources), "region": region, "kubernetes": kubernetes}, default=str)
    command = [str(python()), "-m", "stacks.commands.validate.judges"]
    done = subprocess.run(
        command, input=given, capture_output=True, text=True, check=False, cwd=paths.CHECKOUT, timeout=LIMIT_SECONDS
    )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise ValidatorsError(f"the validators failed: {last}; {HINT}, or report it")
    answer = json.loads(done.stdout)
    return answer["findings"], answer["judged"]
