"""What the feature server answers, against every route that Feast's own application declares."""

import pytest
from feast import feature_server
from starlette.testclient import TestClient

from workloads.lifecycle.base.environment import Environment
from workloads.lifecycle.features import server
from workloads.lifecycle.features.publication import feature_store

HOME = "http://127.0.0.1:6566"
NOT_FOUND = '{"detail":"Not Found"}'
METHODS = ("GET", "POST", "PUT", "DELETE")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("feast")
    return feature_store(
        Environment(
            workload="workloads.loan_default.definition:LOAN_DEFAULT",
            feast_registry=f"sqlite:///{folder}/registry.db",
            feast_online_store=f"sqlite:///{folder}/online.db",
        )
    )


@pytest.fixture(scope="module")
def client(store):
    with TestClient(server.app(store, "127.0.0.1"), base_url=HOME) as made:
        yield made


def test_of_feasts_own_routes_only_those_that_read_answer(store, client):
    declared = {route.path.partition("{")[0] for route in feature_server.get_app(store).router.routes}
    assert {"/push", "/write-to-online-store", "/materialize", "/chat", "/v1/vector_stores", "/docs"} <= declared
    answered = {
        path for path in declared for method in METHODS if client.request(method, path, content=b"{}").text != NOT_FOUND
    }
    assert answered == server.READING


def test_those_that_read_are_feasts_own(client):
    assert client.get("/health").status_code == 200
    assert client.post("/get-online-features", json="nonsense").status_code == 422


@pytest.mark.parametrize("path", sorted(server.READING))
@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example:6566"},
        {"Host": "127.0.0.1.nip.io"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
    ],
)
def test_a_page_of_another_site_reads_nothing(client, path, headers):
    for method in METHODS:
        assert client.request(method, path, headers=headers, content=b"{}").status_code == 403


def test_pods_are_asked_by_whatever_name_their_service_has(store):
    inside = TestClient(server.app(store, "0.0.0.0"), base_url="http://features.loan-default.svc:6566")
    assert inside.get("/health").status_code == 200
    assert inside.get("/health", headers={"Origin": "http://evil.example"}).status_code == 403
