"""`python run.py '{"feature": value, …}' [FILE]`: one prediction by the model beside this file; needs onnxruntime."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

HERE = Path(__file__).parent


def predict(values: dict[str, Any], model: str = "model.ort") -> float:
    """Probability of 1, or the outcome, for one row by feature; a missing value or null is unknown to the model."""
    card = json.loads((HERE / "edge.json").read_text(encoding="utf-8"))
    categories = card["categories"]

    def number(name: str) -> float:
        value = values.get(name)
        if name in categories:
            known = categories[name]
            return float(known.index(value) if value in known else card["unknown_category"])
        return float("nan") if value is None else float(value)

    session = ort.InferenceSession(str(HERE / model), providers=["CPUExecutionProvider"])
    row = np.array([[number(name) for name in card["features"]]], dtype=np.float32)
    answer = session.run(None, {session.get_inputs()[0].name: row})[-1]
    return float(np.ravel(answer)[-1])


if __name__ == "__main__":
    print(predict(json.loads(sys.argv[1]), *sys.argv[2:]))
