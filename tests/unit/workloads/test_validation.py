import json
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pandas as pd
import pytest

from workloads.lifecycle.base.environment import Environment
from workloads.lifecycle.base.errors import WorkloadError
from workloads.lifecycle.base.settings import WorkloadSettings
from workloads.lifecycle.quality.groups import bias_gaps
from workloads.lifecycle.training.train import Split
from workloads.lifecycle.validation.gate import constant_features, decide, latency_p99_ms, measure
from workloads.loan_default.definition import LOAN_DEFAULT

LABEL = LOAN_DEFAULT.outcome.label
WORKLOAD = "workloads.loan_default.definition:LOAN_DEFAULT"
YES = b'{"result": {"allow": "yes", "reasons": []}}'
FACTS = {"bias": {"SEX": {"demographic_parity": 0.1, "equal_opportunity": 0.1, "groups": 2}}}


def people(rows, **columns):
    frame = {"SEX": 1, "EDUCATION": 1, "Age": 40, LABEL: 0}
    return pd.DataFrame({name: np.broadcast_to(value, rows) for name, value in (frame | columns).items()})


@pytest.fixture
def opa():
    """A stand-in that answers with what the test sets; the real policy is tested by `opa test`."""
    answers = {"body": b"{}"}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            answers["asked"] = (self.path, json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answers["body"])

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    answers["environment"] = Environment(workload=WORKLOAD, opa_url=f"http://127.0.0.1:{server.server_port}")
    yield answers
    server.shutdown()
    server.server_close()


def test_the_policys_verdict_and_reasons_are_the_verdict(opa):
    opa["body"] = b'{"result": {"allow": false, "reasons": ["b", "a"]}}'
    verdict = decide(opa["environment"], FACTS)
    assert (verdict.allowed, verdict.reasons) == (False, ("a", "b"))
    path, body = opa["asked"]
    assert (path, body["input"] | FACTS) == ("/v1/data/release", body["input"])


def test_policy_gets_the_thresholds_of_the_stack_file(opa):
    opa["body"] = b'{"result": {"allow": true, "reasons": []}}'
    chosen = WorkloadSettings(fairness={"parity_gap": 0.37, "opportunity_gap": 0.36}, ingestion={"max_bad_share": 0.35})
    decide(opa["environment"].model_copy(update={"settings": chosen}), FACTS)
    limits = {"parity_gap": 0.37, "opportunity_gap": 0.36, "quarantined_share": 0.35}
    assert limits.items() <= opa["asked"][1]["input"]["limits"].items()


def test_policy_gets_the_limits_and_the_contract_of_the_definition(opa):
    opa["body"] = b'{"result": {"allow": true, "reasons": []}}'
    decide(opa["environment"], FACTS)
    asked = opa["asked"][1]["input"]
    assert LOAN_DEFAULT.thresholds.items() <= asked["limits"].items()
    assert asked["contract"] == {
        "problem": "binary",
        "features": list(LOAN_DEFAULT.features),
        "groups": ["SEX", "EDUCATION", "AGE"],
        "waived": {},
    }


@pytest.mark.parametrize("body", [b"{}", b'{"result": {}}', b'{"result": {"allow": true}}', YES, b"no json"])
def test_an_answer_that_is_no_verdict_is_never_a_yes(opa, body):
    opa["body"] = body
    with pytest.raises(WorkloadError, match=r"OPA at http://127.0.0.1:\d+/v1/data/release"):
        decide(opa["environment"], FACTS)


def test_a_policy_server_that_is_down_refuses():
    with pytest.raises(WorkloadError, match=r"did not decide.*; the champion stays"):
        decide(Environment(workload=WORKLOAD, opa_url="http://127.0.0.1:9"), FACTS)


def test_facts_that_are_not_numbers_are_not_sent(opa):
    with pytest.raises(WorkloadError, match="did not decide"):
        decide(opa["environment"], {"candidate": float("nan")} | FACTS)


def test_equal_groups_have_no_gap_and_one_flagged_group_has_the_whole():
    frame = people(400, SEX=np.repeat([1, 2], 200), **{LABEL: np.tile([0, 1], 200)})
    even = np.tile([0.1, 0.9], 200)
    assert bias_gaps(LOAN_DEFAULT, frame, even)["SEX"] == {
        "demographic_parity": 0,
        "equal_opportunity": 0,
        "ranking": None,
        "groups": 2,
    }
    unfair = np.repeat([0.1, 0.9], 200) + np.linspace(0, 1e-6, 400)
    gaps = bias_gaps(LOAN_DEFAULT, frame, unfair)["SEX"]
    assert gaps["demographic_parity"] == pytest.approx(1, abs=0.02)
    assert gaps["equal_opportunity"] == pytest.approx(1, abs=0.02)


def test_a_group_that_is_ranked_at_random_shows_in_the_ranking_gap(rng):
    labels = np.tile([0, 1], 600)
    frame = people(1200, SEX=np.repeat([1, 2], 600), **{LABEL: labels})
    scores = np.where(np.arange(1200) < 600, labels + rng.normal(0, 0.1, 1200), rng.random(1200))
    assert bias_gaps(LOAN_DEFAULT, frame, scores)["SEX"]["ranking"] == pytest.approx(0.5, abs=0.06)


def test_groups_too_small_to_compare_are_left_out():
    frame = people(250, SEX=np.repeat([1, 2], [200, 50]), **{LABEL: np.tile([0, 1], 125)})
    assert bias_gaps(LOAN_DEFAULT, frame, np.linspace(0, 1, 250))["SEX"]["groups"] == 1


def test_feature_that_is_constant_for_all_or_for_one_group_is_found(world):
    frame = world.data.frame
    assert constant_features(LOAN_DEFAULT, frame) == []
    assert constant_features(LOAN_DEFAULT, frame.assign(Income=5.0))[0] == "Income"
    women = frame.assign(CreditScore=frame["CreditScore"].where(frame["SEX"] != 2, 320))
    assert constant_features(LOAN_DEFAULT, women) == ["CreditScore for SEX 2"]


def test_rare_educations_are_one_group():
    frame = people(400, EDUCATION=np.repeat([1, 4, 5, 6], 100), **{LABEL: np.tile([0, 1], 200)})
    assert bias_gaps(LOAN_DEFAULT, frame, np.linspace(0, 1, 400))["EDUCATION"]["groups"] == 2


def test_facts_describe_the_served_bundle_and_are_plain_json(world, fitted, scorer):
    parts = fitted[1]
    facts = measure(LOAN_DEFAULT, Split(parts.train, parts.test), world.data, scorer, scorer)
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    assert facts["candidate"]["test_auc"] == facts["champion"]["test_auc"]
    assert facts["data"]["rows"] == world.ingested.rows
    assert facts["data"]["trained_on_hash"] == "data"
    assert facts["data"]["constant_features"] == []
    assert 0.5 < facts["data"]["label_correlation"]["CreditScore"] < 0.82


def test_latency_is_of_one_row_in_the_serving_runtime(scorer):
    assert 0 < latency_p99_ms(LOAN_DEFAULT, scorer) < 100


def test_both_models_are_measured_on_labels_known_by_then(world, scorer, fitted):
    _, parts, _ = fitted
    facts = measure(LOAN_DEFAULT, Split(parts.train, parts.test), world.data, scorer, scorer, known=parts.test)
    assert facts["known"]["candidate"] == facts["known"]["champion"]
    assert facts["known"]["candidate"]["test_auc"] == facts["candidate"]["test_auc"]
    assert measure(LOAN_DEFAULT, Split(parts.train, parts.test), world.data, scorer, None)["known"] is None


def test_quarantined_share_is_of_ingested_rows_and_not_of_the_window(world, scorer, fitted):
    parts = fitted[1]
    ingested = world.ingested.model_copy(update={"quarantined": {"AGE": 30}})
    window = replace(world.data, ingested=ingested, frame=world.data.frame.head(400), known=world.data.frame)
    facts = measure(LOAN_DEFAULT, Split(parts.train, parts.test), window, scorer, None)
    assert facts["data"]["quarantined_share"] == 30 / (30 + len(world.data.frame))
