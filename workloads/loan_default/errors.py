"""Errors that a person can act on, and the one place that turns them into an exit status."""

import sys
from collections.abc import Callable


class WorkloadError(Exception):
    """A mistake or an outage outside this code; its text is one line that says what to do."""


class DataError(WorkloadError):
    """The input data breaks the contract; nothing was published."""


class GateError(WorkloadError):
    """The release policy refused a model; the champion stays."""


def run_command(command: Callable[[], None]) -> None:
    """Run a stage's command; a `WorkloadError` becomes one line on stderr and exit status 1."""
    try:
        command()
    except WorkloadError as error:
        sys.exit(f"error: {error}")
