"""Waiting for the artifact store; waiting for the servers is tested by the stages that need them."""

import re

import pytest

from workloads.lifecycle.base import servers
from workloads.lifecycle.base.errors import WorkloadError
from workloads.lifecycle.base.servers import wait_for_store
from workloads.lifecycle.base.store import Store


@pytest.fixture
def store(monkeypatch):
    """What the store answers next: an error while it is away."""
    state = {"away": 0, "asked": 0}

    def names(_store, _prefix):
        state["asked"] += 1
        if state["asked"] <= state["away"]:
            raise WorkloadError("artifact store: connection refused")
        return []

    monkeypatch.setattr(Store, "names", names)
    monkeypatch.setattr(servers, "_PAUSE_SECONDS", 0.001)
    return state


def test_a_store_that_comes_back_is_waited_for(environment, store):
    store["away"] = 3
    wait_for_store(environment)
    assert store["asked"] == 4


def test_a_store_that_stays_away_is_one_line_that_names_it(make_environment, store):
    store["away"] = 1_000_000
    environment = make_environment(deployment={"server_wait_seconds": 0.05})
    with pytest.raises(WorkloadError, match=r"the artifact store at file:///.*/loan-default did not answer within 0 s"):
        wait_for_store(environment)


def test_waiting_process_names_what_it_waits_for(make_environment, store, monkeypatch, capsys):
    store["away"] = 20
    monkeypatch.setattr(servers, "_TOLD_SECONDS", 0.005)
    wait_for_store(make_environment(deployment={"server_wait_seconds": 180}))
    told = capsys.readouterr().err.splitlines()
    assert told
    assert re.fullmatch(r"waiting for the artifact store at file:///.*/loan-default: 0 s of 180 s", told[0])
