"""Errors that a person can act on, and the one place that turns them into an exit status."""

import errno
import os
import re
import sys
import traceback
from collections.abc import Callable
from http import HTTPStatus
from typing import ClassVar

TELEMETRY_OFF = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
"""Turns the usage statistics of MLflow and Evidently off, which read these variables when they are imported."""

_SHOWN = 500
_JAVA_CAUSE = re.compile(r"^Caused by: (.+)$", re.MULTILINE)
_JAVA_PACKAGE = re.compile(r"^(?:[a-z_][\w]*\.)+(?=[A-Z])")
_SAYS_NOTHING = re.compile(r"^(?:[-=_*#\s]*|\s*at [\w.$]+\(.*\)|\s*\.\.\. \d+ more|JVM stacktrace:)$")


class WorkloadError(Exception):
    """A mistake or an outage outside this code; its text is one line that says what to do."""

    is_final: ClassVar[bool] = False
    """Whether another attempt would end the same way: the data or the model is at fault."""


class DataError(WorkloadError):
    """The input data breaks the contract; nothing was published."""

    is_final = True


class GateError(WorkloadError):
    """The release policy refused a model; the champion stays."""

    is_final = True


class InsufficientError(GateError):
    """The rows are too few for the release policy to decide about a model; the champion stays and more rows help."""


class UnchangedError(WorkloadError):
    """Data, code and settings are those that the champion learnt from, so nothing was trained; the champion stays."""

    is_final = True


class AliasMovedError(WorkloadError):
    """The registry's alias was moved by another process; nothing was moved here."""


class RequestError(Exception):
    """A request that gets no prediction; carries the status, the metric's reason and the sentence for the client."""

    def __init__(self, status: HTTPStatus, reason: str, message: str, retry_after_seconds: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds


def cause(error: BaseException) -> str:
    """One line with the root cause of an error: the first failure of the chain, without stack frames."""
    if isinstance(error, WorkloadError):
        return " ".join(str(error).split())
    chain = [error]
    while (before := chain[-1].__cause__ or chain[-1].__context__) is not None and before not in chain:
        chain.append(before)
    for each in chain:
        if isinstance(each, OSError) and each.errno in {errno.ENOSPC, errno.EDQUOT}:
            return f"{each.strerror}{f': {each.filename}' if each.filename else ''}"
    java = [found for each in chain for found in _JAVA_CAUSE.findall(str(each))]
    if java:
        return _JAVA_PACKAGE.sub("", java[-1].strip())[:_SHOWN]
    lines = [line.strip() for line in str(error).splitlines() if not _SAYS_NOTHING.match(line)]
    return f"{type(error).__name__}: {lines[0]}"[:_SHOWN] if lines else type(error).__name__


def run_command(command: Callable[[], None]) -> None:
    """Run a stage's command without usage statistics; an error becomes the last line on stderr and exit status 1.

    The stack trace of an error that this code did not expect is printed before it.
    """
    os.environ.update(TELEMETRY_OFF)
    try:
        command()
    except WorkloadError as error:
        sys.exit(f"error: {error}")
    except Exception as error:  # noqa: BLE001  the cause must not be hidden behind its stack trace
        traceback.print_exc()
        sys.exit(f"error: {cause(error)}")
