"""The loop on a running stack: the registry goes away in the middle of a retrain. More of it: `make soak`."""

import pytest

from .retraining import RetrainingService
from .stack import ask, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]

SAMPLE = {"instances": [[45, 72000, 680, 3]]}
REGISTRY = "tracking-server"


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


def ask_quietly(question):
    try:
        return question()
    except (OSError, KeyError, TypeError):
        return None


def test_a_registry_that_goes_away_and_stays_away_fails_the_retrain_and_the_champion_keeps_serving(
    stack, service, champion, versions, serves
):
    before, known = champion(), versions()
    retrain = service.retrain()
    wait_until(lambda: service.pipelines(retrain), "the pipeline runs")
    with stack.without(REGISTRY):
        ended = service.ended(retrain, serves)
        assert (ended["status"], ended["attempts"]) == ("failed", 2)
        assert "2 attempts failed" in ended["detail"]
        assert service.metric("loan_default_last_retrain_failed") == 1
        serves()
    wait_until(lambda: ask_quietly(champion) == before, "the registry answers again")
    assert versions() == known
