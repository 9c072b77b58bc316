"""`python -m workloads.lifecycle.operations.edge FOLDER`: the champion as files that run without the platform.

Verifies the champion as the model server does and writes it as ONNX and in onnxruntime's own format, with its manifest,
its signed verdict, and a runner of a few lines each for Python and Node. Both files have to give what the served model
gives, within `TOLERANCE`, before anything is written.
"""

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workloads.lifecycle.base.environment import Environment, load
from workloads.lifecycle.base.errors import WorkloadError, run_command
from workloads.lifecycle.registry.signature import Trust
from workloads.lifecycle.registry.versions import CHAMPION
from workloads.lifecycle.serving.source import Loaded, RegistrySource
from workloads.lifecycle.training.bundle import MANIFEST_FILE, MODEL_FILE, answers
from workloads.lifecycle.training.encoding import UNKNOWN
from workloads.lifecycle.workload import Workload

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

TOLERANCE = 1e-6
"""Largest difference from the served model, relative to answers beyond 1."""

ORT_FILE = "model.ort"
"""The model as onnxruntime maps it into memory; mobile and web builds of it read nothing else.

Source: https://onnxruntime.ai/docs/performance/model-optimizations/ort-format-models.html"""

VERDICT_FILE = "verdict.json"
"""The signed verdict: a DSSE envelope about the manifest's checksum."""

CARD_FILE = "edge.json"
"""What a runner needs: names and order of the features, codes of categories, an example with its answer."""

RUNNERS = ("run.py", "run.mjs")
_ROWS = 256


def export(loaded: Loaded, environment: Environment, folder: Path) -> dict[str, Any]:
    """Write a verified version into a new folder; returns the content of `edge.json`.

    Raises: WorkloadError when the folder holds something, or when a file would not answer as the version does.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise WorkloadError(f"{folder} is there already: give a folder that is new or empty")
    if loaded.bundle is None:
        raise WorkloadError(f"version {loaded.version} came without its files: fetch it from the registry")
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch)
        (made / MODEL_FILE).write_bytes(loaded.bundle.model)
        (made / MANIFEST_FILE).write_bytes(loaded.bundle.raw_manifest)
        (made / VERDICT_FILE).write_text(loaded.signed, encoding="utf-8")
        _convert(loaded.bundle.model, made / ORT_FILE)
        _compare(loaded, made, environment.definition)
        card = _card(loaded, environment)
        (made / CARD_FILE).write_text(json.dumps(card, indent=1), encoding="utf-8")
        for name in RUNNERS:
            shutil.copy(Path(__file__).with_name(name), made / name)
        shutil.copytree(made, folder, dirs_exist_ok=True)
    return card


def fetch(environment: Environment, version: str | None = None) -> Loaded:
    """A version, or the champion, verified as the model server verifies it.

    Raises: WorkloadError when there is no champion, BundleError for a version that must not be served,
    RegistryDownError.
    """
    uri, login = environment.need("mlflow_tracking_uri"), environment.mlflow_login
    with tempfile.TemporaryDirectory() as cache:
        source = RegistrySource(uri, Path(cache), environment.definition, Trust.of(environment), login)
        wanted = version or source.aliases().get(CHAMPION)
        if wanted is None:
            raise WorkloadError(f"{environment.definition.model_name} has no champion: release one with `make up`")
        return source.fetch(wanted)


def _convert(model: bytes, path: Path) -> None:
    """Write onnxruntime's own format of a model, for every processor: only optimizations that none rules out."""
    import onnxruntime as ort  # noqa: PLC0415  half a second that --help does not need

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(path)
    options.add_session_config_entry("session.save_model_format", "ORT")
    ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _compare(loaded: Loaded, folder: Path, workload: Workload) -> None:
    """Raise WorkloadError when a file of the folder answers otherwise than the served model."""
    import numpy as np  # noqa: PLC0415
    import onnxruntime as ort  # noqa: PLC0415

    rows = _rows(workload, loaded)
    served = loaded.scorer.score(rows)
    for name in (MODEL_FILE, ORT_FILE):
        session = ort.InferenceSession(str(folder / name), providers=["CPUExecutionProvider"])
        answered = answers(session, rows, workload.problem)
        worst = float(np.max(np.abs(answered - served) / np.maximum(1, np.abs(served))))
        if not worst <= TOLERANCE:
            raise WorkloadError(
                f"{name} answers up to {worst:.1g} beside the served version {loaded.version}, allowed {TOLERANCE:g}: "
                "nothing is written; this onnxruntime converts the model wrongly, try another version of it"
            )


def _rows(workload: Workload, loaded: Loaded) -> "npt.NDArray[np.float32]":
    """Seeded rows around the example, with missing numbers and unknown categories among them."""
    import numpy as np  # noqa: PLC0415

    random = np.random.default_rng(0)
    columns = []
    for name, value in zip(workload.features, workload.example, strict=True):
        if name in loaded.scorer.manifest.categories:
            codes = len(loaded.scorer.manifest.categories[name])
            columns.append(random.integers(UNKNOWN, codes, _ROWS).astype(np.float32))
            continue
        typical = float(value) if isinstance(value, int | float) and value else 1.0
        column = (typical * random.uniform(0, 3, _ROWS)).astype(np.float32)
        column[random.random(_ROWS) < 0.05] = np.nan  # noqa: PLR2004
        columns.append(column)
    return np.column_stack(columns)


def _card(loaded: Loaded, environment: Environment) -> dict[str, Any]:
    workload, manifest = environment.definition, loaded.scorer.manifest
    example = dict(zip(workload.features, workload.example, strict=True))
    row = loaded.scorer.inputs({name: [value] for name, value in example.items()})
    return {
        "workload": workload.name,
        "stack": environment.stack,
        "version": loaded.version,
        "problem": workload.problem,
        "features": list(manifest.features),
        "categories": {name: list(values) for name, values in manifest.categories.items()},
        "unknown_category": UNKNOWN,
        "verifying_key": Trust.of(environment).keys().current,
        "example": example,
        "answer": float(loaded.scorer.score(row)[0]),
    }


def main() -> None:
    """Command."""
    parser = argparse.ArgumentParser(prog="python -m workloads.lifecycle.operations.edge", description=__doc__)
    parser.add_argument("folder", type=Path, help="new or empty folder for the files")
    parser.add_argument("--version", help="version of the model (default: the champion)")
    given = parser.parse_args()
    environment = load()
    card = export(fetch(environment, given.version), environment, given.folder)
    print(f"{card['workload']} version {card['version']} is in {given.folder}; try it:", file=sys.stderr)
    print(f"python {given.folder / RUNNERS[0]} '{json.dumps(card['example'])}'")


if __name__ == "__main__":
    run_command(main)
