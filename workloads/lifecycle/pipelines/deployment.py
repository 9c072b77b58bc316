"""Stage 6: wait until the model server answers with the promoted version, then try every form of request once.

Moves nothing: the server follows the registry's alias by itself. This is the proof that it did.
"""

import argparse
import time
from typing import TYPE_CHECKING, Any

import httpx
from pydantic import BaseModel, ConfigDict

from workloads.lifecycle.base.environment import Environment, load
from workloads.lifecycle.base.errors import WorkloadError, run_command
from workloads.lifecycle.base.servers import wait_for_model_server
from workloads.lifecycle.features.publication import newest, pull, read_offline
from workloads.lifecycle.schema import Feature
from workloads.lifecycle.workload import Workload

if TYPE_CHECKING:
    import pandas as pd

_PAUSE_SECONDS = 0.2
_REQUEST_SECONDS = 5.0


class Deployed(BaseModel):
    """What the model server answered."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    version: str
    """Version that answered."""

    vector_prediction: float
    """Answer to the example vector."""

    keys: dict[str, int | str]
    """Keys of the lookup request."""

    keys_prediction: float
    """Answer to the lookup request."""


def deploy(environment: Environment, version: str) -> Deployed:
    """Wait until `version` answers, then predict by vector, by keys and by the v2 protocol.

    Raises WorkloadError when it does not answer in time, or when a form of request fails or disagrees.
    """
    definition = environment.definition
    example = list(definition.example)
    wait_for_model_server(environment)
    url = environment.need("model_url").rstrip("/")
    with httpx.Client(timeout=_REQUEST_SECONDS, headers=environment.probe_headers) as http:
        _wait_for_version(http, url, version, example, environment.settings.deployment.served_wait_seconds)
        by_vector = _predict(http, url, example)
        pull(environment)
        row = newest(definition, read_offline(environment)).iloc[0]
        keys = {entity.key: _key(row[entity.key], entity.type) for entity in definition.entities}
        by_keys = _predict_by_keys(http, url, keys, environment.settings.deployment.served_wait_seconds)
        same = _predict(http, url, [_value(row, feature) for feature in definition.inputs])
        by_v2 = _predict_v2(http, url, definition)
    if same != by_keys:
        raise WorkloadError(f"{keys} scores {by_keys}, its offline features score {same}")
    if by_v2 != by_vector:
        raise WorkloadError(f"v2 scores {by_v2} where v1 scores {by_vector}")
    return Deployed(version=version, vector_prediction=by_vector, keys=keys, keys_prediction=by_keys)


def _key(value: Any, kind: str) -> int | str:
    return str(value) if kind == "string" else int(value)


def _value(row: "pd.Series[Any]", feature: Feature) -> float | str | None:
    import pandas as pd  # noqa: PLC0415  comes with the features, which are read by now

    value = row[feature.name]
    if pd.isna(value):
        return None
    return str(value) if feature.type == "string" else float(value)


def _wait_for_version(http: httpx.Client, url: str, version: str, example: list[Any], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    answer = "no answer"
    while time.monotonic() < deadline:
        try:
            response = http.post(f"{url}:predict", json={"instances": [example]})
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


def _predict_by_keys(http: httpx.Client, url: str, keys: dict[str, int | str], seconds: float) -> float:
    """The server imports the feature lookup after it is live, so that 503 is no failure yet."""
    deadline = time.monotonic() + seconds
    body = {"instances": [keys]}
    while http.post(f"{url}:predict", json=body).status_code == httpx.codes.SERVICE_UNAVAILABLE:
        if time.monotonic() > deadline:
            break
        time.sleep(_PAUSE_SECONDS)
    return _predict(http, url, keys)


def _predict_v2(http: httpx.Client, url: str, definition: Workload) -> float:
    example = zip(definition.inputs, definition.example, strict=True)
    tensors = [
        {
            "name": feature.name,
            "shape": [1],
            "datatype": "BYTES" if feature.type == "string" else "FP64",
            "data": [value],
        }
        for feature, value in example
    ]
    response = http.post(f"{url.replace('/v1/', '/v2/')}/infer", json={"inputs": tensors})
    if response.is_error:
        raise WorkloadError(f"v2 answered {response.status_code}: {response.text[:300]}")
    return float(response.json()["outputs"][0]["data"][0])


def main() -> None:
    """Command: wait for a version to be served and print what it answered."""
    parser = argparse.ArgumentParser(prog="python -m workloads.lifecycle.pipelines.deployment", description=__doc__)
    parser.add_argument("version", help="version of the registered model that must answer")
    print(deploy(load(), parser.parse_args().version).model_dump_json(indent=1))


if __name__ == "__main__":
    run_command(main)
