"""What every workload passes, whatever its keys and outcome: requests, capture, drift, retrain, rollback."""

import json
import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import pandas as pd
import pytest

from workloads.lifecycle.base import metrics
from workloads.lifecycle.base.errors import DataError
from workloads.lifecycle.base.scrape import Page
from workloads.lifecycle.monitoring import check, outcomes
from workloads.lifecycle.operations.drill.scenarios import drifted, mirrored, vectors
from workloads.lifecycle.retraining.champion import ChampionAlias
from workloads.lifecycle.retraining.ledger import Ledger
from workloads.lifecycle.retraining.watch import Watch, smoke
from workloads.lifecycle.retraining.worker import Worker
from workloads.lifecycle.training import reference

from . import contract

ASKED = 40
LABELLED = 1_500
ERROR = {"binary": "test_brier", "regression": "test_rmse"}
"""What a better model has less of."""


@pytest.fixture
def gateway():
    """A Pushgateway, which keeps the last page."""
    pages = []

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self):
            pages.append(self.rfile.read(int(self.headers["content-length"])).decode())
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", pages
        server.shutdown()


@pytest.fixture
def watched(served, gateway):
    """The environment of the drift job."""
    return served.model_copy(update={"pushgateway_url": gateway[0]})


@pytest.fixture
def send(served):
    """Sends rows as requests, which count for this test only."""
    prefixes = []

    def once(rows):
        prefixes.append(contract.send(served, rows))
        return prefixes[-1]

    yield once
    for prefix in prefixes:
        outcomes.strike(served, prefix)


@pytest.fixture
def ledger(request, published, tmp_path):
    """On Postgres for one workload, on SQLite for the others: the ledger's own tests compare the two."""
    url = f"sqlite:///{tmp_path}/retraining.db"
    if published.workload.name == "turbofan":
        url = request.getfixturevalue("postgres_url")()
    with closing(Ledger(url)) as made:
        yield made


def infer(environment, tensors):
    url = environment.model_url.replace("/v1/", "/v2/")
    return httpx.post(f"{url}/infer", json={"inputs": tensors}, headers=environment.probe_headers, timeout=30)


def tensors(datatypes, rows):
    """One tensor for each column of rows."""
    columns = zip(datatypes.items(), zip(*rows, strict=True), strict=True)
    return [
        {"name": name, "shape": [len(rows)], "datatype": datatype, "data": list(values)}
        for (name, datatype), values in columns
    ]


def test_keys_and_vectors_get_the_same_answer_in_both_protocols(served, published):
    workload = published.workload
    rows = published.latest.sample(min(ASKED, len(published.latest)), random_state=1)
    keys, asked = contract.keys_of(workload, rows), vectors(rows, workload)
    wanted = contract.answers(served, asked)
    assert contract.answers(served, keys) == wanted
    key_types = {each.key: "BYTES" if each.type == "string" else "INT64" for each in workload.entities}
    types = {each.name: "BYTES" if each.type == "string" else "FP64" for each in workload.inputs}
    forms = [tensors(key_types, [tuple(key.values()) for key in keys]), tensors(types, asked)]
    if workload.is_numeric:
        forms.append([{"name": "features", "shape": [len(asked), len(asked[0])], "datatype": "FP64", "data": asked}])
    for form in forms:
        answer = infer(served, form)
        assert answer.status_code == 200, answer.text
        assert answer.json()["outputs"][0]["data"] == wanted
    assert len(set(wanted)) > ASKED / 8
    assert all(map(workload.is_answer, wanted))


def wrong(workload):
    """Instance -> what the refusal must name, and its status."""
    vector, key = list(workload.example), dict(zip(workload.keys, workload.example_keys, strict=True))
    first, last = workload.inputs[0], workload.entities[-1]
    unknown = {entity.key: "nowhere" if entity.type == "string" else 999_999 for entity in workload.entities}
    number = next(place for place, feature in enumerate(workload.inputs) if feature.type != "string")
    required = next(place for place, feature in enumerate(workload.inputs) if not feature.nullable)
    return [
        (vector[:-1], 400, first.name),
        ([*vector[:number], "much", *vector[number + 1 :]], 400, workload.features[number]),
        ([*vector[:required], None, *vector[required + 1 :]], 400, workload.features[required]),
        ({}, 400, last.key),
        (key | {"other": 1}, 400, last.key),
        (key | {last.key: -1}, 400, last.key),
        (unknown, 404, ", ".join(workload.keys)),
    ]


def test_wrong_input_is_one_sentence_that_names_it(served, published):
    for instance, status, named in wrong(published.workload):
        answer = httpx.post(f"{served.model_url}:predict", json={"instances": [instance]}, timeout=30)
        (text,) = answer.json().values()
        assert (answer.status_code, named in text, "\n" in text) == (status, True, False), (instance, answer.text)
        assert "internal" not in text
    refused = infer(served, [{"name": "nothing", "shape": [1], "datatype": "FP64", "data": [1.0]}])
    assert refused.status_code == 400
    assert published.workload.features[0] in refused.json()["error"]


def test_errors_are_counted_by_reasons_that_are_defined(served, published):
    for instance, *_ in wrong(published.workload):
        httpx.post(f"{served.model_url}:predict", json={"instances": [instance]}, timeout=30)
    page = Page.of_model_server(served)
    assert set(page.by(metrics.PREDICTION_ERRORS, metrics.LABEL_REASON)) == set(metrics.ERROR_REASONS)


def test_outcomes_are_joined_with_the_rows_as_they_were_sent(served, published, send):
    workload, label = published.workload, published.workload.outcome.label
    rows = published.known.tail(LABELLED).reset_index(drop=True)
    prefix = send(rows)
    assert contract.tell(served, prefix, rows, rows[label]) == len(rows)
    found = outcomes.labelled(served, contract.of_requests(served, prefix))
    start = found["client_id"].str.rpartition("-")[2].astype(int)
    found = found.set_index(start + found["row"]).sort_index()
    names = [*workload.keys, *workload.features, label]
    pd.testing.assert_frame_equal(
        found[names].astype(object).where(found[names].notna(), None),
        as_float32(rows[names], workload).astype(object).where(rows[names].notna(), None),
        check_names=False,
    )
    live = outcomes.quality(served, found, "1")
    assert (live.rows, live.reason) == (len(rows), None)


def as_float32(rows, workload):
    """Rows as the server scores them, where it takes one matrix of numbers."""
    if any(feature.type == "string" for feature in workload.inputs):
        return rows
    return rows.assign(**{name: rows[name].astype("float32").astype(float) for name in workload.features})


def test_impossible_outcome_is_refused_with_the_field(published):
    known = published.workload.outcome
    for outcome in (known.highest + 1, known.lowest - 1, "soon", None):
        content = json.dumps({"outcomes": [{"request_id": "a", "outcome": outcome}]}).encode()
        with pytest.raises(DataError, match=r"outcomes\.0\.outcome"):
            outcomes.parse(content, published.workload)


def test_the_same_rows_have_not_drifted_and_are_ranked_as_before(watched, published, send, gateway):
    workload, rows = published.workload, published.data.frame.sample(LABELLED, random_state=1)
    contract.tell(watched, send(rows), rows, rows[workload.outcome.label])
    found = check.check(watched)
    assert (found.rows, found.drift.share, found.in_a_row, found.version) == (LABELLED, 0, 0, "1")
    assert set(found.drift.features) == set(workload.features)
    page = Page(gateway[1][-1])
    assert page.total(metrics.DATA_DRIFT_SCORE) == 0
    for problem, metric in metrics.LIVE_RANKING.items():
        assert page.by(metric, metrics.LABEL_VERSION) == ({"1": found.live.auc} if problem == workload.problem else {})
    errors = {"1": found.live.rmse} if workload.problem == "regression" else {}
    assert page.by(metrics.LIVE_RMSE, metrics.LABEL_VERSION) == errors
    assert found.live.auc > watched.settings.alerts.live_auc


def test_shifted_rows_have_drifted(watched, published, send, gateway):
    workload = published.workload
    send(drifted(published.data.frame.sample(LABELLED, random_state=1), workload))
    found = check.check(watched)
    assert found.drift.share >= watched.settings.alerts.drift_share
    page = Page(gateway[1][-1])
    assert page.total(metrics.DATA_DRIFT_SCORE, metrics.LABEL_WORKLOAD, {workload.name}) == found.drift.share
    assert page.total(metrics.DRIFT_CHECKS_IN_A_ROW) == found.in_a_row >= 1


def test_retrain_promotes_a_better_model_and_rollback_undoes_it(watched, published, send, ledger, tmp_path):
    served = watched
    workload, label = published.workload, published.workload.outcome.label
    rows = drifted(published.known, workload)
    prefix = send(rows)
    contract.tell(served, prefix, rows, rows[label])
    before = reference.champion(served).version
    alias = ChampionAlias(served, ledger)
    stages = contract.Stages(served, published.ingested.run)
    ledger.submit(alert="a:1", reason="drift", version=before, cooldown_seconds=0)
    Worker(served, ledger, stages, alias, lambda: check.check(watched)).do(ledger.take(0))
    (ended,) = ledger.recent(2)
    after = reference.champion(served).version
    assert (ended.status, ended.version_before, ended.version_after) == ("promoted", before, after), ended.detail
    assert after != before
    assert smoke(served) == after
    facts = contract.facts(served, ended.version_after, tmp_path)
    error = ERROR[workload.problem]
    assert facts["candidate"][error] <= facts["champion"][error]
    found = check.latest(served)
    assert (found.version, found.drift.share) == (after, 0), "the new model's rows are the new reference"
    assert alias.go_back(expected=after).version == before
    assert reference.champion(served).version == before
    assert smoke(served) == before


def test_release_that_ranks_live_requests_wrong_is_found(served, published, send):
    rows = published.known.tail(LABELLED)
    prefix = send(rows)
    contract.tell(served, prefix, rows, mirrored(rows[published.workload.outcome.label]))
    watch = Watch(served, reference.champion(served).version)
    assert "at the gate" in watch.run(lambda: False)
