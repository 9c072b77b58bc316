"""What a request may say, in both protocols: checked, bounded, answered with one helpful sentence when it is wrong."""

import math
import reprlib
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from workloads.loan_default import ENTITY, FEATURES

if TYPE_CHECKING:
    import numpy.typing as npt

WIDTH = len(FEATURES)
EXAMPLE_BODY = '{"instances": [[45, 72000, 680, 3]]} or {"instances": [{"CustomerID": 1001}]}'
MAX_CUSTOMER = 2**53
MAX_VALUE = 1e12
"""Largest magnitude of a feature; float32 keeps it and nothing real comes near."""


class RequestError(Exception):
    """A request that gets no prediction; carries the status, the metric's reason and the sentence for the client."""

    def __init__(self, status: HTTPStatus, reason: str, message: str, retry_after_seconds: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds


def malformed(message: str) -> RequestError:
    """400: the client can fix it."""
    return RequestError(HTTPStatus.BAD_REQUEST, "malformed", message)


class Rows(NamedTuple):
    """A checked request: vectors, or customers whose features are still to be looked up; one is made per request."""

    vectors: "npt.NDArray[np.float32] | None"
    """float32, one row per instance."""

    customers: tuple[int, ...] = ()
    """IDs, when the request named customers."""


def parse_v1(body: Any, max_rows: int) -> Rows:
    """Rows of a v1 body, `{"instances": […]}`; raises RequestError."""
    if not isinstance(body, dict):
        raise malformed(f"the body must be a JSON object with Content-Type application/json, like {EXAMPLE_BODY}")
    if "instances" not in body:
        raise malformed(f'the body has no "instances"; expected {EXAMPLE_BODY}')
    instances = body["instances"]
    if not isinstance(instances, list) or not instances:
        raise malformed(f'"instances" must be a list with at least one instance, like {EXAMPLE_BODY}')
    _check_count(len(instances), max_rows)
    if isinstance(instances[0], dict):
        return Rows(None, tuple(_customer(item, index) for index, item in enumerate(instances)))
    return Rows(_vectors(instances))


def parse_v2(inputs: Sequence[Any], max_rows: int) -> Rows:
    """Rows of a v2 request: one tensor [n, 4] of numbers, or `CustomerID` as [n] or [n, 1]; raises RequestError."""
    if len(inputs) != 1:
        raise malformed(
            f"expected one input tensor, got {len(inputs)}: {', '.join(FEATURES)} as [n, {WIDTH}], or {ENTITY} as [n]"
        )
    tensor = inputs[0]
    shape = tensor.shape
    if not isinstance(shape, list) or not shape or any(type(size) is not int or size < 0 for size in shape):
        raise malformed(f"the shape of {tensor.name!r} must be a list of sizes")
    _check_count(shape[0], max_rows)
    try:
        values = np.asarray(tensor.as_numpy())
    except Exception as error:  # KServe raises whatever numpy raised
        raise malformed(f"the data of {tensor.name!r} is not {shape} of {tensor.datatype}: {error}") from error
    if values.dtype.kind not in "iuf":
        raise malformed(
            f"the datatype of {tensor.name!r} must be a number (FP64, FP32, INT64, …), got {tensor.datatype}"
        )
    if tensor.name == ENTITY and values.size == shape[0]:
        return Rows(
            None, tuple(_customer({ENTITY: value}, index) for index, value in enumerate(values.ravel().tolist()))
        )
    if values.ndim != 2 or values.shape[1] != WIDTH or not len(values):  # noqa: PLR2004  a matrix
        raise malformed(f"the shape of {tensor.name!r} must be [n, {WIDTH}]: {', '.join(FEATURES)}; got {shape}")
    return Rows(_finite(values.astype(np.float64)))


def _vectors(instances: list[Any]) -> "npt.NDArray[np.float32]":
    for index, row in enumerate(instances):
        if type(row) is not list or len(row) != WIDTH:
            raise malformed(f"instance {index} must be a list of {WIDTH} numbers: {', '.join(FEATURES)}")
        for name, value in zip(FEATURES, row, strict=True):
            kind = type(value)
            if kind is not int and kind is not float:
                raise malformed(f"instance {index}: {name} must be a number, got {_shown(value)}")
            if not -MAX_VALUE <= value <= MAX_VALUE:
                raise malformed(
                    f"instance {index}: {name} must be finite and below {MAX_VALUE:.0e}, got {_shown(value)}"
                )
    return np.array(instances, dtype=np.float32)


def _finite(values: "npt.NDArray[np.float64]") -> "npt.NDArray[np.float32]":
    if not (np.abs(values) <= MAX_VALUE).all():
        raise malformed(f"every value must be finite and below {MAX_VALUE:.0e}")
    return values.astype(np.float32)


def _customer(item: Any, index: int) -> int:
    value = item.get(ENTITY) if isinstance(item, Mapping) else None
    if not isinstance(item, Mapping) or set(item) != {ENTITY}:
        raise malformed(
            f'instance {index} must be {{"{ENTITY}": <integer>}} and nothing else; do not mix it with vectors'
        )
    if type(value) is float and math.isfinite(value) and value == int(value):
        value = int(value)
    if type(value) is not int or not 0 <= value <= MAX_CUSTOMER:
        raise malformed(f"instance {index}: {ENTITY} must be a whole number from 0 to 2^53, got {_shown(value)}")
    return value


def _check_count(count: int, max_rows: int) -> None:
    if count > max_rows:
        raise malformed(
            f"{count} rows are too many for one request, the limit is {max_rows}; split it, or use batch scoring"
        )


def _shown(value: Any) -> str:
    text = reprlib.repr(value)  # repr itself fails on what is nested a thousand deep
    return text if len(text) <= 40 else text[:37] + "..."  # noqa: PLR2004  enough to recognize it
