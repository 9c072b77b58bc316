"""The OpenAPI document of a model server: what KServe generates has no bodies, no errors, and routes that are refused.

Leaves out the routes of KServe that this server refuses: loading and unloading, versions in the path, `:explain`.
"""

from typing import Any

from workloads.lifecycle.schema import Feature
from workloads.lifecycle.serving.explainer import BASELINE
from workloads.lifecycle.serving.explanation import OUTPUT, PARAMETER, scale
from workloads.lifecycle.serving.payload import LARGEST_KEY, LARGEST_VALUE, LONGEST_TEXT, bounds
from workloads.lifecycle.workload import Workload

OPENAPI_PATH = "/openapi.json"
REQUEST_ID_HEADER = "x-request-id"
PREDICTION_ID_HEADER = "x-prediction-id"
VERSION_HEADER = "x-model-version"
JSON_LENGTH_HEADER = "inference-header-content-length"

_ANSWERED = (REQUEST_ID_HEADER, PREDICTION_ID_HEADER, VERSION_HEADER)
"""Headers of a prediction."""

_Schema = dict[str, Any]

_ERRORS = {
    "400": "The request breaks the schema; the sentence says where.",
    "404": "The store holds no features for an entity.",
    "408": "The body did not come in time.",
    "409": "The features of an entity are too old, or the served version cannot be explained.",
    "413": "The body is too large.",
    "415": "The body is encoded.",
    "503": "No verified model, a store that is down, or too many requests; `Retry-After` says when to come back.",
}
_DATATYPES = [
    *("BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64"),
    *("FP16", "FP32", "FP64", "BYTES"),
]


def document(
    workload: Workload, max_rows: int, inputs: list[_Schema], outputs: list[_Schema], *, bounded: bool = True
) -> _Schema:
    """OpenAPI 3.1 of the server of one workload; `inputs` and `outputs` are the tensors of its metadata.

    `bounded`: values outside the bounds of their features are refused.
    """
    tensors = {"inputs": inputs, "outputs": outputs}
    return {
        "openapi": "3.1.0",
        "info": {"title": workload.name, "version": "1", "description": f"Predictions of {workload.name}."},
        "paths": {
            f"/v1/models/{workload.name}:predict": {"post": _v1(workload, max_rows, bounded=bounded)},
            f"/v2/models/{workload.name}/infer": {"post": _v2(workload, max_rows, outputs)},
            "/v1/models": {"get": _get("List the models", {"models": _array({"const": workload.name})})},
            f"/v1/models/{workload.name}": {
                "get": _get("Whether the model can answer", {"name": {"const": workload.name}, "ready": _BOOLEAN}, 503)
            },
            "/v2": {"get": _get("Describe the server", {"name": _TEXT, "version": _TEXT, "extensions": _array(_TEXT)})},
            "/v2/health/live": {"get": _get("Whether the process works", {"live": _BOOLEAN}, 503)},
            "/v2/health/ready": {"get": _get("Whether predictions can be had", {"ready": _BOOLEAN}, 503)},
            f"/v2/models/{workload.name}": {
                "get": _get(
                    "Describe the tensors",
                    {
                        "name": {"const": workload.name},
                        "platform": _TEXT,
                        **{name: {"const": found} for name, found in tensors.items()},
                    },
                )
            },
            f"/v2/models/{workload.name}/ready": {
                "get": _get("Whether the model can answer", {"name": {"const": workload.name}, "ready": _BOOLEAN}, 503)
            },
            "/metrics": {
                "get": {
                    "summary": "Prometheus metrics",
                    "responses": {
                        "200": {
                            "description": "In Prometheus's text format, or OpenMetrics where the client accepts it.",
                            "content": {"text/plain": {"schema": _TEXT}},
                        }
                    },
                }
            },
        },
        "components": {"schemas": {"Error": _object({"error": {"type": "string", "minLength": 1}})}},
    }


_TEXT: _Schema = {"type": "string"}
_BOOLEAN: _Schema = {"type": "boolean"}
_NUMBER: _Schema = {"type": "number"}


def _v1(workload: Workload, max_rows: int, *, bounded: bool) -> _Schema:
    row = {
        "type": "array",
        "prefixItems": [_value(feature, bounded=bounded) for feature in workload.inputs],
        "minItems": len(workload.features),
        "maxItems": len(workload.features),
        "description": ", ".join(workload.features),
    }
    key = _object({entity.key: _key(entity.type) for entity in workload.entities}, closed=True)
    instances = {"oneOf": [{**_array(each), "minItems": 1, "maxItems": max_rows} for each in (row, key)]}
    predictions = {**_array({"type": "number"}), "minItems": 1, "maxItems": max_rows}
    explained = _object(
        {
            BASELINE: _NUMBER,
            "contributions": _object(dict.fromkeys(workload.features, _NUMBER), closed=True),
            "sum": _NUMBER,
        }
    )
    explanations = _object({"of": {"const": scale(workload)}, "rows": _array(explained)})
    by_row = {**_array({"type": "string"}), "description": "Version of each row, where two versions answered."}
    parts = {"predictions": predictions, "explanations": explanations, "versions": by_row}
    answered = _object(parts, required=["predictions"])
    example = {"instances": [list(workload.example)]}
    found = _post("Predict, protocol v1", _object({"instances": instances}), answered, example)
    found["parameters"].append(
        {
            "name": PARAMETER,
            "in": "query",
            "required": False,
            "description": f"Whether the answer holds contributions, which sum to the {scale(workload)}.",
            "schema": _BOOLEAN,
        }
    )
    return found


def _v2(workload: Workload, max_rows: int, outputs: list[_Schema]) -> _Schema:
    """Bodies of JSON; the binary extension appends the tensors' bytes, which no schema can describe."""
    name = outputs[0]["name"]
    tensor = _object(
        {
            "name": _TEXT,
            "datatype": {"enum": _DATATYPES},
            "shape": {**_array({"type": "integer", "minimum": 0}), "minItems": 1},
            "data": {"type": "array"},
        }
    )
    asked = {
        "inputs": {**_array(tensor), "minItems": 1},
        "id": {"type": ["string", "null"]},
        "parameters": {"type": ["object", "null"], "properties": {PARAMETER: _BOOLEAN}},
        "outputs": {
            "type": ["array", "null"],
            "items": _object({"name": {"const": name}}),
            "minItems": 1,
            "maxItems": 1,
        },
    }
    answered = _object(
        {
            "id": _TEXT,
            "model_name": {"const": workload.name},
            "model_version": _TEXT,
            "outputs": {
                "type": "array",
                "items": {
                    "anyOf": [
                        _tensor(name, 1, max_rows),
                        _tensor(OUTPUT, 2, max_rows * (len(workload.features) + 1)),
                    ]
                },
                "minItems": 1,
                "maxItems": 2,
            },
        }
    )
    tensors = [
        {
            "name": feature.name,
            "datatype": "BYTES" if feature.type == "string" else "FP64",
            "shape": [1],
            "data": [value],
        }
        for feature, value in zip(workload.inputs, workload.example, strict=True)
    ]
    return _post("Predict, protocol v2", _object(asked, required=["inputs"]), answered, {"inputs": tensors})


def _tensor(name: str, dimensions: int, values: int) -> _Schema:
    """An output of numbers."""
    return _object(
        {
            "name": {"const": name},
            "datatype": {"const": "FP64"},
            "shape": {
                **_array({"type": "integer", "minimum": 1}),
                "minItems": dimensions,
                "maxItems": dimensions,
            },
            "data": {**_array({"type": "number"}), "maxItems": values},
        }
    )


def _post(summary: str, asked: _Schema, answered: _Schema, example: _Schema) -> _Schema:
    return {
        "summary": summary,
        "parameters": [
            {
                "name": REQUEST_ID_HEADER,
                "in": "header",
                "required": False,
                "description": (
                    "The client's name for the request, 1 to 64 of A-Za-z0-9._:-; comes back, and is captured beside "
                    f"the server's, {PREDICTION_ID_HEADER}."
                ),
                "schema": _TEXT,
            }
        ],
        "requestBody": {"required": True, "content": {"application/json": {"schema": asked, "example": example}}},
        "responses": {
            "200": {
                "description": "One answer a row, in the order of the rows.",
                "headers": {name: {"schema": _TEXT, "required": True} for name in _ANSWERED},
                "content": {"application/json": {"schema": answered}},
            },
            **{status: _error(what) for status, what in _ERRORS.items()},
        },
    }


def _get(summary: str, answered: dict[str, _Schema], *also: int) -> _Schema:
    return {
        "summary": summary,
        "responses": {
            "200": {"description": summary, "content": {"application/json": {"schema": _object(answered)}}},
            **{str(status): _error(_ERRORS[str(status)]) for status in also},
        },
    }


def _error(what: str) -> _Schema:
    return {
        "description": what,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }


def _value(feature: Feature, *, bounded: bool) -> _Schema:
    if feature.type == "string":
        schema: _Schema = {"type": "string", "minLength": 1, "maxLength": LONGEST_TEXT}
    else:
        lowest, highest = bounds(feature) if bounded else (-LARGEST_VALUE, LARGEST_VALUE)
        schema = {"type": "number", "minimum": lowest, "maximum": highest}
    return {"anyOf": [schema, {"type": "null"}]} if feature.nullable else schema


def _key(kind: str) -> _Schema:
    if kind == "string":
        return {"type": "string", "minLength": 1, "maxLength": LONGEST_TEXT}
    return {"type": "integer", "minimum": 0, "maximum": LARGEST_KEY}


def _array(items: _Schema) -> _Schema:
    return {"type": "array", "items": items}


def _object(properties: dict[str, _Schema], *, required: list[str] | None = None, closed: bool = False) -> _Schema:
    shape: _Schema = {"type": "object", "properties": properties, "required": required or list(properties)}
    return {**shape, "additionalProperties": False} if closed else shape
