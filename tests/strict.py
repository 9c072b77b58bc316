"""Where `MLPLATFORM_STRICT` is set (CI), a test that was skipped because a tool is missing has failed."""

import os
from collections.abc import Generator

import pytest

ALLOWED = ("root may write everywhere", "a real node needs")
"""Reasons that no installation would remove."""


def _refuse(report: pytest.TestReport | pytest.CollectReport) -> None:
    if not (os.environ.get("MLPLATFORM_STRICT") and report.skipped and isinstance(report.longrepr, tuple)):
        return
    reason = report.longrepr[2]
    if not any(allowed in reason for allowed in ALLOWED):
        report.outcome = "failed"
        report.longrepr = f"skipped where nothing may be missing: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Judge skipped tests."""
    report = yield
    _refuse(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Judge skipped modules."""
    report = yield
    _refuse(report)
    return report
