"""How a request asks for explanations in both protocols, and how answers hold them.

v1: `?explain=true`; v2: `"parameters": {"explain": true}`. A row's contributions and its baseline sum to the log-odds
of the probability or, of a regression, to the prediction.
"""

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from kserve import InferOutput

from workloads.lifecycle.serving.explainer import BASELINE
from workloads.lifecycle.serving.payload import malformed
from workloads.lifecycle.workload import Workload

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

PARAMETER = "explain"
OUTPUT = "contributions"
"""Name of the v2 tensor."""

_BOOLEANS = {"true": True, "false": False}
_SHOWN = 40


def asked_v1(query: bytes) -> bool:
    """Whether a v1 request's query asks for explanations; raises RequestError for another value than true and false."""
    values = [value for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True) if name == PARAMETER]
    if not values:
        return False
    if len(values) > 1 or values[0] not in _BOOLEANS:
        raise malformed(f"?{PARAMETER}= must be true or false, once; got {', '.join(values)[:_SHOWN]!r}")
    return _BOOLEANS[values[0]]


def asked_v2(parameters: Any) -> bool:
    """Whether a v2 request's parameters ask for explanations; raises RequestError for a value that is no boolean."""
    value = parameters.get(PARAMETER, False) if parameters else False
    if not isinstance(value, bool):
        raise malformed(f'parameters: "{PARAMETER}" must be true or false, got {str(value)[:_SHOWN]!r}')
    return value


def scale(workload: Workload) -> str:
    """What contributions sum to."""
    return "log-odds" if workload.problem == "binary" else "prediction"


def v1(workload: Workload, found: "npt.NDArray[np.float64]") -> dict[str, Any]:
    """The `explanations` of a v1 answer, one row of `rows` for each prediction."""
    names = [*workload.features, BASELINE]
    rows = []
    for values in found.tolist():
        by_name = dict(zip(names, values, strict=True))
        baseline = by_name.pop(BASELINE)
        rows.append({BASELINE: baseline, "contributions": by_name, "sum": sum(values)})
    return {"of": scale(workload), "rows": rows}


def v2(workload: Workload, found: "npt.NDArray[np.float64]") -> InferOutput:
    """The tensor [rows, features + 1] of a v2 answer, whose parameters name its columns."""
    parameters = {"columns": ",".join([*workload.features, BASELINE]), "sum": scale(workload)}
    return InferOutput(OUTPUT, list(found.shape), "FP64", data=found.ravel().tolist(), parameters=parameters)
