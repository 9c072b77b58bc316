"""The loop on a running stack: every command of the runbooks, the fire drills, faults in the middle of a retrain."""

import json
import re
import shutil

import pytest

from infra.core import paths
from tests.e2e.retraining import RetrainingService
from tests.e2e.stack import REAL_DATA, LocalStack, ask, wait_until

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1200)]

SAMPLE = {"instances": [[45, 72000, 680, 3]]}
STORE = "artifact-store-server"
RUNBOOKS = sorted((paths.CHECKOUT / "docs" / "runbooks").glob("*.md"))


def commands():
    """Every command of the runbooks, once; first what gives the others something to work on, the drills last."""
    blocks = [block for file in RUNBOOKS for block in re.findall(r"```sh\n(.*?)```", file.read_text(), re.DOTALL)]
    found = dict.fromkeys(line.strip() for block in blocks for line in block.splitlines() if line.strip())
    return sorted(found, key=lambda command: (command == "make drill", command != "make retrain"))


@pytest.fixture(scope="module")
def stack():
    stack = LocalStack()
    stack.up()
    yield stack
    stack.make("down")
    shutil.rmtree(stack.state)


@pytest.fixture(scope="module")
def outputs(stack):
    return stack.outputs()


@pytest.fixture
def service(stack, outputs, tmp_path):
    assert outputs
    service = RetrainingService(stack, tmp_path)
    service.start()
    yield service
    service.stop()


@pytest.fixture
def champion(outputs):
    """Asks the registry which version is champion."""
    api = f"{outputs['mlflow_url']}/api/2.0/mlflow/registered-models/alias?name=loan-default-model&alias=champion"
    return lambda: ask(api).body["model_version"]["version"]


@pytest.fixture
def versions(outputs):
    """Counts the registered versions."""
    api = f"{outputs['mlflow_url']}/api/2.0/mlflow/model-versions/search?filter=name%3D%27loan-default-model%27"
    return lambda: len(ask(api).body["model_versions"])


@pytest.fixture
def serves(outputs):
    """Asks for a prediction that must be answered."""
    expected = ask(outputs["prediction_url"], SAMPLE).body

    def check():
        answer = ask(outputs["prediction_url"], SAMPLE)
        assert (answer.status, answer.body) == (200, expected)

    return check


@pytest.fixture(scope="module")
def drilled(stack, outputs, tmp_path_factory):
    """The stack with the drill's short durations, and the files that the runbooks speak of."""
    assert outputs
    stack.environ["DRILL"] = "1"
    stack.up()
    outcomes = tmp_path_factory.mktemp("runbooks") / "outcomes.json"
    outcomes.write_text(json.dumps({"outcomes": [{"request_id": "a-request-of-a-runbook", "outcome": 1}]}))
    yield {"path/to/mended.csv": str(REAL_DATA) if REAL_DATA.exists() else "generated", "outcomes.json": str(outcomes)}
    del stack.environ["DRILL"]
    stack.up()


EXPECTED = {
    "make retrain": '"status": "promoted"',
    "make rollback": '"served_seconds"',
    "make status": '"champion"',
    "make outputs": '"alertmanager_url"',
    "make doctor": "found their part at work",
    "make drill": "the loop closed in",
    'make stage RUN="python -m workloads.loan_default.registry --rollback"': '"version"',
    'make stage RUN="python -m workloads.loan_default.evidence"': "the chain holds",
    'make stage RUN="python -m workloads.loan_default.monitoring"': '"rows"',
    'make stage RUN="python -m workloads.loan_default.nightly"': '"parity_checked"',
    'make stage RUN="python -m workloads.loan_default.labels --import outcomes.json"': "1 outcomes stored",
}
"""What a command must print, where its exit status does not say enough."""


def test_what_is_expected_of_the_runbooks_commands_is_about_commands_that_they_hold():
    assert set(EXPECTED) <= set(commands())


@pytest.mark.parametrize("command", commands())
def test_a_command_of_the_runbooks_does_what_it_says(stack, drilled, command):
    line = command
    for written, real in drilled.items():
        line = line.replace(written, real)
    printed = stack.sh(line)
    assert EXPECTED.get(command, "") in printed
    if command == "make drill":
        print(printed)  # noqa: T201  the timelines, for the reader of a run with -s


def test_a_store_that_is_away_for_one_attempt_costs_that_attempt_and_the_next_one_promotes(
    stack, service, champion, versions, serves
):
    before, known = champion(), versions()
    with stack.without(STORE):
        retrain = service.retrain()
        wait_until(lambda: service.found(retrain)["attempts"] == 2, "the first attempt has failed", 120)
        serves()
    ended = service.ended(retrain)
    assert (ended["status"], ended["attempts"]) == ("promoted", 2)
    assert champion() == ended["version_after"] != before
    assert versions() == known + 1
    assert service.metric("loan_default_last_retrain_failed") == 0


def test_a_service_killed_in_the_middle_of_a_retrain_goes_on_with_it_and_there_are_never_two(
    service, champion, versions
):
    before, known = champion(), versions()
    retrain = service.retrain()
    wait_until(lambda: "features of" in service.log_of(retrain), "the pipeline trains", 180)
    service.kill()
    (orphan,) = service.pipelines(retrain)
    service.start()
    seen = set()

    def look():
        running = service.pipelines(retrain)
        assert len(running) <= 1
        seen.update(running)

    ended = service.ended(retrain, look)
    assert (ended["status"], ended["attempts"]) == ("promoted", 2)
    assert seen - {orphan}
    assert champion() == ended["version_after"] != before
    assert versions() == known + 1
    assert len(service.status()["recent"]) == 1
