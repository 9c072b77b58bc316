"""The loop on a running stack: what goes away in the middle of a retrain."""

import pytest

from .retraining import RetrainingService
from .stack import ask, wait_until

pytestmark = pytest.mark.timeout(1200)

SAMPLE = {"instances": [[45, 72000, 680, 3]]}
REGISTRY, STORE = "tracking-server", "artifact-store-server"


@pytest.fixture
def service(stack, outputs, tmp_path):
    assert outputs
    service = RetrainingService(stack, tmp_path)
    service.start()
    yield service
    service.stop()


@pytest.fixture
def champion(stack, outputs):
    """Asks the registry which version is champion."""
    api = f"{outputs['mlflow_url']}/api/2.0/mlflow/registered-models/alias?name=loan-default-model&alias=champion"
    return lambda: ask(api, login=stack.login("mlflow")).body["model_version"]["version"]


@pytest.fixture
def versions(stack, outputs):
    """Counts the registered versions."""
    api = f"{outputs['mlflow_url']}/api/2.0/mlflow/model-versions/search?filter=name%3D%27loan-default-model%27"
    return lambda: len(ask(api, login=stack.login("mlflow")).body["model_versions"])


@pytest.fixture
def serves(outputs):
    """Asks for a prediction that must be answered."""
    expected = ask(outputs["prediction_url"], SAMPLE).body

    def check():
        answer = ask(outputs["prediction_url"], SAMPLE)
        assert (answer.status, answer.body) == (200, expected)

    return check


def ask_quietly(question):
    try:
        return question()
    except (OSError, KeyError, TypeError):
        return None


@pytest.mark.e2e
def test_lost_registry_fails_the_retrain_and_champion_keeps_serving(stack, service, champion, versions, serves):
    before, known = champion(), versions()
    retrain = service.retrain()
    wait_until(lambda: service.pipelines(retrain), "the pipeline runs")
    with stack.without(REGISTRY):
        ended = service.ended(retrain, serves)
        assert (ended["status"], ended["attempts"]) == ("failed", 2)
        assert "2 attempts failed" in ended["detail"]
        assert service.metric("mlplatform_last_retrain_failed") == 1
        serves()
    wait_until(lambda: ask_quietly(champion) == before, "the registry answers again")
    assert versions() == known


@pytest.mark.soak
def test_store_outage_costs_one_attempt_and_the_next_one_promotes(stack, service, champion, versions, serves):
    before, known = champion(), versions()
    with stack.without(STORE):
        retrain = service.retrain()
        wait_until(lambda: service.found(retrain)["attempts"] == 2, "the first attempt has failed", 120)
        serves()
    ended = service.ended(retrain)
    assert (ended["status"], ended["attempts"]) == ("promoted", 2)
    assert champion() == ended["version_after"] != before
    assert versions() == known + 1
    assert service.metric("mlplatform_last_retrain_failed") == 0


@pytest.mark.soak
def test_killed_service_resumes_its_retrain_and_never_makes_two(service, champion, versions):
    before, known = champion(), versions()
    retrain = service.retrain()
    wait_until(lambda: "stage train begins" in service.log_of(retrain), "the pipeline trains", 180)
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
