import httpx
import pytest

from workloads.lifecycle.base import metrics
from workloads.lifecycle.base.environment import Environment
from workloads.lifecycle.base.errors import DataError, WorkloadError
from workloads.lifecycle.training import reference

ENVIRONMENT = Environment(
    workload="workloads.loan_default.definition:LOAN_DEFAULT",
    mlflow_tracking_uri="http://mlflow",
    model_url="http://model/v1/models/loan-default",
)


@pytest.fixture
def servers(monkeypatch):
    """A registry whose champion is version 5, and a model server whose answer a test chooses."""
    state = {"served": {"champion": "2"}, "known": {"2", "5"}}

    def get(url, params=None, **_):
        request = httpx.Request("GET", url)
        if str(url) == "http://model/metrics":
            lines = [f'{metrics.MODEL_INFO}{{alias="{a}",version="{v}"}} 1.0' for a, v in state["served"].items()]
            return httpx.Response(200, text="\n".join(lines) + "\n", request=request)
        if "broken" in state:
            return httpx.Response(state.get("status", 500), json=state["broken"], request=request)
        version = params.get("version", "5")
        if version not in state["known"]:
            return httpx.Response(404, json={"error_code": "RESOURCE_DOES_NOT_EXIST"}, request=request)
        found = {"version": version, "run_id": f"run-{version}", "creation_timestamp": 1000}
        return httpx.Response(200, json={"model_version": found}, request=request)

    monkeypatch.setattr(httpx, "get", get)
    return state


@pytest.mark.usefixtures("servers")
def test_served_version_is_the_model_servers_and_not_the_registrys():
    assert reference.served(ENVIRONMENT) == reference.Champion("2", "run-2", 1.0)
    assert reference.champion(ENVIRONMENT).version == "5"


def test_served_version_ignores_a_challenger(servers):
    servers["served"] = {"challenger": "2", "champion": "5"}
    assert reference.served(ENVIRONMENT).version == "5"


def test_model_server_without_a_version_is_an_error(servers):
    servers["served"] = {}
    with pytest.raises(DataError, match="serves no version"):
        reference.served(ENVIRONMENT)


def test_served_version_that_the_registry_lost_is_an_error(servers):
    servers["known"] = {"5"}
    with pytest.raises(DataError, match="serves version 2, which MLflow at http://mlflow does not know"):
        reference.served(ENVIRONMENT)


@pytest.mark.parametrize("body", [{"error_code": "INTERNAL_ERROR", "message": "database is malformed"}, [], {}])
def test_registry_that_cannot_answer_does_not_mean_no_champion(servers, body):
    servers["broken"] = body
    with pytest.raises(WorkloadError) as caught:
        reference.champion(ENVIRONMENT)
    assert not isinstance(caught.value, DataError)


@pytest.mark.parametrize(("status", "code"), [(404, "RESOURCE_DOES_NOT_EXIST"), (400, "INVALID_PARAMETER_VALUE")])
def test_both_codes_of_mlflow_mean_no_champion(servers, status, code):
    servers |= {"status": status, "broken": {"error_code": code}}
    with pytest.raises(DataError, match="knows no champion"):
        reference.champion(ENVIRONMENT)
