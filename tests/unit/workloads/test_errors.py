import errno
import os

import pytest
from mlflow.telemetry import utils

from workloads.lifecycle.base.errors import (
    TELEMETRY_OFF,
    DataError,
    WorkloadError,
    cause,
    run_command,
)

SPARK = """An error occurred while calling o87.parquet.
: org.apache.spark.SparkException: Job aborted.
\tat org.apache.spark.sql.errors.QueryExecutionErrors$.jobAbortedError(QueryExecutionErrors.scala:638)
\t... 42 more
Caused by: java.util.concurrent.ExecutionException: writing failed
\tat java.base/java.util.concurrent.FutureTask.report(FutureTask.java:122)
Caused by: java.io.IOException: No space left on device
\tat java.base/sun.nio.ch.FileDispatcherImpl.write0(Native Method)
"""


def raised(error, before):
    """The error as it is when it is raised while another one is handled."""
    error.__context__ = before
    return error


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (DataError("line 7 is\nbad"), "line 7 is bad"),
        (OSError(errno.ENOSPC, "No space left on device", "/x/y"), "No space left on device: /x/y"),
        (raised(RuntimeError("upload failed"), OSError(28, "No space left on device")), "No space left on device"),
        (raised(DataError("no rows"), OSError(28, "No space left on device")), "no rows"),
        (RuntimeError(SPARK), "IOException: No space left on device"),
        (raised(KeyError("x"), RuntimeError(SPARK)), "IOException: No space left on device"),
        (RuntimeError("------\n\n\tat a.b.C(D.java:1)\nthe words"), "RuntimeError: the words"),
        (MemoryError(), "MemoryError"),
        (RuntimeError("-----"), "RuntimeError"),
    ],
)
def test_cause_is_one_line_without_frames(error, text):
    assert cause(error) == text


def test_cause_of_a_circular_chain_ends():
    first, second = RuntimeError("one"), RuntimeError("two")
    first.__context__, second.__context__ = second, first
    assert cause(first) == "RuntimeError: one"


def test_unexpected_error_of_a_command_ends_with_its_cause(capsys):
    def command():
        raise OSError(28, "No space left on device")

    with pytest.raises(SystemExit) as caught:
        run_command(command)
    assert caught.value.code == "error: No space left on device"
    assert "Traceback" in capsys.readouterr().err


def test_expected_error_of_a_command_has_no_stack_trace(capsys):
    def command():
        raise WorkloadError("OPA does not answer")

    with pytest.raises(SystemExit) as caught:
        run_command(command)
    assert (caught.value.code, capsys.readouterr().err) == ("error: OPA does not answer", "")


def test_command_runs_without_usage_statistics(monkeypatch):
    for name in TELEMETRY_OFF:
        monkeypatch.setenv(name, "false")
    seen = {}
    run_command(lambda: seen.update(os.environ))
    assert TELEMETRY_OFF.items() <= seen.items()


@pytest.mark.parametrize("name", TELEMETRY_OFF)
def test_mlflow_understands_each_telemetry_switch_alone(monkeypatch, name):
    for each in TELEMETRY_OFF:
        monkeypatch.delenv(each, raising=False)
    monkeypatch.setattr(utils, "_IS_IN_CI_ENV_OR_TESTING", False)
    assert utils.is_telemetry_disabled() is False
    monkeypatch.setenv(name, TELEMETRY_OFF[name])
    assert utils.is_telemetry_disabled() is True
