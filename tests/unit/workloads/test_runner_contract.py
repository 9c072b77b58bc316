"""The contract of what runs the pipeline: in process, and by real servers; stages are stand-ins (`fake_stage.py`)."""

import json
import os
import stat
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import psutil
import pytest

from workloads.lifecycle.base.errors import WorkloadError
from workloads.lifecycle.pipelines import orchestrator
from workloads.lifecycle.pipelines.outcome import new_run
from workloads.lifecycle.retraining import runner as runners
from workloads.lifecycle.retraining.runner import LocalRunner, make

from .airflow_servers import Airflow

ON_HOST = [pytest.param("airflow", marks=[pytest.mark.tier("pipelines-on-host"), pytest.mark.timeout(900)])]
EVERY = ["in-process", *ON_HOST]
SERVERS = {"airflow": Airflow}
FAKE = Path(__file__).with_name("fake_stage.py")
RETRAIN = "5.1"
HOSTILE = "--retrain=9 '; touch owned; ' {{ 7*7 }} ü\n$(id)"


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    """Starts each server once."""
    made = {}

    def server(engine):
        if engine not in made:
            made[engine] = SERVERS[engine](tmp_path_factory.mktemp(engine))
        return made[engine]

    yield server
    for each in made.values():
        each.close()


class World:
    """A runner over stages that do what a test plans."""

    def __init__(self, folder, engine, environment, server):
        self.engine, self.folder, self.server = engine, folder, server
        python = folder / "python"
        python.write_text(f"#!{sys.executable}\n{FAKE.read_text()}")
        python.chmod(stat.S_IRWXU)
        self.python, self.environment = str(python), environment
        self.variables = {
            "FAKE_STAGES": str(folder),
            "ARTIFACT_STORE_URI": environment.artifact_store_uri,
            "PATH": os.environ["PATH"],
            "WORK_DIR": str(folder / "stages"),
        }
        (folder / "loan-default.json").write_text(json.dumps(self.variables))
        self.noted = []
        self.plan()

    def plan(self, **behaviours):
        (self.folder / "plan.json").write_text(json.dumps(behaviours))

    @property
    def runner(self):
        if self.engine == "in-process":
            return LocalRunner(self.environment, self.variables)
        return make(self.environment)

    def run(self, window="", handle=None, stopped=lambda: False):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(runners, "_SERVER_POLL_SECONDS", 0.2)
            patch.setattr(runners.sys, "executable", self.python)
            return self.runner.run(RETRAIN, window, handle, self.noted.append, stopped)

    def started(self, stage=None):
        log = self.folder / "log"
        lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        return [each for each in lines if stage in {None, each["stage"]}]

    def wait_for(self, stage, count=1):
        deadline = time.monotonic() + 120
        while len(self.started(stage)) < count and time.monotonic() < deadline:
            time.sleep(0.05)
        return [each["pid"] for each in self.started(stage)]


@pytest.fixture(scope="module")
def build(servers, environment_in):
    """Makes the world of an engine in a folder."""

    def made(folder, engine, **settings):
        server = None if engine == "in-process" else servers(engine)
        update = {} if server is None else {**server.variables(), "stage_environments": str(folder)}
        environment = environment_in(folder, retraining=settings).model_copy(update=update)
        return World(folder, engine, environment, server)

    return made


@pytest.fixture
def world(tmp_path, build):
    return partial(build, tmp_path)


@pytest.fixture(scope="module", params=EVERY)
def finished(request, build, tmp_path_factory):
    """A world in which every stage has succeeded once; a hostile text was the run's argument."""
    made = build(tmp_path_factory.mktemp("finished"), request.param)
    assert made.run(window=HOSTILE).ended == "succeeded"
    return made


def test_run_succeeds_once_every_stage_has_ended_in_order(finished):
    assert [each["stage"] for each in finished.started()] == [stage.name for stage in orchestrator.STAGES]


def test_hostile_argument_stays_one_argument(finished):
    (train,) = finished.started("train")
    given = train["arguments"]
    assert f"--labelled-window={HOSTILE}" in given or given[given.index("--labelled-window") + 1] == HOSTILE
    assert not list(finished.folder.rglob("owned"))


@pytest.mark.parametrize("finished", ON_HOST, indirect=True)
def test_answer_of_a_stage_is_an_argument_of_those_behind_it(finished):
    (train,) = finished.started("train")
    assert "--ingestion-run=ingest-answer" in train["arguments"]
    (register,) = finished.started("register")
    assert {"--run-id=train-answer", "--retrain=5"} <= set(register["arguments"])


@pytest.mark.parametrize("finished", ON_HOST, indirect=True)
def test_same_handle_twice_is_one_run(finished):
    (handle,) = finished.noted
    assert finished.run(handle=handle).ended == "succeeded"
    assert len(finished.started("ingest")) == 1


@pytest.mark.parametrize("finished", ON_HOST, indirect=True)
def test_edited_definition_is_rewritten_before_the_next_run(finished):
    (file,) = [each for each in finished.server.definitions.iterdir() if each.is_file()]
    before = file.read_text()
    file.write_text(before.replace("loan-default", "loan-defaults"))
    assert finished.run().ended == "succeeded"
    assert file.read_text() == before


def test_run_in_process_has_no_handle(world):
    made = world("in-process")
    made.run()
    assert made.noted == []


@pytest.mark.parametrize("engine", EVERY)
@pytest.mark.parametrize("ended", ["refused", "insufficient"])
def test_gate_text_reaches_the_caller_and_is_not_retried(world, engine, ended):
    made = world(engine)
    made.plan(validate=[ended, "succeeded"])
    outcome = made.run()
    assert outcome.ended == ended
    assert outcome.detail.startswith("stage validate: ")
    text = {"refused": "AUC 0.5 is below 0.75", "insufficient": "12 rows are too few"}[ended]
    assert text in outcome.detail
    assert len(made.started("validate")) == 1
    assert made.started("register") == []
    if made.server is not None:
        assert text in made.server.page(*made.noted, "validate")


@pytest.mark.parametrize("engine", EVERY)
def test_failure_is_not_a_refusal(world, engine):
    made = world(engine)
    made.plan(validate=["failed"])
    outcome = made.run()
    assert (outcome.ended, "no route to host" in outcome.detail) == ("failed", True)


@pytest.mark.parametrize("engine", ON_HOST)
def test_stage_is_tried_again_as_often_as_the_table_says(world, engine):
    made = world(engine)
    made.plan(ingest=["failed", "succeeded"], train=["refused"])
    assert made.run().ended == "refused"
    assert len(made.started("ingest")) == 2
    assert "no route to host" in made.server.page(*made.noted, "ingest")


@pytest.mark.parametrize("engine", EVERY)
def test_run_past_its_time_leaves_no_process(world, engine):
    made = world(engine, run_seconds=15)
    made.plan(train=["hangs"])
    outcome = made.run()
    assert (outcome.ended, "retraining.run_seconds" in outcome.detail) == ("failed", True)
    assert not any(psutil.pid_exists(each["pid"]) for each in made.started("train"))


@pytest.mark.parametrize("engine", ON_HOST)
def test_killed_scheduler_leaves_no_second_copy_of_a_stage(world, engine):
    made = world(engine, run_seconds=240)
    made.plan(train=["hangs", "succeeded"])
    ended = []
    thread = threading.Thread(target=lambda: ended.append(made.run()))
    thread.start()
    (first,) = made.wait_for("train")
    made.server.kill_scheduler()
    assert psutil.pid_exists(first)  # else nothing could have been left
    made.server.launch_scheduler()
    made.wait_for("train", 2)
    assert not psutil.pid_exists(first)
    thread.join()
    assert (ended[0].ended, len(made.started("train"))) == ("succeeded", 2)


@pytest.mark.parametrize("engine", ON_HOST)
def test_server_that_is_away_is_one_sentence(world, engine, monkeypatch):
    from workloads.lifecycle.pipelines import airflow  # noqa: PLC0415

    monkeypatch.setattr(airflow, "READ_SECONDS", 0.5)
    made = world(engine)
    away = made.environment.model_copy(update={f"{engine}_url": "http://127.0.0.1:9"})
    with pytest.raises(WorkloadError, match=r"^\w+ at http://127.0.0.1:9 did not answer within"):
        make(away).run(RETRAIN, "", new_run("loan-default"), made.noted.append, lambda: False)


def test_run_in_process_that_lost_its_service_is_cleared(world):
    made = world("in-process")
    made.plan(train=["hangs"])
    command = [made.python, "-m", "fake.kubeflow", "--local", "--run", "r-1"]
    with subprocess.Popen(command, env={**made.variables, runners.MARK: RETRAIN}) as orphan:
        (hanging,) = made.wait_for("train")
        made.runner.clear(RETRAIN)
        orphan.wait(20)
    assert not psutil.pid_exists(hanging)
