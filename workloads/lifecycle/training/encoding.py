"""Features as the numbers that a model takes: the same for training, gate, batch and requests.

A model and its ONNX twin take one matrix of numbers. A category becomes its place among the values seen in training;
a value that was not seen, and a missing one, become `UNKNOWN`. A missing number stays NaN, which the model handles.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Union

from workloads.lifecycle.workload import Workload

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

Columns = Union["pd.DataFrame", Mapping[str, Iterable[Any]]]
"""The values of each feature by name."""

UNKNOWN = -1
"""Code of a category that is missing or was not seen in training."""


@dataclass(frozen=True)
class Encoding:
    """The model's inputs in order, and the values of those that are categories."""

    features: tuple[str, ...]

    categories: Mapping[str, tuple[str, ...]]
    """By feature, the values seen in training, sorted; a value's code is its place."""

    @classmethod
    def learn(cls, workload: Workload, frame: "pd.DataFrame") -> "Encoding":
        """The encoding of a workload's features, with the categories that a frame holds."""
        strings = [feature.name for feature in workload.inputs if feature.type == "string"]
        return cls(workload.features, {name: tuple(sorted(frame[name].dropna().unique())) for name in strings})

    def matrix(self, columns: Columns) -> "npt.NDArray[np.float64]":
        """One column of numbers per feature; `columns` holds each feature's values by name, None where missing."""
        import numpy as np  # noqa: PLC0415

        return np.column_stack([self._column(name, columns[name]) for name in self.features])

    def _column(self, name: str, values: Any) -> "npt.NDArray[np.float64]":
        import numpy as np  # noqa: PLC0415
        import pandas as pd  # noqa: PLC0415

        if name not in self.categories:
            return pd.Series(values).to_numpy(dtype=float, na_value=np.nan)
        codes = {value: float(code) for code, value in enumerate(self.categories[name])}
        return np.array([codes.get(value, UNKNOWN) for value in values], dtype=float)
