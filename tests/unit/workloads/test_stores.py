"""What doctor asks of the stores where a stage runs: an object goes in and out, and the champion can be served."""

import pytest

from workloads.lifecycle.base.errors import WorkloadError
from workloads.lifecycle.base.store import Store
from workloads.lifecycle.operations import stores


@pytest.fixture
def environment(make_environment, monkeypatch):
    monkeypatch.setattr(stores, "lost_champion", lambda _environment: None)
    return make_environment()


def test_object_goes_in_and_out_and_nothing_stays(environment):
    found = stores.check(environment)
    assert (found.store, found.champion) == (Store.open(environment).uri, "")
    assert Store.open(environment).names(stores.FOLDER) == []


def test_champion_that_is_lost_is_told_in_the_words_of_recovery(environment, monkeypatch):
    monkeypatch.setattr(stores, "lost_champion", lambda _environment: "the champion, version 3, is damaged")
    assert stores.check(environment).champion == "the champion, version 3, is damaged"


def test_store_that_takes_an_object_and_loses_it_is_a_failure(environment, monkeypatch):
    monkeypatch.setattr(Store, "read", lambda _store, _path: None)
    with pytest.raises(WorkloadError, match="the store loses objects"):
        stores.check(environment)
