"""Program in the environment `clients`: asks a server by Triton's Python client in every mode; prints JSON by mode."""

import itertools
import json
import sys

import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException, triton_to_np_dtype


def main(address: str, name: str, vector: list[float]) -> dict[str, object]:
    client = triton.InferenceServerClient(address)
    answers: dict[str, object] = {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "model_ready": client.is_model_ready(name),
        "server": client.get_server_metadata()["name"],
        "inputs": client.get_model_metadata(name)["inputs"],
    }
    for binary_in, binary_out, datatype in itertools.product((False, True), (None, False, True), ("FP64", "FP32")):
        tensor = triton.InferInput("features", [1, len(vector)], datatype)
        tensor.set_data_from_numpy(np.array([vector], triton_to_np_dtype(datatype)), binary_data=binary_in)
        outputs = None if binary_out is None else [triton.InferRequestedOutput("probability", binary_data=binary_out)]
        mode = f"{datatype} in {_word(binary_in)} out {_word(binary_out)}"
        answers[mode] = client.infer(name, [tensor], outputs=outputs).as_numpy("probability").tolist()
        answers[f"async {mode}"] = (
            client.async_infer(name, [tensor], outputs=outputs).get_result().as_numpy("probability").tolist()
        )
    for binary in (False, True):
        key = triton.InferInput("CustomerID", [1], "INT64")
        key.set_data_from_numpy(np.array([45]), binary_data=binary)
        answers[f"key {_word(binary)}"] = client.infer(name, [key]).as_numpy("probability").tolist()
    for algorithm in ("gzip", "deflate"):
        try:
            client.infer(name, [tensor], request_compression_algorithm=algorithm)
        except InferenceServerException as error:
            answers[algorithm] = str(error)
    client.close()
    return answers


def _word(binary: bool | None) -> str:
    return "default" if binary is None else "binary" if binary else "JSON"


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))))  # noqa: T201  its answer
