"""What a server that runs the pipeline does for its callers, whichever it is; and the table of stages as it gets it."""

import hashlib
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from workloads.lifecycle.base.environment import Environment
from workloads.lifecycle.base.errors import WorkloadError
from workloads.lifecycle.pipelines.stages import STAGES

CHECKOUT = Path(__file__).resolve().parents[3]
"""Where stages run."""

State = Literal["running", "succeeded", "failed"]


@dataclass(frozen=True)
class Seen:
    """A run as the server shows it now."""

    state: State
    """`running` includes waiting for its turn."""

    words: str = ""
    """What the server says about a failed run, one line."""


class Orchestrator(Protocol):
    """Every method raises WorkloadError, one line, when the server refuses or stays away."""

    def submit(self, run: str, window: str, retrain: str, unless: str) -> str:
        """Start the run of that name, or find it; returns what the server calls it.

        `window`, `retrain` and `unless` are the arguments of a run, `stages.ARGUMENTS`.
        """
        ...

    def look(self, run_id: str) -> Seen:
        """How a run does."""
        ...

    def terminate(self, run_id: str) -> None:
        """End a run and every process of its stages; one that has ended stays as it is."""
        ...


def table(environment: Environment) -> dict[str, Any]:
    """The table of stages as plain values, for a process that can import nothing of it; `version` is its digest."""
    workload = environment.definition
    file = Path(environment.need("stage_environments")) / f"{workload.name}.json"
    found: dict[str, Any] = {
        "name": workload.name,
        "description": workload.description,
        "place": {"python": sys.executable, "directory": str(CHECKOUT), "environment": str(file)},
        "stages": [
            {"name": stage.name, "inputs": list(stage.inputs), "gives": stage.gives, "retries": stage.retries}
            for stage in STAGES
        ],
    }
    text = json.dumps(found, sort_keys=True)
    return {**found, "version": hashlib.sha256(text.encode()).hexdigest()[:12]}


def write(file: Path, content: str) -> bool:
    """Put a definition where its server reads it, unless it is there as it should be; returns whether it was written.

    Raises: WorkloadError when the file cannot be written.
    """
    try:
        if file.is_file() and file.read_bytes() == content.encode():
            return False
        file.parent.mkdir(parents=True, exist_ok=True)
        candidate = file.with_name(f".{file.name}.{os.getpid()}")
        candidate.write_bytes(content.encode())
        candidate.replace(file)
    except OSError as error:
        raise WorkloadError(
            f"the pipeline's file {file} cannot be written: {error}; make its folder writable"
        ) from error
    return True
