"""Stages as child processes of an orchestrator, and the table of stages as it gets it."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from infra.base import paths
from workloads.lifecycle.pipelines import airflow, orchestrator, stage_process
from workloads.lifecycle.pipelines.stage_process import Place, StageFailedError, StageRefusedError

FAKE = Path(__file__).with_name("fake_stage.py")


@pytest.fixture
def place(tmp_path):
    python = tmp_path / "python"
    python.write_text(f"#!{sys.executable}\n{FAKE.read_text()}")
    python.chmod(0o700)
    variables = {
        "FAKE_STAGES": str(tmp_path),
        "ARTIFACT_STORE_URI": f"file://{tmp_path}/store",
        "PATH": os.environ["PATH"],
        "WORK_DIR": str(tmp_path / "work"),
    }
    (tmp_path / "variables.json").write_text(json.dumps(variables))
    plan(tmp_path)
    return Place(str(python), str(tmp_path), str(tmp_path / "variables.json"))


def plan(folder, **behaviours):
    (folder / "plan.json").write_text(json.dumps(behaviours))


def run(place, stage="train", **values):
    said = []
    return stage_process.run(place, stage, "run-1", values, said.append), said


def test_answer_and_output_of_a_stage_reach_its_parent(place):
    found, said = run(place)
    assert (found["answer"], said) == ("train-answer", ["stage train begins"])


@pytest.mark.parametrize(
    ("ended", "error", "text"),
    [
        ("refused", StageRefusedError, "stage train refused: AUC 0.5 is below 0.75"),
        ("insufficient", StageRefusedError, "stage train insufficient: 12 rows are too few"),
        ("failed", StageFailedError, r"stage train failed \(exit status 1\): no route to host"),
    ],
)
def test_reason_of_a_stage_that_did_not_succeed_is_the_error(place, tmp_path, ended, error, text):
    plan(tmp_path, train=[ended])
    with pytest.raises(error, match=text) as raised:
        run(place)
    assert type(raised.value) is error


@pytest.mark.parametrize("window", ["'; touch owned; '", "--retrain=9", "$(id)", "a\nb", "ü"])
def test_hostile_value_is_one_argument_of_the_stage(place, tmp_path, window):
    run(place, labelled_window=window)
    (line,) = (tmp_path / "log").read_text().splitlines()
    assert f"--labelled-window={window}" in json.loads(line)["arguments"]
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("value", [7, None, ["a"], "a\0b"])
def test_value_that_is_no_text_is_refused_before_the_stage_starts(place, tmp_path, value):
    with pytest.raises(StageRefusedError, match="labelled_window is"):
        run(place, labelled_window=value)
    assert not (tmp_path / "log").exists()


@pytest.mark.parametrize("run_id", ["", "../x", "a b", "a" * 129])
def test_run_whose_name_cannot_be_a_path_is_refused(place, run_id):
    with pytest.raises(StageRefusedError, match=r"run .* cannot be used"):
        stage_process.run(place, "train", run_id, {})


def test_missing_variables_are_one_sentence_with_the_fix(tmp_path, place):
    gone = Place(place.python, place.directory, str(tmp_path / "gone.json"))
    with pytest.raises(StageFailedError, match=r"cannot be read .* `make up` writes them"):
        run(gone)


def hanging(place, tmp_path):
    """Starts a stage that hangs, in a thread; returns the thread, its errors, and the pid."""
    plan(tmp_path, train=["hangs", "succeeded"])
    errors = []

    def call():
        try:
            run(place)
        except StageFailedError as error:
            errors.append(str(error))

    thread = threading.Thread(target=call)
    thread.start()
    log, deadline = tmp_path / "log", time.monotonic() + 30
    while not (log.exists() and log.read_text().endswith("\n")) and time.monotonic() < deadline:
        time.sleep(0.02)
    return thread, errors, json.loads(log.read_text().splitlines()[0])["pid"]


def test_second_start_of_a_stage_ends_the_first_one(place, tmp_path):
    thread, errors, pid = hanging(place, tmp_path)
    found, _ = run(place)
    thread.join()
    assert found["answer"] == "train-answer"
    assert not psutil.pid_exists(pid)
    assert "left no outcome, so it was killed" in errors[0]


def test_ended_run_leaves_no_stage_and_no_lock(place, tmp_path):
    thread, _, pid = hanging(place, tmp_path)
    stage_process.end_run("run-1")
    thread.join()
    assert not psutil.pid_exists(pid)
    assert list((tmp_path / "work" / "locks").iterdir()) == []


def test_server_ends_what_an_earlier_one_of_its_name_left():
    module = [sys.executable, "-m", "workloads.lifecycle.pipelines.stage_process", "--server"]
    sleeper = ["sleep", "600"]
    with subprocess.Popen([*module, "here", "--", *sleeper], cwd=paths.CHECKOUT) as first:
        while not stage_process.marked("here", stage_process.SERVER_MARK):
            time.sleep(0.05)
        other = [*module, "elsewhere", "--", "true"]
        assert subprocess.run(other, cwd=paths.CHECKOUT, check=True).returncode == 0
        assert first.poll() is None
        done = subprocess.run([*module, "here", "--", "true"], cwd=paths.CHECKOUT, capture_output=True, check=True)
        assert first.wait(20) == -15
    assert b"ended 1 processes that an earlier here left" in done.stdout


def test_airflow_file_holds_the_table_and_compiles(environment, tmp_path):
    given = environment.model_copy(update={"stage_environments": str(tmp_path)})
    text = airflow.content(given)
    compile(text, "loan-default.py", "exec")
    held = json.loads(eval(text.partition("json.loads(")[2].rpartition("))")[0]))
    assert held == orchestrator.table(given)
    assert [each["name"] for each in held["stages"]] == [stage.name for stage in orchestrator.STAGES]


def test_definition_is_written_only_where_it_differs(tmp_path):
    file = tmp_path / "new" / "dag.py"
    assert orchestrator.write(file, "a")
    assert not orchestrator.write(file, "a")
    file.write_bytes(b"\xff")
    assert orchestrator.write(file, "a")
    assert file.read_text() == "a"


def test_modules_for_an_orchestrator_need_no_library_of_stages():
    code = (
        "import sys, workloads.lifecycle.pipelines.stage_process; "
        "print(sorted({'pydantic', 'pyarrow', 'httpx', 'mlflow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=paths.CHECKOUT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
