import itertools
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from starlette.testclient import TestClient

from workloads.lifecycle.base import metrics
from workloads.lifecycle.base.errors import RequestError
from workloads.lifecycle.base.exposition import COUNTED, show
from workloads.lifecycle.base.loops import Loop, Loops
from workloads.lifecycle.base.names import SMOKE
from workloads.lifecycle.base.settings import ServingSettings
from workloads.lifecycle.serving.model_server import PredictionModel
from workloads.lifecycle.serving.openapi import OPENAPI_PATH
from workloads.lifecycle.serving.source import Loaded
from workloads.lifecycle.serving.transport import QuietRESTServer, build_server
from workloads.loan_default.definition import LOAN_DEFAULT

HOME = "http://127.0.0.1:8080"
PREDICT = "/v1/models/loan-default:predict"
INFER = "/v2/models/loan-default/infer"
VECTOR = [45, 72000, 680, 3]
PROBE = "a-probe-that-nobody-guesses"
SETTINGS = ServingSettings(max_rows=20, max_body_bytes=4096)


class Lookup:
    """Customer n has the features of the example vector, n years old; 404 is unknown, 503 finds the store down."""

    async def fetch(self, keys):
        customers = [customer for (customer,) in keys]
        for customer in customers:
            if customer in {404, 503}:
                raise RequestError(
                    customer, "unknown_entity", "refused as the test asked", 1 if customer == 503 else None
                )
        return np.array([[customer, *VECTOR[1:]] for customer in customers], dtype=np.float32)


class Notes:
    def __init__(self):
        self.scored = []

    def add(self, scored):
        self.scored.append(scored)

    def stop(self):
        self.scored.append("stopped")


@pytest.fixture(scope="module")
def server():
    """One application per process: KServe keeps it in a global."""
    show(LOAN_DEFAULT)
    model = PredictionModel(LOAN_DEFAULT, SETTINGS, Lookup(), Notes(), probe_token=PROBE)
    built = build_server(0, "127.0.0.1", SETTINGS, model, Loops())
    rest = QuietRESTServer("kserve.model_server:app", built.dataplane, built.model_repository_extension, 0)
    rest.create_application()
    return model, rest


@pytest.fixture
def model(server, scorer):
    server[0]._settings = SETTINGS
    server[0]._capture = Notes()
    server[0].serve({"champion": Loaded("7", scorer)})
    return server[0]


@pytest.fixture
def http(server, model):
    assert model.ready
    return TestClient(server[1].config.app, base_url=HOME, raise_server_exceptions=False)


def post(http, path, body, **headers):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return http.post(path, content=content, headers={"content-type": "application/json"} | headers)


def metric(http, line):
    found = [text for text in http.get("/metrics").text.splitlines() if text.startswith(line)]
    return float(found[0].rsplit(" ", 1)[1]) if found else 0.0


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:8080"},
        {"Host": "127.0.0.1.nip.io:8080"},
        {"Host": "[:8080"},
        {"Host": ""},
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Origin": "http://["},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "image"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Dest": "script"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "iframe"},
    ],
)
def test_page_of_another_site_gets_no_prediction_and_no_metric(http, headers):
    answers = [post(http, PREDICT, {"instances": [VECTOR]}, **headers)]
    answers += [http.get(path, headers=headers) for path in ("/metrics", "/v2", OPENAPI_PATH)]
    assert [answer.status_code for answer in answers] == [403] * 4


def test_own_names_are_answered_with_whatever_port(http):
    for headers in (
        {"Host": "localhost:8080"},
        {"Host": "LOCALHOST"},
        {"Host": "127.0.0.1:1", "Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Dest": "empty"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Dest": "document"},
    ):
        assert post(http, PREDICT, {"instances": [VECTOR]}, **headers).status_code == 200


def test_only_the_given_address_is_bound(server):
    assert server[1].config.host == "127.0.0.1"


def test_a_vector_gets_its_probability_and_the_version_that_answered(http, scorer):
    answer = post(http, PREDICT, {"instances": [VECTOR]})
    expected = float(scorer.score(np.array([VECTOR], dtype=np.float32))[0])
    assert answer.json() == {"predictions": [pytest.approx(expected, abs=1e-7)]}
    assert answer.headers["x-model-version"] == "7"


def test_a_customer_gets_the_score_of_the_features_looked_up(http):
    by_customer = post(http, PREDICT, {"instances": [{"CustomerID": 45}]}).json()
    assert by_customer == post(http, PREDICT, {"instances": [VECTOR]}).json()


def test_v2_scores_the_same(http):
    body = {"id": "mine", "inputs": [{"name": "features", "shape": [1, 4], "datatype": "FP64", "data": [VECTOR]}]}
    answer = post(http, INFER, body).json()
    assert answer["outputs"][0]["data"] == post(http, PREDICT, {"instances": [VECTOR]}).json()["predictions"]
    assert (answer["id"], answer["model_version"]) == ("mine", "7")


@pytest.mark.parametrize("kind", [None, "application/octet-stream", "text/plain"])
def test_v2_is_json_unless_the_binary_header_says_otherwise(http, kind):
    """Triton's Python client sends JSON without a content type."""
    tensor = {"name": "features", "shape": [1, 4], "datatype": "FP64", "data": [VECTOR]}
    headers = {} if kind is None else {"content-type": kind}
    answer = http.post(INFER, content=json.dumps({"inputs": [tensor]}).encode(), headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.json()["outputs"][0]["data"] == post(http, PREDICT, {"instances": [VECTOR]}).json()["predictions"]


def test_v2_reads_and_writes_binary_tensors(http):
    values = np.array([VECTOR], dtype="<f8").tobytes()
    tensor = {"name": "features", "shape": [1, 4], "datatype": "FP64", "parameters": {"binary_data_size": len(values)}}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    answer = http.post(INFER, content=head + values, headers={"inference-header-content-length": str(len(head))})
    assert answer.status_code == 200, answer.text
    size = int(answer.headers["inference-header-content-length"])
    assert json.loads(answer.content[:size])["outputs"][0]["parameters"] == {"binary_data_size": 8}
    expected = post(http, PREDICT, {"instances": [VECTOR]}).json()["predictions"]
    assert np.frombuffer(answer.content[size:], "<f8").tolist() == expected


@pytest.mark.parametrize("path", ["/v2/health/live", "/v2/health/ready", "/v1/models/loan-default", "/metrics"])
def test_head_is_answered_like_get_without_a_body(http, path):
    answer = http.head(path)
    assert (answer.status_code, answer.content) == (200, b"")


def test_output_that_the_model_does_not_have_is_refused(http):
    tensor = {"name": "features", "shape": [1, 4], "datatype": "FP64", "data": VECTOR}
    answer = post(http, INFER, {"inputs": [tensor], "outputs": [{"name": "unknown"}]})
    assert answer.status_code == 400
    assert "unknown" in answer.json()["error"]


def test_compressed_bodies_are_refused_by_name(http):
    answer = post(http, INFER, b"\x1f\x8b", **{"content-encoding": "gzip"})
    assert answer.status_code == 415
    assert "gzip" in answer.json()["error"]


def test_more_values_than_any_request_holds_are_refused_unparsed(http, monkeypatch):
    monkeypatch.setattr("orjson.loads", lambda _: pytest.fail("parsed"))
    answer = post(http, PREDICT, b'{"instances": [' + b"1," * 1500 + b"1]}")
    assert answer.status_code == 400
    assert "more than 1100 values" in answer.json()["error"]


def test_commas_in_texts_are_no_values(http):
    body = {"inputs": [{"name": "features", "shape": [1, 4], "datatype": "FP64", "data": VECTOR}], "id": "," * 2000}
    assert post(http, INFER, body).status_code == 200


def test_load_is_shed_with_a_time_to_come_back(http, server):
    connections = server[1].connections
    connections.requests = SETTINGS.max_waiting_requests + 1
    try:
        answer = post(http, PREDICT, {"instances": [VECTOR]})
        assert http.get("/v2/health/live").status_code == 200
    finally:
        connections.requests = 0
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert post(http, PREDICT, {"instances": [VECTOR]}).status_code == 200


def test_large_bodies_are_taken_a_few_at_a_time(http, server):
    """The smallest large body is above the limit of this module's settings, so the door itself is asked."""
    door = server[1].config.app
    body = json.dumps({"instances": [VECTOR]}).encode().ljust(70_000)
    door._limit, free = 100_000, door._large_bodies
    try:
        door._large_bodies = 0
        shed = post(http, PREDICT, body)
        small = post(http, PREDICT, {"instances": [VECTOR]})
        door._large_bodies = 1
        taken = [post(http, PREDICT, body).status_code for _ in range(3)]
    finally:
        door._limit, door._large_bodies = SETTINGS.max_body_bytes, free
    assert (shed.status_code, shed.headers["retry-after"], small.status_code) == (503, "1", 200)
    assert taken == [200, 200, 200]


def test_json_is_read_whatever_the_content_type_says(http):
    answer = post(http, PREDICT, {"instances": [VECTOR]}, **{"content-type": "application/x-www-form-urlencoded"})
    assert answer.status_code == 200


def test_clients_id_comes_back_and_is_captured_beside_the_servers(http, model):
    answer = post(http, PREDICT, {"instances": [VECTOR, VECTOR]}, **{"x-request-id": "order-1"})
    assert answer.headers["x-request-id"] == "order-1"
    (scored,) = model._capture.scored
    assert (scored.client_id, scored.version, scored.alias, len(scored.scores)) == ("order-1", "7", "champion", 2)
    assert scored.request_id == answer.headers["x-prediction-id"]
    other = post(http, PREDICT, {"instances": [VECTOR]}, **{"x-request-id": "bad id\x7f" + "x" * 100})
    assert other.headers["x-request-id"] == other.headers["x-prediction-id"]
    assert len(other.headers["x-request-id"]) <= 64
    assert model._capture.scored[1].client_id == ""


def test_clients_id_that_is_used_again_shares_no_key(http, model):
    answers = [post(http, PREDICT, {"instances": [VECTOR]}, **{"x-request-id": "order-1"}) for _ in range(3)]
    assert len({answer.headers["x-prediction-id"] for answer in answers}) == 3
    assert len({scored.request_id for scored in model._capture.scored}) == 3


@pytest.mark.parametrize(
    ("headers", "is_probe"),
    [
        ({}, False),
        ({"x-request-id": "smoke-me"}, False),
        ({"x-probe": "guessed"}, False),
        ({"x-probe": ""}, False),
        ({"x-probe": PROBE}, True),
        ({"x-probe": PROBE, "x-request-id": "order-1"}, True),
    ],
)
def test_only_the_probe_token_hides_a_request_from_the_data(http, model, headers, is_probe):
    before = COUNTED.get_sample_value(metrics.PROBE_ROWS) or 0
    answer = post(http, PREDICT, {"instances": [VECTOR]}, **headers)
    assert answer.status_code == 200
    (scored,) = model._capture.scored
    assert scored.request_id.startswith(SMOKE) == is_probe
    assert (COUNTED.get_sample_value(metrics.PROBE_ROWS) or 0) - before == int(is_probe)


def test_row_outside_the_bounds_is_400_and_counted_by_its_reason(http, model):
    labels = {metrics.LABEL_REASON: metrics.OUT_OF_RANGE}
    before = COUNTED.get_sample_value(metrics.PREDICTION_ERRORS, labels)
    answer = post(http, PREDICT, {"instances": [[-5, -1, 9999, 900]]})
    assert (answer.status_code, model._capture.scored) == (400, [])
    assert answer.json()["error"].startswith("instance 0: Age must be from 18 to 120, got -5")
    assert COUNTED.get_sample_value(metrics.PREDICTION_ERRORS, labels) - before == 1


def test_row_outside_the_bounds_is_scored_and_not_captured_by_setting(http, model, monkeypatch):
    monkeypatch.setattr(model._requests, "_scores_outside", True)
    before = COUNTED.get_sample_value(metrics.OUT_OF_RANGE_ROWS)
    answer = post(http, PREDICT, {"instances": [VECTOR, [-5, -1, 9999, 900], VECTOR]})
    assert (answer.status_code, len(answer.json()["predictions"])) == (200, 3)
    (scored,) = model._capture.scored
    assert (scored.places, len(scored.vectors), len(scored.scores)) == ((0, 2), 2, 2)
    assert COUNTED.get_sample_value(metrics.OUT_OF_RANGE_ROWS) - before == 1


def test_server_without_a_probe_token_takes_every_request_as_data():
    model = PredictionModel(LOAN_DEFAULT, SETTINGS, Lookup(), None)
    assert not any(model._is_probe({"x-probe": given}) for given in ("", "a", PROBE))


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (PREDICT, b"", 400),
        (PREDICT, b"{", 400),
        (PREDICT, b"\x80\x04\x95pickle", 400),
        (PREDICT, b"[" * 4000, 400),
        (PREDICT, b'{"instances": [[1, 2, 3, NaN]]}', 400),
        (PREDICT, {"instances": [VECTOR] * 21}, 400),
        (PREDICT, b" " * 4097, 413),
        (PREDICT, {"instances": [{"CustomerID": 404}]}, 404),
        (PREDICT, {"instances": [{"CustomerID": 503}]}, 503),
        ("/v1/models/loan-default:explain", {"instances": [VECTOR]}, 404),
        ("/v1/models/other:predict", {"instances": [VECTOR]}, 404),
        ("/v2/models/other/infer", {"inputs": []}, 404),
        ("/v2/models/loan-default/versions/1/infer", {"inputs": []}, 404),
        ("/v2/repository/models/loan-default/unload", {}, 403),
        ("/v2/repository/models/loan-default/load", {}, 403),
        (INFER, b"", 400),
        (INFER, b"[" * 4000, 400),
        (INFER, {"inputs": "x"}, 400),
        (INFER, b'{"inputs": NaN}', 400),
        (INFER, {"inputs": []}, 400),
        (INFER, {"inputs": [], "parameters": [1]}, 400),
        (INFER, {"inputs": [{"name": "features", "shape": [1, 4], "datatype": "FP64", "data": VECTOR}], "id": 1}, 400),
        (INFER, {"inputs": [{"name": ["x"], "shape": [1, 4], "datatype": "FP64", "data": VECTOR}]}, 400),
        (INFER, {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP16", "data": VECTOR}]}, 400),
        (INFER, {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "NOPE", "data": VECTOR}]}, 400),
        (INFER, {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP64", "data": {"a": 1}}]}, 400),
        (INFER, {"inputs": [{"name": "x", "shape": [9], "datatype": "FP64", "data": VECTOR}]}, 400),
    ],
)
def test_every_malformed_request_gets_its_status_and_a_sentence(http, path, body, status):
    answer = post(http, path, body)
    assert answer.status_code == status, answer.text
    assert len(answer.json().get("error", answer.json().get("detail"))) > 10
    assert post(http, PREDICT, {"instances": [VECTOR]}).status_code == 200


@pytest.mark.parametrize("depth", [10, 500, 1_000, 1_020, 1_500])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        (PREDICT, '{"instances": %s}'),
        (PREDICT, '{"instances": [[%s, 72000, 680, 3]]}'),
        (PREDICT, '{"instances": [{"CustomerID": %s}]}'),
        (INFER, '{"inputs": [{"name": "features", "shape": [1, 4], "datatype": "FP64", "data": %s}]}'),
        (INFER, '{"inputs": [{"name": "features", "shape": %s, "datatype": "FP64", "data": [1]}]}'),
    ],
)
def test_json_that_is_nested_however_deep_is_malformed(http, path, body, depth):
    answer = post(http, path, (body % ("[" * depth + "]" * depth)).encode())
    assert answer.status_code == 400, answer.text
    assert len(answer.json().get("error", answer.json().get("detail"))) > 10


def test_binary_v2_with_a_wrong_length_header_is_400(http):
    headers = {"inference-header-content-length": "nine", "content-type": "application/octet-stream"}
    assert post(http, INFER, b"\0\1\2", **headers).status_code == 400


def test_cloud_events_are_not_read(http):
    answer = post(http, PREDICT, {"instances": [VECTOR]}, **{"ce-specversion": "9", "ce-id": "x"})
    assert answer.status_code == 200


def test_a_body_of_unknown_length_is_limited_too(http):
    answer = http.post(PREDICT, content=(b" " * 1000 for _ in range(10)))
    assert answer.status_code == 413


def test_store_outage_says_when_to_retry_and_vectors_are_answered(http):
    answer = post(http, PREDICT, {"instances": [{"CustomerID": 503}]})
    assert answer.headers["retry-after"] == "1"
    assert post(http, PREDICT, {"instances": [VECTOR]}).status_code == 200


def test_without_a_champion_it_is_live_not_ready_and_says_why(http, model):
    model.serve({})
    assert http.get("/v2/health/live").status_code == 200
    assert http.get("/v2/health/ready").status_code == 503
    answer = post(http, PREDICT, {"instances": [VECTOR]})
    assert answer.status_code == 503
    assert "champion" in answer.json()["error"]
    assert "retry-after" in answer.headers


def test_the_metrics_are_the_documented_ones(http):
    before = metric(http, f'{metrics.PREDICTIONS}{{alias="champion",version="7",workload="loan-default"}}')
    wrong = metric(http, f'{metrics.PREDICTION_ERRORS}{{reason="malformed",workload="loan-default"}}')
    post(http, PREDICT, {"instances": [VECTOR] * 3})
    post(http, PREDICT, b"{")
    assert metric(http, f'{metrics.PREDICTIONS}{{alias="champion",version="7",workload="loan-default"}}') == before + 3
    assert metric(http, f'{metrics.PREDICTION_ERRORS}{{reason="malformed",workload="loan-default"}}') == wrong + 1
    text = http.get("/metrics").text
    for name in (metrics.PREDICTION_LATENCY, metrics.SCORE, metrics.MODEL_INFO, metrics.MODEL_FROM_CACHE):
        assert f"\n{name}" in text
    for reason in metrics.ERROR_REASONS:
        assert f'reason="{reason}"' in text


def test_former_names_are_shown_for_one_version_more(http):
    post(http, PREDICT, {"instances": [VECTOR]})
    for former, name in metrics.former("loan_default_").items():
        counted = metric(http, f'{name}{{alias="champion",version="7",workload="loan-default"}}')
        assert metric(http, f'{former}{{alias="champion",version="7"}}') == counted
    assert metric(http, 'loan_default_predictions_total{alias="champion",version="7"}') > 0


def test_unknown_entity_is_counted_under_its_former_reason_too(http):
    counted = f'{metrics.PREDICTION_ERRORS}{{reason="unknown_entity",workload="loan-default"}}'
    before = metric(http, counted)
    post(http, PREDICT, {"instances": [{"CustomerID": 404}]})
    former = metric(http, 'loan_default_prediction_errors_total{reason="unknown_customer"}')
    assert former == metric(http, counted) == before + 1


def test_the_sum_of_scores_still_grows_after_millions_of_rows(http, model):
    line = f'{metrics.SCORE}_sum{{alias="champion",workload="loan-default"}}'
    model._scores.labels("champion")._sum.set(2.0**30)
    answer = post(http, PREDICT, {"instances": [VECTOR]}).json()
    assert metric(http, line) - 2.0**30 == pytest.approx(answer["predictions"][0], abs=1e-6)


def test_a_promoted_version_is_the_only_one_in_the_info_metric(http, model, scorer):
    model.serve({"champion": Loaded("8", scorer)})
    text = http.get("/metrics").text
    assert f'{metrics.MODEL_INFO}{{alias="champion",version="8",workload="loan-default"}} 1.0' in text
    assert 'version="7"} 1.0' not in [line for line in text.splitlines() if line.startswith(metrics.MODEL_INFO)]


def test_no_request_fails_while_the_alias_moves(http, model, scorer):
    done = threading.Event()

    def move():
        for version in itertools.cycle(("7", "8")):
            model.serve({"champion": Loaded(version, scorer)})
            if done.is_set():
                return

    mover = threading.Thread(target=move)
    mover.start()
    try:
        with ThreadPoolExecutor(4) as clients:
            answers = list(clients.map(lambda _: post(http, PREDICT, {"instances": [VECTOR]}), range(400)))
    finally:
        done.set()
        mover.join()
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.headers["x-model-version"] for answer in answers} == {"7", "8"}


def test_model_server_is_live_until_a_loop_is_stuck(http, server):
    entered, leave = threading.Event(), threading.Event()

    def step():
        entered.set()
        leave.wait(10)

    loop = server[1].dataplane.loops.add(Loop("test-live", step, pause_seconds=10, stuck_seconds=0.0))
    assert http.get("/v2/health/live").status_code == 200
    loop.start()
    assert entered.wait(10)
    answer = http.get("/v2/health/live")
    assert answer.status_code == 503
    assert "test-live is stuck" in answer.json()["error"]
    assert post(http, PREDICT, {"instances": [VECTOR]}).status_code == 200
    leave.set()
    loop.stop(10)
    assert http.get("/v2/health/live").status_code == 200


def test_stopping_writes_what_is_captured(model):
    notes = model._capture
    model.stop()
    assert notes.scored == ["stopped"]
