"""What every workload passes, whatever learns and whatever its keys: predictions are explained on request."""

import math

import httpx
import pytest

from workloads.lifecycle.operations.drill.scenarios import vectors
from workloads.lifecycle.serving.explainer import BASELINE
from workloads.lifecycle.training.explanations import SUM_LIMIT

from . import contract
from .test_workload_contract_loop import tensors

ASKED = 20
SECONDS = 60


def predict(environment, instances, query=""):
    return httpx.post(
        f"{environment.model_url}:predict{query}",
        json={"instances": instances},
        headers=environment.probe_headers,
        timeout=SECONDS,
    )


def answer_of(workload, total):
    """The prediction that contributions sum to."""
    return 1 / (1 + math.exp(-total)) if workload.problem == "binary" else total


def close(workload, prediction):
    span = workload.outcome.highest - workload.outcome.lowest
    return pytest.approx(prediction, abs=SUM_LIMIT * span)


def test_contributions_sum_to_the_answer_in_both_protocols(served, published):
    workload = published.workload
    rows = published.latest.sample(min(ASKED, len(published.latest)), random_state=1)
    keys, asked = contract.keys_of(workload, rows), vectors(rows, workload)
    by_vector, by_key = (predict(served, each, "?explain=true") for each in (asked, keys))
    assert by_vector.status_code == by_key.status_code == 200, by_vector.text + by_key.text
    body = by_vector.json()
    assert by_key.json() == body
    assert body["predictions"] == contract.answers(served, asked)
    assert body["explanations"]["of"] == ("log-odds" if workload.problem == "binary" else "prediction")
    sums = []
    for prediction, explained in zip(body["predictions"], body["explanations"]["rows"], strict=True):
        assert tuple(explained["contributions"]) == workload.features
        sums.append(explained[BASELINE] + sum(explained["contributions"].values()))
        assert explained["sum"] == pytest.approx(sums[-1])
        assert answer_of(workload, sums[-1]) == close(workload, prediction)
    assert len(set(sums)) > ASKED / 8
    types = {each.name: "BYTES" if each.type == "string" else "FP64" for each in workload.inputs}
    url = served.model_url.replace("/v1/", "/v2/") + "/infer"
    v2 = {"inputs": tensors(types, asked), "parameters": {"explain": True}}
    found = httpx.post(url, json=v2, headers=served.probe_headers, timeout=SECONDS).json()["outputs"]
    assert found[0]["data"] == body["predictions"]
    assert found[1]["name"] == "contributions"
    assert found[1]["shape"] == [len(asked), len(workload.features) + 1]
    assert found[1]["parameters"]["columns"].split(",") == [*workload.features, BASELINE]
    width = len(workload.features) + 1
    assert [sum(found[1]["data"][start : start + width]) for start in range(0, len(sums) * width, width)] == sums


def test_answer_holds_no_explanation_that_nobody_asked_for(served, published):
    asked = [list(published.workload.example)]
    for query in ("", "?explain=false", "?other=1"):
        assert set(predict(served, asked, query).json()) == {"predictions"}


def test_wrong_request_for_an_explanation_is_one_sentence(served, published):
    asked = [list(published.workload.example)]
    for query in ("?explain=maybe", "?explain", "?explain=true&explain=true"):
        answer = predict(served, asked, query)
        assert (answer.status_code, "true or false" in answer.json()["error"]) == (400, True), answer.text
    many = predict(served, asked * (served.settings.serving.explain_rows + 1), "?explain=true")
    assert (many.status_code, "split the request" in many.json()["error"]) == (400, True), many.text
    types = {each.name: "BYTES" if each.type == "string" else "FP64" for each in published.workload.inputs}
    url = served.model_url.replace("/v1/", "/v2/") + "/infer"
    body = {"inputs": tensors(types, asked), "parameters": {"explain": "yes"}}
    answer = httpx.post(url, json=body, timeout=SECONDS)
    assert (answer.status_code, "explain" in answer.json()["error"]) == (400, True), answer.text
