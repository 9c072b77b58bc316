"""The Pulumi CLI as commands about a stack ask it."""

import json
import subprocess
from collections.abc import Sequence


class PulumiError(Exception):
    """The CLI refused; one line that says what, and its own words."""


def pulumi(words: Sequence[str]) -> str:
    """What a command prints. Raises PulumiError."""
    command = ["pulumi", *words, "--non-interactive"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise PulumiError(f"`{' '.join(command[:3])}` failed: {done.stderr.strip()}")
    return done.stdout


def exists(stack: str) -> bool:
    """Whether the backend knows the stack. Raises PulumiError."""
    return stack in [each["name"].split("/")[-1] for each in json.loads(pulumi(["stack", "ls", "--json"]))]
