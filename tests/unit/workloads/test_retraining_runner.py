import os
import subprocess
import time
from datetime import UTC, datetime

import pytest

from workloads.lifecycle.base.errors import DataError, GateError, InsufficientError, WorkloadError
from workloads.lifecycle.base.store import Store
from workloads.lifecycle.pipelines import outcome
from workloads.lifecycle.pipelines.outcome import PRINTED, StageOutcome
from workloads.lifecycle.pipelines.stages import STAGES
from workloads.lifecycle.retraining import runner as runners
from workloads.lifecycle.retraining.runner import MARK, LocalRunner, Outcome, judge, marked

SUCCEEDED = Outcome("succeeded", "")


@pytest.fixture
def left(environment):
    """Leaves outcomes of a run in the store: an error each, or None for a success; returns the judgement."""

    def judged(*errors, printed=()):
        for stage, error in zip(STAGES, errors, strict=False):
            outcome.write(Store.open(environment), "run-1", stage_outcome(stage.name, error))
        return judge(environment, "run-1", "exit status 1", {each.stage: each for each in printed})

    return judged


def stage_outcome(stage, error=None):
    if error is not None:
        return StageOutcome.of_error(stage, error)
    return StageOutcome(stage=stage, ended="succeeded", reason="done", ended_at=datetime.now(UTC))


def test_refusal_of_the_gate_is_final(left):
    assert left(None, None, GateError("AUC 0.5825 is below 0.75")) == Outcome(
        "refused", "stage validate: AUC 0.5825 is below 0.75"
    )


def test_gate_that_has_too_few_rows_ends_the_run_by_that_name(left):
    assert left(None, None, InsufficientError("AUC may be below 0.75")) == Outcome(
        "insufficient", "stage validate: AUC may be below 0.75"
    )


def test_outage_of_a_stage_may_go_better_another_time(left):
    assert left(WorkloadError("OPA did not decide")) == Outcome("failed", "stage ingest: OPA did not decide")


def test_killed_stage_left_no_outcome_and_is_named(left):
    assert left(None) == Outcome("failed", "stage train left no outcome, so it never ran or was killed; exit status 1")


def test_run_that_failed_behind_its_stages_says_so(left):
    assert left(*[None] * len(STAGES)).detail == "every stage succeeded, but exit status 1"


def test_printed_outcome_counts_where_the_store_is_away(left, monkeypatch):
    def away(*_):
        raise WorkloadError("the store is away")

    monkeypatch.setattr(Store, "read", away)
    printed = [stage_outcome("ingest"), stage_outcome("train", DataError("no rows"))]
    assert left(printed=printed) == Outcome("refused", "stage train: no rows")
    assert left() == Outcome("failed", "exit status 1; the outcome of stage ingest cannot be read: the store is away")


def local_runner(make_environment, monkeypatch, program, **settings):
    monkeypatch.setattr(runners.sys, "executable", str(program))
    environment = make_environment(retraining=settings)
    return LocalRunner(environment, {"PATH": os.environ["PATH"], "RETRAIN_TOKEN": "secret"})


def script(tmp_path, text):
    path = tmp_path / "python"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_the_pipelines_processes_do_not_get_the_services_token(make_environment, monkeypatch, tmp_path):
    runner = local_runner(make_environment, monkeypatch, script(tmp_path, f"env > {tmp_path}/env"))
    assert runner.run("r1", "w", None, print, lambda: False) == SUCCEEDED
    text = (tmp_path / "env").read_text()
    assert f"{MARK}=r1" in text
    assert "secret" not in text


def test_a_run_past_its_time_ends_with_all_of_its_processes(make_environment, monkeypatch, tmp_path):
    program = script(tmp_path, "sleep 300 & wait")
    runner = local_runner(make_environment, monkeypatch, program, run_seconds=1.0)
    ended = runner.run("r-timeout", "", None, print, lambda: False)
    assert (ended.ended, "run_seconds" in ended.detail) == ("failed", True)
    assert marked("r-timeout") == []


def test_orphans_of_a_killed_service_are_ended_before_the_next_run(make_environment, monkeypatch, tmp_path):
    orphan = subprocess.Popen(
        ["sh", "-c", "sleep 300 & wait"], env={**os.environ, MARK: "r-orphan"}, start_new_session=True
    )
    deadline = time.monotonic() + 10
    while len(marked("r-orphan")) < 2:
        assert time.monotonic() < deadline
    runner = local_runner(make_environment, monkeypatch, script(tmp_path, "true"))
    runner.clear("r-orphan")
    orphan.wait(timeout=10)
    assert marked("r-orphan") == []


def test_cause_survives_a_log_that_cannot_be_written(make_environment, monkeypatch, tmp_path):
    printed = [stage_outcome("ingest"), stage_outcome("train", OSError(28, "No space left on device"))]
    said = "\n".join(f"echo '{PRINTED}{each.model_dump_json()}'" for each in printed)
    runner = local_runner(make_environment, monkeypatch, script(tmp_path, f"{said}; exit 1"))
    log = make_environment().work / "retrains" / "r1.log"
    log.parent.mkdir(parents=True)
    log.symlink_to("/dev/full")
    ended = runner.run("r1", "", None, print, lambda: False)
    assert ended == Outcome("failed", f"stage train: No space left on device (log: {log})")


def test_local_run_without_outcomes_gives_exit_status_and_last_line(make_environment, monkeypatch, tmp_path):
    runner = local_runner(make_environment, monkeypatch, script(tmp_path, "echo MLflow is away; echo; exit 3"))
    detail = runner.run("r1", "", None, print, lambda: False).detail
    assert "stage ingest left no outcome" in detail
    assert "exit status 3: MLflow is away" in detail
