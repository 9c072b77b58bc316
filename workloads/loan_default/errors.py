"""The library's errors, under the name by which this workload's stages import them."""

from workloads.lifecycle.base.errors import (
    OUTCOME,
    TELEMETRY_OFF,
    AliasMovedError,
    DataError,
    GateError,
    WorkloadError,
    cause,
    report_failure,
    run_command,
)

__all__ = [
    "OUTCOME",
    "TELEMETRY_OFF",
    "AliasMovedError",
    "DataError",
    "GateError",
    "WorkloadError",
    "cause",
    "report_failure",
    "run_command",
]
