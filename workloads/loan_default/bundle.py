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

from workloads.loan_default import FEATURES
from workloads.loan_default.errors import WorkloadError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

BUNDLE_FOLDER = "serving"
"""Artifact folder of a run that holds the bundle."""

MODEL_FILE = "model.onnx"
MANIFEST_FILE = "manifest.json"
_INPUT, _OUTPUT = "features", "probabilities"
_FATAL = 4
"""onnxruntime's severity below which it writes no lines of its own: its errors are raised."""

_SHOWN = 200


class BundleError(WorkloadError):
    """A bundle is missing, short, altered or made for other features; it must not be served."""


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

    def to_bytes(self) -> bytes:
        """Canonical JSON; its SHA-256 is what the registry remembers."""
        return json.dumps(self.model_dump(mode="json"), indent=1, sort_keys=True).encode()


@dataclass(frozen=True)
class Bundle:
    """Content of a bundle whose checksums all match."""

    manifest: Manifest
    """Where it comes from."""

    raw_manifest: bytes
    """The manifest's file."""

    model: bytes
    """The ONNX file."""

    @classmethod
    def check(cls, raw_manifest: bytes, model: bytes, manifest_sha256: str) -> Self:
        """Compare content with the registered checksum; raises BundleError, naming the file, when it differs."""
        if sha256(raw_manifest) != manifest_sha256:
            raise BundleError(f"{MANIFEST_FILE} does not have the registered checksum {manifest_sha256[:12]}…: refused")
        try:
            manifest = Manifest.model_validate_json(raw_manifest)
        except ValidationError as error:
            raise BundleError(f"{MANIFEST_FILE} is not a manifest: {error.errors()[0]['msg']}") from error
        if sha256(model) != manifest.model_sha256:
            raise BundleError(f"{MODEL_FILE} does not have the checksum of its manifest: refused")
        if manifest.features != FEATURES:
            raise BundleError(
                f"the model expects {', '.join(manifest.features)}; this server has {', '.join(FEATURES)}"
            )
        return cls(manifest, raw_manifest, model)

    @classmethod
    def read(cls, folder: Path, manifest_sha256: str) -> Self:
        """Read and compare a folder; raises BundleError when a file is missing or differs."""
        return cls.check(_content(folder / MANIFEST_FILE), _content(folder / MODEL_FILE), manifest_sha256)

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
    def load(cls, folder: Path, manifest_sha256: str) -> Self:
        """Verify and load a bundle; raises BundleError, naming the file, when anything does not match."""
        return cls.of(Bundle.read(folder, manifest_sha256))

    @classmethod
    def of(cls, bundle: Bundle) -> Self:
        """Load verified content and score one row; raises BundleError when it is no model of these features."""
        import numpy as np  # noqa: PLC0415
        import onnxruntime as ort  # noqa: PLC0415  half a second that verifying alone does not need

        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = _FATAL
        try:
            # From memory: what was verified is what is loaded, and no path in the file names another one.
            session = ort.InferenceSession(bundle.model, options, providers=["CPUExecutionProvider"])
            scorer = cls(bundle.manifest, session)
            scores = scorer.score(np.zeros((1, len(FEATURES)), dtype=np.float32))
        except Exception as error:  # onnxruntime's errors have no common base
            raise BundleError(f"{MODEL_FILE} is no model that onnxruntime can run: {_first_line(error)}") from error
        if scores.shape != (1,) or not 0 <= float(scores[0]) <= 1:
            raise BundleError(f"{MODEL_FILE} gives no probability for a row of {', '.join(FEATURES)}")
        return scorer

    def score(self, rows: "npt.NDArray[np.float32]") -> "npt.NDArray[np.float32]":
        """Default probability of each row; `rows` is float32 with the manifest's features as columns."""
        scores: npt.NDArray[np.float32] = self.session.run([_OUTPUT], {_INPUT: rows})[0][:, 1]
        return scores


def verify(folder: Path, manifest_sha256: str) -> Manifest:
    """Manifest of a bundle whose files all have the expected checksums; raises BundleError when one does not."""
    return Bundle.read(folder, manifest_sha256).manifest


def write(folder: Path, onnx_model: bytes, manifest: Manifest) -> str:
    """Write a bundle; returns the checksum to register."""
    folder.mkdir(parents=True, exist_ok=True)
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
