"""What a request may say, in both protocols: checked, bounded, answered with one helpful sentence when it is wrong."""

import json
import math
import re
import reprlib
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from workloads.lifecycle.base import metrics
from workloads.lifecycle.base.errors import RequestError
from workloads.lifecycle.schema import Entity, Feature, Key
from workloads.lifecycle.workload import Workload

if TYPE_CHECKING:
    import numpy.typing as npt

LARGEST_KEY = 2**53
LONGEST_TEXT = 256
"""Characters of a key or of a category."""

LARGEST_VALUE = 1e12
"""Largest magnitude of a feature; float32 keeps it and nothing real comes near."""

_OTHER_VALUES = 1_000
"""Values of a body beside its rows: names, shapes, parameters."""

_TEXT = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
"""A JSON text, whose commas separate nothing."""

_WORDS = {"integer": "<integer>", "string": "<text>"}


def malformed(message: str) -> RequestError:
    """400: the client can fix it."""
    return RequestError(HTTPStatus.BAD_REQUEST, "malformed", message)


class Rows(NamedTuple):
    """A checked request: vectors, or keys whose features are still to be looked up; one is made per request."""

    vectors: "npt.NDArray[Any] | None"
    """One row per instance: float32, a missing number being NaN; Python objects where a feature is a string."""

    keys: tuple[Key, ...] = ()
    """Values of the join keys, in their order, when the request named entities."""

    outside: tuple[int, ...] = ()
    """Places of the rows with a value outside the bounds of its feature, ascending."""


class Requests:
    """What the requests of one workload may say."""

    def __init__(self, workload: Workload, max_rows: int, *, scores_outside: bool = False) -> None:
        """`scores_outside`: takes rows with values outside the bounds of their features, and says which."""
        self._scores_outside = scores_outside
        self._entities = workload.entities
        self._keys = workload.keys
        self._inputs = workload.inputs
        self._features = workload.features
        self._width = len(workload.features)
        self._numbers = tuple(feature.type != "string" for feature in workload.inputs)
        self._has_strings = not all(self._numbers)
        self._bounds = tuple(bounds(feature) for feature in workload.inputs)
        self._lowest, self._highest = np.array(self._bounds).T
        self._nullable = np.array([feature.nullable for feature in workload.inputs])
        self._max_rows = max_rows
        self._max_values = max_rows * (max(self._width, len(self._keys)) + 1) + _OTHER_VALUES
        self._listed = ", ".join(workload.features)
        self._example = example(workload)
        self._asked = ", ".join(f'"{entity.key}": {_WORDS[entity.type]}' for entity in workload.entities)

    def check(self, body: bytes) -> None:
        """Refuse a body of more values than a request may hold, at a hundredth of what parsing it would cost.

        Raises: RequestError.
        """
        if body.count(b",") > self._max_values and _TEXT.sub(b"", body).count(b",") > self._max_values:
            raise malformed(f"more than {self._max_values} values; the limit is {self._max_rows} rows a request")

    def v1(self, body: Any) -> Rows:
        """Rows of a v1 body, `{"instances": […]}`; raises RequestError."""
        if not isinstance(body, dict):
            raise malformed(f"the body must be a JSON object with Content-Type application/json, like {self._example}")
        if "instances" not in body:
            raise malformed(f'the body has no "instances"; expected {self._example}')
        instances = body["instances"]
        if not isinstance(instances, list) or not instances:
            raise malformed(f'"instances" must be a list with at least one instance, like {self._example}')
        self._check_count(len(instances))
        if isinstance(instances[0], dict):
            return Rows(None, tuple(self._key(item, index) for index, item in enumerate(instances)))
        return self._vectors(instances)

    def v2(self, inputs: Sequence[Any]) -> Rows:
        """Rows of a v2 request; raises RequestError.

        One tensor [n, features] of numbers, or one tensor [n] or [n, 1] per feature or per join key, by its name.
        """
        names = [tensor.name for tensor in inputs]
        if len(names) == len(self._keys) and set(names) == set(self._keys):
            columns = self._columns(inputs)
            rows = zip(*(columns[key] for key in self._keys), strict=True)
            return Rows(
                None, tuple(self._key(dict(zip(self._keys, row, strict=True)), n) for n, row in enumerate(rows))
            )
        if len(names) == self._width and set(names) == set(self._features):
            columns = self._columns(inputs)
            return self._vectors([list(row) for row in zip(*map(columns.get, self._features), strict=True)])
        if len(inputs) != 1 or self._has_strings:
            raise malformed(f"expected {self._tensors(len(inputs))}")
        return self._matrix(inputs[0])

    def _tensors(self, count: int) -> str:
        """What tensors a v2 request may hold, where one had `count`."""
        by_key = f"{' and '.join(self._keys)} as [n]"
        if self._has_strings:
            return f"one input tensor [n] for each of {self._listed}, or {by_key}; got {count}"
        return f"one input tensor, got {count}: {self._listed} as [n, {self._width}], or {by_key}"

    def _columns(self, inputs: Sequence[Any]) -> dict[str, list[Any]]:
        """Name -> values of tensors that each hold one value per row."""
        columns = {}
        for tensor in inputs:
            values = self._array(tensor)
            if values.size != tensor.shape[0] or len(values) != inputs[0].shape[0]:
                raise malformed(
                    f"the shape of {tensor.name!r} must be [n] or [n, 1] with the same n, got {tensor.shape}"
                )
            columns[tensor.name] = [_plain(value) for value in values.ravel().tolist()]
        if not next(iter(columns.values())):
            raise malformed("the tensors hold no row")
        return columns

    def _matrix(self, tensor: Any) -> Rows:
        values = self._array(tensor)
        if values.dtype.kind not in "iuf":
            raise malformed(
                f"the datatype of {tensor.name!r} must be a number (FP64, FP32, INT64, …), got {tensor.datatype}"
            )
        if values.ndim != 2 or values.shape[1] != self._width or not len(values):  # noqa: PLR2004  a matrix
            raise malformed(
                f"the shape of {tensor.name!r} must be [n, {self._width}]: {self._listed}; got {tensor.shape}"
            )
        missing = np.isnan(values) & self._nullable
        if not ((np.abs(values) <= LARGEST_VALUE) | missing).all():
            raise malformed(f"every value must be finite and below {LARGEST_VALUE:.0e}")
        outside = ~((self._lowest <= values) & (values <= self._highest) | missing)
        places = np.flatnonzero(outside.any(axis=1)).tolist()
        if places:
            place = int(outside[places[0]].argmax())
            self._check_outside(places[0], self._inputs[place], values[places[0], place].item())
        return Rows(values.astype(np.float32), outside=tuple(places))

    def _check_outside(self, index: int, feature: Feature, value: float) -> None:
        """Refuse a value outside its bounds, unless such rows are scored; raises RequestError."""
        lowest, highest = bounds(feature)
        where = f"instance {index}: {feature.name} must be"
        if not -LARGEST_VALUE <= value <= LARGEST_VALUE:
            raise malformed(f"{where} finite and below {LARGEST_VALUE:.0e}, got {_shown(value)}")
        if not self._scores_outside:
            text = f"{where} from {lowest:g} to {highest:g}, got {_shown(value)}; correct it, or leave the row out"
            raise RequestError(HTTPStatus.BAD_REQUEST, metrics.OUT_OF_RANGE, text)

    def _array(self, tensor: Any) -> "npt.NDArray[Any]":
        shape = tensor.shape
        if not isinstance(shape, list) or not shape or any(type(size) is not int or size < 0 for size in shape):
            raise malformed(f"the shape of {tensor.name!r} must be a list of sizes")
        self._check_count(shape[0])
        try:
            return np.asarray(tensor.as_numpy())
        except Exception as error:  # KServe raises whatever numpy raised
            raise malformed(f"the data of {tensor.name!r} is not {shape} of {tensor.datatype}: {error}") from error

    def _vectors(self, instances: list[Any]) -> Rows:
        outside: list[int] = []
        for index, row in enumerate(instances):
            if type(row) is not list or len(row) != self._width:
                what = "values" if self._has_strings else "numbers"
                raise malformed(f"instance {index} must be a list of {self._width} {what}: {self._listed}")
            checked = zip(self._inputs, self._numbers, self._bounds, row, strict=True)
            for feature, number, (lowest, highest), value in checked:
                kind = type(value)
                if number and (kind is float or kind is int):
                    if not lowest <= value <= highest:
                        self._check_outside(index, feature, value)
                        outside.append(index)
                elif not _fits(feature, value):
                    raise malformed(
                        f"instance {index}: {feature.name} must be {_allowed(feature)}, got {_shown(value)}"
                    )
        vectors = np.array(instances, dtype=object if self._has_strings else np.float32)
        return Rows(vectors, outside=tuple(dict.fromkeys(outside)))

    def _key(self, item: Any, index: int) -> Key:
        if not isinstance(item, Mapping) or set(item) != set(self._keys):
            raise malformed(f"instance {index} must be {{{self._asked}}} and nothing else; do not mix it with vectors")
        return tuple(_part(entity, item[entity.key], index) for entity in self._entities)

    def _check_count(self, count: int) -> None:
        if count > self._max_rows:
            raise malformed(
                f"{count} rows are too many for one request, the limit is {self._max_rows}; split it, or use batch "
                "scoring"
            )


def example(workload: Workload) -> str:
    """Two bodies of v1 requests, by vector and by key."""
    key = {entity.key: 1001 if entity.type == "integer" else "a" for entity in workload.entities}
    bodies = ({"instances": [each]} for each in (list(workload.example), key))
    return " or ".join(json.dumps(body, ensure_ascii=False) for body in bodies)


def _part(entity: Entity, value: Any, index: int) -> int | str:
    """One join key's value."""
    if entity.type == "string":
        if type(value) is not str or not 0 < len(value) <= LONGEST_TEXT:
            allowed = f"a text of 1 to {LONGEST_TEXT} characters"
            raise malformed(f"instance {index}: {entity.key} must be {allowed}, got {_shown(value)}")
        return value
    if type(value) is float and math.isfinite(value) and value == int(value):
        value = int(value)
    if type(value) is not int or not 0 <= value <= LARGEST_KEY:
        raise malformed(f"instance {index}: {entity.key} must be a whole number from 0 to 2^53, got {_shown(value)}")
    return value


def bounds(feature: Feature) -> tuple[float, float]:
    """Smallest and largest number that a feature takes."""
    lowest = -LARGEST_VALUE if feature.lowest is None else feature.lowest
    return lowest, LARGEST_VALUE if feature.highest is None else feature.highest


def _fits(feature: Feature, value: Any) -> bool:
    """Whether a value that is no number of a number's feature may stand there."""
    if value is None or (type(value) is float and math.isnan(value)):
        return feature.nullable
    return feature.type == "string" and type(value) is str and 0 < len(value) <= LONGEST_TEXT


def _allowed(feature: Feature) -> str:
    allowed = "a number" if feature.type != "string" else f"a text of 1 to {LONGEST_TEXT} characters"
    return f"{allowed} or null" if feature.nullable else allowed


def _plain(value: Any) -> Any:
    """A tensor's value as JSON would have given it; NaN stands for null."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise malformed(f"{_shown(value)} is no UTF-8 text") from error
    return None if isinstance(value, float) and math.isnan(value) else value


def _shown(value: Any) -> str:
    text = reprlib.repr(value)  # repr itself fails on what is nested a thousand deep
    return text if len(text) <= 40 else text[:37] + "..."  # noqa: PLR2004  enough to recognize it
