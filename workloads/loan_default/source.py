"""Where the model server gets its models: the registry's aliases, and the last verified copies when it is down.

Speaks MLflow's REST API itself: three calls, against three seconds and a hundred megabytes for the client library.
"""

import json
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from workloads.loan_default import MODEL_NAME
from workloads.loan_default.bundle import MANIFEST_FILE, MODEL_FILE, BundleError, Scorer, sha256

_log = logging.getLogger(__name__)
_SECONDS = 5.0
_BUNDLE_TAG, _URI_TAG = "bundle_sha256", "bundle_uri"
_ARTIFACT_SCHEME = "mlflow-artifacts:"
CACHE_INDEX = "aliases.json"


class RegistryDownError(Exception):
    """The registry did not answer, or not in its own words."""


@dataclass(frozen=True)
class Loaded:
    """One alias's model, ready to score."""

    version: str
    """Version in the registry."""

    scorer: Scorer
    """The verified model."""


class RegistrySource:
    """Resolves aliases, downloads and verifies bundles, and keeps the verified ones in a folder."""

    def __init__(self, tracking_uri: str, cache: Path) -> None:
        self._http = httpx.Client(base_url=tracking_uri.rstrip("/"), timeout=_SECONDS)
        self._cache = cache
        self._refused: set[str] = set()

    def aliases(self) -> dict[str, str]:
        """Version by alias, empty when the model does not exist yet; raises RegistryDownError."""
        answer = self._get("/api/2.0/mlflow/registered-models/get", name=MODEL_NAME)
        if answer.get("error_code") == "RESOURCE_DOES_NOT_EXIST":
            return {}
        model = answer.get("registered_model")
        if not isinstance(model, dict):
            raise RegistryDownError(f"unexpected answer {str(answer)[:100]!r}")
        return {str(item["alias"]): str(item["version"]) for item in model.get("aliases", [])}

    def load(self, version: str) -> Loaded | None:
        """Download (unless the cache has it), verify and load a version.

        Returns None when the version must not be served, which is said once. Raises RegistryDownError.
        """
        if version in self._refused:
            return None
        try:
            return self.fetch(version)
        except BundleError as error:
            self._refused.add(version)
            _log.error("version %s is refused: %s", version, error)
            return None

    def fetch(self, version: str) -> Loaded:
        """Download (unless the cache has it), verify and load a version.

        Raises BundleError when it must not be served, RegistryDownError.
        """
        answer = self._get("/api/2.0/mlflow/model-versions/get", name=MODEL_NAME, version=version)
        tags = {item["key"]: item["value"] for item in answer.get("model_version", {}).get("tags", [])}
        return Loaded(version, self._scorer(tags.get(_BUNDLE_TAG, ""), tags.get(_URI_TAG, "")))

    def remember(self, loaded: dict[str, Loaded]) -> None:
        """Note which verified copies are served, and drop the others."""
        index = {alias: [item.version, sha256(item.scorer.manifest.to_bytes())] for alias, item in loaded.items()}
        self._cache.mkdir(parents=True, exist_ok=True)
        partial = self._cache / f".{CACHE_INDEX}"
        partial.write_text(json.dumps(index))
        partial.replace(self._cache / CACHE_INDEX)
        kept = {checksum for _, checksum in index.values()}
        for folder in self._cache.iterdir():
            if folder.is_dir() and folder.name not in kept:
                shutil.rmtree(folder, ignore_errors=True)

    def recall(self) -> dict[str, Loaded]:
        """The copies served last, verified again; empty when there are none."""
        try:
            index = json.loads((self._cache / CACHE_INDEX).read_text())
            return {
                alias: Loaded(version, Scorer.load(self._cache / sha, sha)) for alias, (version, sha) in index.items()
            }
        except (OSError, ValueError, BundleError) as error:
            _log.warning("no local copy of a model can be used: %s", error)
            return {}

    def _scorer(self, checksum: str, uri: str) -> Scorer:
        if not checksum:
            raise BundleError("it was not registered by this workload: it has no checksum")
        folder = self._cache / checksum
        try:
            return Scorer.load(folder, checksum)
        except BundleError:
            self._download(uri, folder)
            return Scorer.load(folder, checksum)

    def _download(self, uri: str, folder: Path) -> None:
        if not uri.startswith(_ARTIFACT_SCHEME):
            raise BundleError(f"its bundle is at {uri!r}; only artifacts proxied by MLflow are read")
        path = uri.removeprefix(_ARTIFACT_SCHEME).strip("/")
        partial = folder.with_name(f".{folder.name}")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for name in (MANIFEST_FILE, MODEL_FILE):
            try:
                answer = self._http.get(f"/api/2.0/mlflow-artifacts/artifacts/{path}/{name}")
            except httpx.HTTPError as error:
                raise RegistryDownError(str(error)) from error
            if answer.status_code == httpx.codes.NOT_FOUND:
                raise BundleError(f"the bundle has no {name}")
            if answer.is_error:
                raise RegistryDownError(f"artifact {name}: status {answer.status_code}")
            (partial / name).write_bytes(answer.content)
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)

    def _get(self, path: str, **query: str) -> dict[str, Any]:
        try:
            answer = self._http.get(path, params=query)
            body = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise RegistryDownError(f"{type(error).__name__}: {error}") from error
        if answer.is_server_error or not isinstance(body, dict):
            raise RegistryDownError(f"status {answer.status_code}")
        return body
