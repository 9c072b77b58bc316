"""The order of a release, and that it and the retraining service share one running place."""

import httpx
import pytest

from workloads.lifecycle.base import metrics
from workloads.lifecycle.base.errors import DataError, GateError
from workloads.lifecycle.base.store import Store
from workloads.lifecycle.ingestion import ingest
from workloads.lifecycle.ingestion.ingest import current, refuse_few
from workloads.lifecycle.pipelines import deployment, nightly, outcome, release
from workloads.lifecycle.pipelines.deployment import Deployed
from workloads.lifecycle.registry import versions
from workloads.lifecycle.registry.verdict import Verdict
from workloads.lifecycle.registry.versions import Registered
from workloads.lifecycle.retraining.ledger import Ledger
from workloads.lifecycle.retraining.release import alone
from workloads.lifecycle.training import train
from workloads.lifecycle.training.train import Trained
from workloads.lifecycle.validation import gate

ANSWERS = {"vector_prediction": 0.3, "keys": {"CustomerID": 1}, "keys_prediction": 0.3}


def stages(monkeypatch, candidate, reasons=()):
    """Replaces the stages that need servers; returns what training learnt from and what register found published."""
    seen = {}

    def fit(_environment, data):
        seen["trained on"] = data.ingested.run
        return Trained(run_id="run", data_hash=data.ingested.data_hash, metrics={"test_auc": 0.7})

    def name(environment, _run_id):
        seen["published at register"] = current(Store.open(environment)).run
        return Registered(version="1", previous=None, evidence="")

    monkeypatch.setattr(ingest, "ingest", lambda _: candidate)
    monkeypatch.setattr(release, "pinned_version", lambda _: None)
    monkeypatch.setattr(train, "train", fit)
    monkeypatch.setattr(gate, "validate", lambda *_: Verdict(allowed=not reasons, reasons=reasons, bias={}))
    monkeypatch.setattr(versions, "register", name)
    monkeypatch.setattr(deployment, "deploy", lambda _, version: Deployed(version=version, **ANSWERS))
    return seen


def test_approved_release_publishes_its_features_before_registering(copy, candidate, monkeypatch):
    seen = stages(monkeypatch, candidate)
    assert release.release(copy).version == "1"
    (run,) = Store.open(copy).names("runs")
    left = {stage: outcome.read(Store.open(copy), run, stage) for stage in Store.open(copy).names(f"runs/{run}")}
    assert {stage: each.ended for stage, each in left.items()} == dict.fromkeys(
        ("deploy", "features", "ingest", "register", "train", "validate"), "succeeded"
    )
    assert left["ingest"].facts["data_hash"] == candidate.data_hash
    assert seen == {"trained on": candidate.run, "published at register": candidate.run}


def test_refused_release_leaves_the_published_features(copy, world, candidate, monkeypatch):
    seen = stages(monkeypatch, candidate, ("AUC is 0.5",))
    with pytest.raises(GateError, match=r"AUC is 0.5; the champion and the published features stay"):
        release.release(copy)
    assert seen == {"trained on": candidate.run}
    assert current(Store.open(copy)) == world.ingested


def test_nightly_run_publishes_what_passes_the_data_checks(copy, candidate, monkeypatch):
    monkeypatch.setattr(nightly, "ingest", lambda _: candidate)
    assert nightly.run(copy).run == candidate.run
    assert current(Store.open(copy)) == candidate


def test_nightly_run_keeps_the_published_run_when_rows_are_missing(copy, world, candidate, monkeypatch):
    def missing_rows(environment):
        few = candidate.model_copy(update={"rows": 10})
        refuse_few(few, current(Store.open(environment)), environment.settings.ingestion)

    monkeypatch.setattr(nightly, "ingest", missing_rows)
    with pytest.raises(DataError, match=r"10 accepted rows"):
        nightly.run(copy)
    assert current(Store.open(copy)) == world.ingested


def test_while_a_release_runs_no_retrain_begins(environment, tmp_path):
    url = f"sqlite:///{tmp_path}/retraining.db"
    ledger = Ledger(url)
    ledger.submit(alert="a:1", reason="drift", version="1", cooldown_seconds=0)
    with alone(environment.model_copy(update={"retrain_database": url})):
        assert ledger.take(0) is None
    assert ledger.take(0) is not None
    ledger.close()


def test_a_release_without_a_ledger_waits_for_nobody(environment):
    with alone(environment) as held:
        assert held is None


@pytest.mark.parametrize(("exposed", "pinned"), [(f'{metrics.MODEL_PINNED}{{version="2"}} 1.0\n', "2"), ("", None)])
def test_release_asks_the_model_server_for_a_pinned_version(environment, monkeypatch, exposed, pinned):
    monkeypatch.setattr(release, "wait_for_model_server", lambda _: None)
    monkeypatch.setattr(
        httpx, "get", lambda url, **_: httpx.Response(200, text=exposed, request=httpx.Request("GET", url))
    )
    served = environment.model_copy(update={"model_url": "http://model/v1/models/loan-default"})
    assert release.pinned_version(served) == pinned


def test_pinned_stacks_release_publishes_features_and_trains_nothing(copy, candidate, monkeypatch):
    seen = stages(monkeypatch, candidate)
    monkeypatch.setattr(release, "pinned_version", lambda _: "2")
    assert release.release(copy).version == "2"
    assert seen == {}
    assert current(Store.open(copy)) == candidate
