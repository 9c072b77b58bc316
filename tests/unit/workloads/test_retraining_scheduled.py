"""A timer's retrain, from its own command to the ledger of the real service."""

import threading
import time
from types import SimpleNamespace

import pytest
import uvicorn

from workloads.lifecycle.base.errors import WorkloadError
from workloads.lifecycle.retraining.scheduled import REASON, ask
from workloads.lifecycle.retraining.service import Parts, Service

TOKEN = "a-token-that-nobody-guesses"


@pytest.fixture
def asking(environment, ledger):
    """The timer's variables, with the service at their address; its champion may be taken away."""
    champion, nothing = SimpleNamespace(version="1"), SimpleNamespace()
    parts = Parts(environment, ledger, champion, nothing, nothing, {TOKEN: "schedule"}, None, lambda: None)
    server = uvicorn.Server(uvicorn.Config(Service(parts).app(), host="127.0.0.1", port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    url = f"http://127.0.0.1:{port}/retrain"
    yield environment.model_copy(update={"retrain_url": url, "retrain_token": TOKEN}), champion
    server.should_exit = True
    thread.join()


def test_schedule_queues_one_retrain_in_the_ledger_of_all_promotions(asking, ledger):
    environment, _ = asking
    assert "accepted" in ask(environment)
    assert ledger.queued().reason == REASON


def test_it_is_content_with_one_that_waits_already(asking, ledger):
    environment, _ = asking
    assert [("accepted" in ask(environment)) for _ in range(2)] == [True, False]
    assert sum(ledger.counts().values()) == 1


def test_what_the_service_refuses_is_one_line_with_its_words(asking, ledger):
    environment, champion = asking
    champion.version = None
    with pytest.raises(WorkloadError, match=r"/retrain: 503: .*registry has not answered yet"):
        ask(environment)
    with pytest.raises(WorkloadError, match=r"/retrain: 401: .*bearer token"):
        ask(environment.model_copy(update={"retrain_token": "another-token-of-that-length"}))
    assert sum(ledger.counts().values()) == 0


def test_a_service_that_stays_away_is_named_with_its_variable(make_environment):
    environment = make_environment(deployment={"server_wait_seconds": 0.3}).model_copy(
        update={"retrain_url": "http://127.0.0.1:9/retrain", "retrain_token": TOKEN}
    )
    with pytest.raises(WorkloadError, match=r"retraining service \(RETRAIN_URL\) at http://127.0.0.1:9/readyz"):
        ask(environment)
