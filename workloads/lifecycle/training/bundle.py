"""The serving bundle: an ONNX model and a manifest with its checksum, verified before anything is loaded.

The model server, the gate and batch scoring all run this and nothing else; no pickle is ever read.
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from workloads.lifecycle.base.errors import WorkloadError
from workloads.lifecycle.thresholds import Problem
from workloads.lifecycle.training.encoding import Columns, Encoding
from workloads.lifecycle.workload import Workload

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

BUNDLE_FOLDER = "serving"
"""Artifact folder of a run that holds the bundle."""

MODEL_FILE = "model.onnx"
MANIFEST_FILE = "manifest.json"
BOOSTER_FILE = "booster.ubj"
"""The same model for explanations, in XGBoost's format; absent in bundles of before them."""

INPUT = "features"
"""Name of the ONNX model's input, float32, one row per prediction."""

_PROBABILITIES = "probabilities"
_FATAL = 4
"""onnxruntime's severity below which it writes no lines of its own: its errors are raised."""

_SHOWN = 200


class BundleError(WorkloadError):
    """A bundle is missing, short, altered or made for other features or problems; it must not be served."""

    is_final = True


class Manifest(BaseModel):
    """What a bundle is and where it comes from."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    model_sha256: str
    """Checksum of the ONNX file."""

    features: tuple[str, ...]
    """Inputs in the order of the vector."""

    data_hash: str
    """Content hash of the training data."""

    ingestion_run: str
    """Ingestion run the rows came from."""

    trained_at: datetime
    """End of training, UTC."""

    run_id: str
    """MLflow run."""

    problem: Problem = "binary"
    """What the model answers with: probabilities, or the outcome itself."""

    categories: dict[str, tuple[str, ...]] = {}
    """Values seen in training of each feature that is a category; see `encoding`."""

    booster_sha256: str = ""
    """Checksum of the booster, from which predictions are explained; empty in a bundle without one."""

    def to_bytes(self) -> bytes:
        """Canonical JSON without defaults; its SHA-256 is what the registry remembers."""
        return json.dumps(self.model_dump(mode="json", exclude_defaults=True), indent=1, sort_keys=True).encode()

    def require(self, workload: Workload) -> None:
        """Raise BundleError when the model takes other features, or answers another problem, than the workload's."""
        if self.features != workload.features:
            raise BundleError(
                f"the model expects {', '.join(self.features)}; this server has {', '.join(workload.features)}"
            )
        if self.problem != workload.problem:
            raise BundleError(f"the model answers a {self.problem} problem; {workload.name} is {workload.problem}")


@dataclass(frozen=True)
class Bundle:
    """Content of a bundle whose checksums all match."""

    manifest: Manifest
    """Where it comes from."""

    raw_manifest: bytes
    """The manifest's file."""

    model: bytes
    """The ONNX file."""

    booster: bytes = b""
    """The booster; empty where the manifest names none."""

    @classmethod
    def check(cls, raw_manifest: bytes, model: bytes, manifest_sha256: str, booster: bytes = b"") -> Self:
        """Compare content with the registered checksum; raises BundleError, naming the file, when it differs."""
        manifest = read_manifest(raw_manifest, manifest_sha256)
        if sha256(model) != manifest.model_sha256:
            raise BundleError(f"{MODEL_FILE} does not have the checksum of its manifest: refused")
        if (sha256(booster) if booster else "") != manifest.booster_sha256:
            raise BundleError(f"{BOOSTER_FILE} does not have the checksum of its manifest: refused")
        return cls(manifest, raw_manifest, model, booster)

    @classmethod
    def read(cls, folder: Path, manifest_sha256: str) -> Self:
        """Read and compare a folder; raises BundleError when a file is missing or differs."""
        raw_manifest, booster = _content(folder / MANIFEST_FILE), folder / BOOSTER_FILE
        has_booster = read_manifest(raw_manifest, manifest_sha256).booster_sha256 != ""
        explains = _content(booster) if has_booster else b""
        return cls.check(raw_manifest, _content(folder / MODEL_FILE), manifest_sha256, explains)

    @property
    def checksum(self) -> str:
        """The checksum that the registry remembers."""
        return sha256(self.raw_manifest)


@dataclass(frozen=True)
class Scorer:
    """A verified model that is ready to score."""

    manifest: Manifest
    """Where it comes from."""

    session: Any
    """onnxruntime session, one thread: a request is too small to share."""

    @classmethod
    def load(cls, folder: Path, manifest_sha256: str, workload: Workload) -> Self:
        """Verify and load a bundle; raises BundleError, naming the file, when anything does not match."""
        return cls.of(Bundle.read(folder, manifest_sha256), workload)

    @classmethod
    def of(cls, bundle: Bundle, workload: Workload) -> Self:
        """Load verified content and score one row; raises BundleError when it is no model of the workload."""
        import numpy as np  # noqa: PLC0415
        import onnxruntime as ort  # noqa: PLC0415  half a second that verifying alone does not need

        bundle.manifest.require(workload)
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = _FATAL
        try:
            # From memory: what was verified is what is loaded, and no path in the file names another one.
            session = ort.InferenceSession(bundle.model, options, providers=["CPUExecutionProvider"])
            scorer = cls(bundle.manifest, session)
            scores = scorer.score(np.zeros((1, len(workload.features)), dtype=np.float32))
        except Exception as error:  # onnxruntime's errors have no common base
            raise BundleError(f"{MODEL_FILE} is no model that onnxruntime can run: {_first_line(error)}") from error
        binary = workload.problem == "binary"
        if scores.shape != (1,) or not (0 <= float(scores[0]) <= 1 if binary else np.isfinite(scores[0])):
            answer = "probability" if binary else "finite number"
            raise BundleError(f"{MODEL_FILE} gives no {answer} for a row of {', '.join(workload.features)}")
        return scorer

    def score(self, rows: "npt.NDArray[np.float32]") -> "npt.NDArray[np.float32]":
        """Probability or outcome of each row; `rows` is float32 with the manifest's features as columns."""
        return answers(self.session, rows, self.manifest.problem)

    def inputs(self, columns: Columns) -> "npt.NDArray[np.float32]":
        """Rows for `score` from each feature's values by name; categories are strings, None is missing."""
        import numpy as np  # noqa: PLC0415

        return Encoding(self.manifest.features, self.manifest.categories).matrix(columns).astype(np.float32)


def answers(session: Any, rows: "npt.NDArray[np.float32]", problem: Problem) -> "npt.NDArray[np.float32]":
    """What an ONNX model answers for each row: the probability of 1, or the outcome."""
    if problem == "binary":
        probabilities: npt.NDArray[np.float32] = session.run([_PROBABILITIES], {INPUT: rows})[0]
        return probabilities[:, 1]
    outcomes: npt.NDArray[np.float32] = session.run(None, {INPUT: rows})[0]
    return outcomes.reshape(len(rows))


def verify(folder: Path, manifest_sha256: str, workload: Workload) -> Manifest:
    """Manifest of a workload's bundle whose files all have the expected checksums; raises BundleError."""
    manifest = Bundle.read(folder, manifest_sha256).manifest
    manifest.require(workload)
    return manifest


def read_manifest(content: bytes, manifest_sha256: str) -> Manifest:
    """The manifest, once it has the registered checksum; raises BundleError."""
    if sha256(content) != manifest_sha256:
        raise BundleError(f"{MANIFEST_FILE} does not have the registered checksum {manifest_sha256[:12]}…: refused")
    try:
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        raise BundleError(f"{MANIFEST_FILE} is not a manifest: {error.errors()[0]['msg']}") from error


def write(folder: Path, onnx_model: bytes, manifest: Manifest, booster: bytes = b"") -> str:
    """Write a bundle; returns the checksum to register."""
    folder.mkdir(parents=True, exist_ok=True)
    if booster:
        (folder / BOOSTER_FILE).write_bytes(booster)
    (folder / MODEL_FILE).write_bytes(onnx_model)
    content = manifest.to_bytes()
    (folder / MANIFEST_FILE).write_bytes(content)
    return sha256(content)


def loss_in(answer: str) -> str | None:
    """What is wrong with an artifact in the store's words, which MLflow repeats in an error 500; None for an outage."""
    if "did not match calculated checksum" in answer:
        return "is damaged: its checksum is not the one that the store recorded"
    if "(404) when calling" in answer or "NoSuchKey" in answer:
        return "is not in the artifact store"
    return None


def sha256(content: bytes) -> str:
    """Hex digest."""
    return hashlib.sha256(content).hexdigest()


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"the bundle has no {path.name}: {error.strerror}") from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:_SHOWN]
