"""Stage 6: wait until the model server answers with the promoted version, then try every form of request once.

Moves nothing: the server follows the registry's alias by itself. This is the proof that it did.
"""

import argparse
import time
from typing import Any

import httpx
from pydantic import BaseModel, ConfigDict

from workloads.loan_default import ENTITY, FEATURES
from workloads.loan_default.definition import LOAN_DEFAULT
from workloads.loan_default.errors import WorkloadError, run_command
from workloads.loan_default.features import pull, read_offline
from workloads.loan_default.servers import wait_for_model_server
from workloads.loan_default.settings import Environment, load

EXAMPLE_VECTOR = list(LOAN_DEFAULT.example)
_PAUSE_SECONDS = 0.2
_REQUEST_SECONDS = 5.0


class Deployed(BaseModel):
    """What the model server answered."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    version: str
    """Version that answered."""

    vector_prediction: float
    """Default probability of the example vector."""

    customer: int
    """Customer of the lookup request."""

    customer_prediction: float
    """Default probability of that customer."""


def deploy(environment: Environment, version: str) -> Deployed:
    """Wait until `version` answers, then predict by vector, by customer and by the v2 protocol.

    Raises WorkloadError when it does not answer in time, or when a form of request fails or disagrees.
    """
    wait_for_model_server(environment)
    url = environment.need("model_url").rstrip("/")
    with httpx.Client(timeout=_REQUEST_SECONDS) as http:
        _wait_for_version(http, url, version, environment.settings.deployment.served_wait_seconds)
        by_vector = _predict(http, url, EXAMPLE_VECTOR)
        pull(environment)
        row = read_offline(environment).iloc[0]
        customer = int(row[ENTITY])
        by_customer = _predict_customer(http, url, customer, environment.settings.deployment.served_wait_seconds)
        same = _predict(http, url, [float(row[name]) for name in FEATURES])
        by_v2 = _predict_v2(http, url, EXAMPLE_VECTOR)
    if same != by_customer:
        raise WorkloadError(f"{ENTITY} {customer} scores {by_customer}, its offline features score {same}")
    if by_v2 != by_vector:
        raise WorkloadError(f"v2 scores {by_v2} where v1 scores {by_vector}")
    return Deployed(version=version, vector_prediction=by_vector, customer=customer, customer_prediction=by_customer)


def _wait_for_version(http: httpx.Client, url: str, version: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    answer = "no answer"
    while time.monotonic() < deadline:
        try:
            response = http.post(f"{url}:predict", json={"instances": [EXAMPLE_VECTOR]})
            if response.headers.get("x-model-version") == version:
                return
            answer = f"version {response.headers.get('x-model-version')}, status {response.status_code}"
        except httpx.HTTPError as error:
            answer = str(error)
        time.sleep(_PAUSE_SECONDS)
    raise WorkloadError(f"{url} did not serve version {version} within {seconds:.0f} s (last: {answer}); see its log")


def _predict(http: httpx.Client, url: str, instance: Any) -> float:
    response = http.post(f"{url}:predict", json={"instances": [instance]})
    if response.is_error:
        raise WorkloadError(f"{url}:predict answered {response.status_code} for {instance}: {response.text[:300]}")
    return float(response.json()["predictions"][0])


def _predict_customer(http: httpx.Client, url: str, customer: int, seconds: float) -> float:
    """The server imports the feature lookup after it is live, so that 503 is no failure yet."""
    deadline = time.monotonic() + seconds
    body = {"instances": [{ENTITY: customer}]}
    while http.post(f"{url}:predict", json=body).status_code == httpx.codes.SERVICE_UNAVAILABLE:
        if time.monotonic() > deadline:
            break
        time.sleep(_PAUSE_SECONDS)
    return _predict(http, url, {ENTITY: customer})


def _predict_v2(http: httpx.Client, url: str, vector: list[int | float]) -> float:
    tensor = {"name": "features", "shape": [1, len(vector)], "datatype": "FP64", "data": [vector]}
    response = http.post(f"{url.replace('/v1/', '/v2/')}/infer", json={"inputs": [tensor]})
    if response.is_error:
        raise WorkloadError(f"v2 answered {response.status_code}: {response.text[:300]}")
    return float(response.json()["outputs"][0]["data"][0])


def main() -> None:
    """Command: wait for a version to be served and print what it answered."""
    parser = argparse.ArgumentParser(prog="python -m workloads.loan_default.deployment", description=__doc__)
    parser.add_argument("version", help="version of the registered model that must answer")
    print(deploy(load(), parser.parse_args().version).model_dump_json(indent=1))


if __name__ == "__main__":
    run_command(main)
