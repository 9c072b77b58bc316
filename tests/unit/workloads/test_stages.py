"""The table of stages, the command that runs one of them, and the outcome that each leaves."""

import os

import pytest

from workloads.lifecycle.base.errors import DataError, GateError, WorkloadError
from workloads.lifecycle.base.identifiers import IdentifierError
from workloads.lifecycle.base.store import Store
from workloads.lifecycle.pipelines import outcome, stages
from workloads.lifecycle.pipelines.kubeflow import run_stage
from workloads.lifecycle.pipelines.stage import command
from workloads.lifecycle.pipelines.stages import Done, Session, Stage, named, run, table

RUN = "20261123T000000000000Z-0123456789ab"
ROW = {"name": "learn", "call": f"{__name__}:learn", "resources": {"cpu": "1", "memory": "1G"}}


@pytest.fixture
def called(monkeypatch):
    """Replaces the call of each stage of the table; holds what was given, and the error that the next one raises."""
    seen = {"error": None, "given": []}

    def call(_session, **given):
        seen["given"].append(given)
        if seen["error"] is not None:
            raise seen["error"]
        return Done(RUN, "5 rows", {"rows": 5})

    monkeypatch.setattr(stages.discovery, "load", lambda *_: call)
    return seen


@pytest.fixture
def process(environment, monkeypatch, called):
    """This process's environment is the test's; returns its store."""
    assert called
    for name in ("workload", "artifact_store_uri", "work_dir"):
        monkeypatch.setenv(name.upper(), str(getattr(environment, name)))
    return Store.open(environment)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([ROW, ROW], "stages.1.name: 'learn' is there already; rename one of them"),
        ([ROW | {"inputs": ["run_id"]}], "stages.0.inputs: 'learn' takes 'run_id', which is no argument of a run"),
        ([ROW | {"inputs": ["colour"]}], "stages.0.inputs.0: 'colour' has no form to check it by"),
        ([ROW | {"gives": "retrain"}], "stages.0.gives: 'retrain' is given already; leave it out"),
        ([ROW | {"name": "Learn"}], "stages.0.name: 'Learn' cannot name a stage"),
        ([ROW | {"call": "learn"}], "stages.0.call: 'learn' is no reference: write `package.module:attribute`"),
        ([ROW | {"image": "gpu"}], "stages.0.image: Input should be 'ingest' or 'workload' (got 'gpu')"),
        ([ROW | {"retries": 11}], "stages.0.retries: Input should be less than or equal to 10 (got 11)"),
        ([ROW | {"resources": {"cpu": "1", "memory": "lots"}}], "stages.0.resources.memory: "),
    ],
)
def test_wrong_table_is_refused_in_one_line(rows, message):
    with pytest.raises(WorkloadError) as caught:
        table(rows)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_call_of_a_stage_that_leads_nowhere_names_stage_and_reference(environment):
    stage = Stage.model_validate(ROW | {"call": "workloads.lifecycle.pipelines.calls:guess"})
    with pytest.raises(WorkloadError, match=r"stage learn: call='workloads.*:guess' leads nowhere"):
        run(stage, Session(environment), {}, "r1")


def test_calls_of_the_table_exist():
    for stage in stages.STAGES:
        assert callable(stages.discovery.load(stage.call, "call"))


def test_stage_that_ends_leaves_its_facts_and_its_answer(process):
    assert command(["ingest", "--run=r1"]) == RUN
    left = outcome.read(process, "r1", "ingest")
    assert (left.ended, left.answer, left.reason, left.facts) == ("succeeded", RUN, "5 rows", {"rows": 5})


@pytest.mark.parametrize(
    ("error", "ended"),
    [(GateError("AUC 0.5"), "refused"), (DataError("AUC 0.5"), "refused"), (WorkloadError("AUC 0.5"), "failed")],
)
def test_stage_that_an_error_ends_leaves_kind_and_text(process, called, error, ended):
    called["error"] = error
    with pytest.raises(WorkloadError):
        command(["ingest", "--run=r1"])
    left = outcome.read(process, "r1", "ingest")
    assert (left.ended, left.error.kind, left.error.text) == (ended, type(error).__name__, "AUC 0.5")


def test_killed_attempt_leaves_nothing_of_the_attempt_before(process, called):
    command(["ingest", "--run=r1"])
    called["error"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        command(["ingest", "--run=r1"])
    assert outcome.read(process, "r1", "ingest") is None


def test_outcome_is_printed_where_the_store_cannot_be_written(process, monkeypatch, capsys):
    assert process

    def full(*_):
        raise WorkloadError("No space left on device")

    monkeypatch.setattr(Store, "write", full)
    assert command(["ingest", "--run=r1"]) == RUN
    (found,) = filter(None, map(outcome.printed, capsys.readouterr().out.splitlines()))
    assert (found.stage, found.answer) == ("ingest", RUN)


def test_line_that_was_cut_short_is_no_printed_outcome():
    assert outcome.printed('[outcome] {"stage": "tra') is None
    assert outcome.printed("5 rows") is None


def test_kubeflow_component_passes_the_same_command_line(process, called):
    workload = os.environ["WORKLOAD"]
    given = f"--run=r1 --ingestion-run={RUN} --labelled-window="
    assert run_stage.python_func(workload, "train", given) == RUN
    assert called["given"] == [{"ingestion_run": RUN, "labelled_window": "", "unless": ""}]
    assert outcome.read(process, "r1", "train") is not None


@pytest.mark.parametrize(
    "arguments",
    [["train", "--ingestion-run=../x"], ["register", "--run-id=r1", "--retrain=a b"], ["ingest", "--run=.."]],
)
def test_value_of_another_form_is_refused_before_the_stage_runs(process, called, arguments):
    assert process
    with pytest.raises(IdentifierError, match="is refused; allowed: "):
        command(arguments)
    assert called["given"] == []


def test_stage_that_is_unknown_or_lacks_an_input_is_refused(process, capsys):
    assert process
    with pytest.raises(WorkloadError, match=r"there is no stage 'cook'; name one of ingest, train"):
        named("cook")
    with pytest.raises(SystemExit):
        command(["deploy"])
    assert "--version" in capsys.readouterr().err


def test_outcomes_of_the_newest_runs_are_kept(process, monkeypatch):
    monkeypatch.setattr(outcome, "KEPT_RUNS", 2)
    for number in range(4):
        command(["ingest", f"--run=r{9 - number}"])
        command(["train", f"--run=r{9 - number}", f"--ingestion-run={RUN}"])
    assert process.names("runs") == ["r6", "r7"]


def test_rows_of_one_process_are_read_once_for_train_and_validate(environment, monkeypatch):
    reads = []
    monkeypatch.setattr(
        "workloads.lifecycle.features.windows.training_set", lambda given: reads.append(given.ingestion_run)
    )
    session = Session(environment)
    for _ in range(2):
        session.training_set(session.reading(RUN, ""))
    assert reads == [RUN]


def test_outcome_holds_no_field_that_the_library_does_not_know(process):
    process.write(outcome.path("r1", "train"), b'{"stage": "train", "colour": 1}')
    with pytest.raises(DataError, match="is not what this workload wrote"):
        outcome.read(process, "r1", "train")
