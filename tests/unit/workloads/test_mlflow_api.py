"""What processes ask MLflow by its REST API, and that nothing asks it in another way."""

import re

import httpx
import pytest

from infra.base.paths import CHECKOUT
from workloads.lifecycle.base.mlflow_api import MlflowApi, RegistryDownError

OTHER_WAYS = re.compile(r"api/2\.0/mlflow|set_tracking_uri\(|MlflowClient\([^)]|\brequests\.(get|post)\(")


def api(answer):
    """A server whose every answer is this one, and what it was asked."""
    asked = []

    def handle(request):
        asked.append(request)
        return answer

    client = httpx.Client(transport=httpx.MockTransport(handle))
    return MlflowApi("http://mlflow/", ("user", "password"), client), asked


def test_a_question_carries_the_login_and_its_arguments():
    mlflow, asked = api(httpx.Response(200, json={"model_version": {"version": "3"}}))
    assert mlflow.version("churn", "3") == {"version": "3"}
    assert str(asked[0].url) == "http://mlflow/api/2.0/mlflow/model-versions/get?name=churn&version=3"
    assert asked[0].headers["authorization"].startswith("Basic ")


def test_what_mlflow_does_not_know_is_none_and_no_error():
    mlflow, _ = api(httpx.Response(404, json={"error_code": "RESOURCE_DOES_NOT_EXIST"}))
    assert [mlflow.model("churn"), mlflow.version("churn", "3"), mlflow.run("r")] == [None] * 3
    without_alias, _ = api(httpx.Response(400, json={"error_code": "INVALID_PARAMETER_VALUE"}))
    assert without_alias.aliased("churn", "champion") is None
    with pytest.raises(RegistryDownError, match="answers registered-models/get with status 400"):
        without_alias.model("churn")


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(500, json={"error_code": "RESOURCE_DOES_NOT_EXIST"}),
        httpx.Response(401, json={"model_version": {}}),
        httpx.Response(200, json={"other": {}}),
        httpx.Response(200, json={"model_version": "3"}),
        httpx.Response(200, json=[]),
        httpx.Response(200, text="<html>"),
    ],
)
def test_any_other_answer_is_an_outage_that_names_the_server(answer):
    mlflow, _ = api(answer)
    with pytest.raises(RegistryDownError, match="MLflow at http://mlflow "):
        mlflow.version("churn", "3")


def test_one_module_alone_speaks_to_mlflow():
    """Beside it the doctor, which runs where only the standard library and Pulumi are."""
    product = [each for part in ("infra", "stacks", "workloads") for each in (CHECKOUT / part).rglob("*.py")]
    found = {each.relative_to(CHECKOUT).as_posix() for each in product if OTHER_WAYS.search(each.read_text())}
    assert found == {
        "workloads/lifecycle/base/mlflow_api.py",
        "workloads/lifecycle/operations/doctor/probes.py",
    }
