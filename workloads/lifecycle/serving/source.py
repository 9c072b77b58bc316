"""Where the model server gets its models: the registry's aliases, and the last verified copies when it is down.

Every value that the registry names is checked before a path or URL is built from it, and a bundle is verified in memory
before anything on disk is replaced. A version is served only with a signed verdict (`registry.signature`), checked when
it is loaded: a prediction costs nothing of it.
"""

import json
import logging
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
from prometheus_client import Counter
from pydantic import BaseModel, ConfigDict, ValidationError

from workloads.lifecycle.base import metrics
from workloads.lifecycle.base.errors import WorkloadError
from workloads.lifecycle.base.exposition import COUNTED
from workloads.lifecycle.base.identifiers import IdentifierError, ModelVersion, artifact_path, model_version, sha256_hex
from workloads.lifecycle.base.mlflow_api import SECONDS, MlflowApi, RegistryDownError
from workloads.lifecycle.registry.challenge import CHALLENGE_TAG, Challenge, announced
from workloads.lifecycle.registry.signature import FACTS_FILE, SIGNATURE_TAG, SignatureError, Trust
from workloads.lifecycle.training.bundle import (
    BOOSTER_FILE,
    BUNDLE_FOLDER,
    MANIFEST_FILE,
    MODEL_FILE,
    Bundle,
    BundleError,
    Scorer,
    loss_in,
    read_manifest,
)
from workloads.lifecycle.workload import Workload

_log = logging.getLogger(__name__)
_DOWNLOAD_SECONDS = 240.0
"""Time that one file of a bundle may take to arrive."""

_REFUSED_SECONDS = 60.0
"""Time after which a refused version is looked at again: its tags or its artifacts may have been mended."""

_UNSIGNED_SECONDS = 5.0
"""The same for a version without a valid verdict: after an upgrade, the retraining service may be about to sign it."""

_MAX_BYTES = {MANIFEST_FILE: 1 << 20, MODEL_FILE: 1 << 30, BOOSTER_FILE: 1 << 30, FACTS_FILE: 1 << 20}
"""Largest files of a bundle that are downloaded."""

_BUNDLE_TAG, _URI_TAG = "bundle_sha256", "bundle_uri"
_ARTIFACT_SCHEME = "mlflow-artifacts:"
CACHE_INDEX = "aliases.json"
_Answer = TypeVar("_Answer", bound=BaseModel)
_refusals = Counter(
    metrics.VERSIONS_REFUSED.removesuffix("_total"),
    "Looks at a version that must not be served",
    [metrics.LABEL_REASON],
    registry=COUNTED,
)
for _reason in metrics.WHY_VERSIONS_ARE_REFUSED:
    _refusals.labels(_reason)


class NoCopyError(WorkloadError):
    """The cache has no copy of a champion that can be served; the text says why."""


@dataclass(frozen=True)
class Loaded:
    """One alias's model, ready to score."""

    version: str
    """Version in the registry."""

    scorer: Scorer
    """The verified model."""

    bundle: Bundle | None = None
    """What it was loaded from, for the cache."""

    signed: str = ""
    """Its signed verdict, likewise."""


class _Foreign(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Alias(_Foreign):
    alias: str
    version: ModelVersion


class _Tag(_Foreign):
    key: str
    value: str


class _RegisteredModel(_Foreign):
    aliases: tuple[_Alias, ...] = ()
    tags: tuple[_Tag, ...] = ()


class _Version(_Foreign):
    tags: tuple[_Tag, ...] = ()


class RegistrySource:
    """Resolves aliases, downloads and verifies bundles, and keeps the verified ones in a folder."""

    def __init__(
        self, tracking_uri: str, cache: Path, workload: Workload, trust: Trust, login: tuple[str, str] | None = None
    ) -> None:
        """`login`: user and password, where the registry asks for them."""
        self._workload = workload
        self._trust = trust
        self._mlflow = MlflowApi(tracking_uri, login, httpx.Client(timeout=SECONDS))
        self._cache = cache
        self._refused: dict[str, tuple[float, str]] = {}  # until when, and why
        self.challenge: Challenge | None = None
        """What the registry announced when it was last asked for its aliases."""

    def aliases(self) -> dict[str, str]:
        """Version by alias, empty when the model does not exist yet; raises RegistryDownError."""
        answer = self._mlflow.model(self._workload.model_name)
        if answer is None:
            self.challenge = None
            return {}
        found = _parsed(_RegisteredModel, answer)
        self.challenge = announced(next((tag.value for tag in found.tags if tag.key == CHALLENGE_TAG), None))
        return {item.alias: item.version for item in found.aliases}

    def load(self, version: str) -> Loaded | None:
        """Download (unless the cache has it), verify and load a version.

        Returns None when the version must not be served, which is logged once per reason, and tried again after a
        minute. Raises RegistryDownError when the registry cannot tell now.
        """
        until, before = self._refused.get(version, (0.0, ""))
        if time.monotonic() < until:
            return None
        try:
            loaded = self.fetch(version)
        except BundleError as error:
            unsigned = isinstance(error, SignatureError)
            _refusals.labels("signature" if unsigned else "bundle").inc()
            pause = _UNSIGNED_SECONDS if unsigned else _REFUSED_SECONDS
            self._refused[version] = (time.monotonic() + pause, str(error))
            if str(error) != before:
                _log.error("version %s is refused: %s", version, error)
            return None
        self._refused.pop(version, None)
        return loaded

    def holds(self, loaded: Loaded) -> bool:
        """Whether a model's verdict outlasts the rotation of the key; True of a model that came without one."""
        return not loaded.signed or self._trust.is_by_current_key(loaded.signed)

    def why_refused(self, version: str) -> str:
        """Why `load` returned None; empty when it did not."""
        return self._refused.get(version, (0.0, ""))[1]

    def fetch(self, version: str) -> Loaded:
        """Download (unless the cache has it), verify and load a version.

        Raises BundleError when it must not be served, RegistryDownError.
        """
        answer = self._mlflow.version(self._workload.model_name, version)
        if answer is None:
            raise RegistryDownError(f"the registry has no version {version} of {self._workload.model_name}")
        tags = {tag.key: tag.value for tag in _parsed(_Version, answer).tags}
        try:
            checksum = _checksum(tags)
            signed = self._signed(tags, version, checksum)
            bundle = self._bundle(tags, checksum)
        except IdentifierError as error:
            raise BundleError(str(error)) from error
        return Loaded(version, Scorer.of(bundle, self._workload), bundle, signed)

    def remember(self, loaded: dict[str, Loaded]) -> None:
        """Keep verified copies of what is served, and drop the others once these are written; raises OSError."""
        self._cache.mkdir(parents=True, exist_ok=True)
        index = {}
        for alias, item in loaded.items():
            if item.bundle is not None:
                self._keep(item.bundle)
                index[alias] = [item.version, item.bundle.checksum, item.signed]
        partial = self._cache / f".{CACHE_INDEX}"
        partial.write_text(json.dumps(index))
        partial.replace(self._cache / CACHE_INDEX)
        kept = {CACHE_INDEX, *(checksum for _, checksum, _ in index.values())}
        for path in self._cache.iterdir():
            if path.name not in kept:
                _remove(path)

    def recall(self, champion: str, pinned: str | None = None) -> dict[str, Loaded]:
        """The copies served last, verified again, by alias; a damaged one is left out.

        Raises NoCopyError when that of the alias `champion` cannot be used, or is not the `pinned` version.
        """
        try:
            index = json.loads((self._cache / CACHE_INDEX).read_text())
            # Of before signatures an entry has two parts, and cannot be served.
            entries = {str(alias): (*entry, "")[:3] for alias, entry in index.items()}
        except FileNotFoundError:
            raise NoCopyError("the cache holds no verified copy") from None
        except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
            raise NoCopyError(f"the cache's index {CACHE_INDEX} cannot be read: {error}") from error
        found: dict[str, Loaded] = {}
        reason = f"the cache holds no verified copy of the {champion}"
        for alias, (version, checksum, signed) in entries.items():
            try:
                folder = self._cache / sha256_hex(checksum)
                self._trust.opened(str(signed), model_version(version), checksum)  # its policy was in force then
                bundle = Bundle.read(folder, checksum)
                found[alias] = Loaded(version, Scorer.of(bundle, self._workload), bundle, signed)
            except (BundleError, IdentifierError) as error:
                _log.warning("the copy of the %s in the cache cannot be used: %s", alias, error)
                reason = f"{reason}: {error}" if alias == champion else reason
        if champion not in found:
            raise NoCopyError(reason)
        if pinned is not None and found[champion].version != pinned:
            raise NoCopyError(f"the cache holds version {found[champion].version}, not {pinned}")
        return found

    def _bundle(self, tags: dict[str, str], checksum: str) -> Bundle:
        """The bundle that a version's tags name: the cache's copy if it is undamaged, else the registry's."""
        try:
            return Bundle.read(self._cache / checksum, checksum)
        except BundleError:
            return self._download(tags.get(_URI_TAG, ""), checksum)

    def _signed(self, tags: dict[str, str], version: str, checksum: str) -> str:
        """The signed verdict of a version, checked; the facts are its run's, beside the bundle."""
        signed = tags.get(SIGNATURE_TAG, "")
        self._trust.opened(signed, version, checksum)  # asks for the facts of no version that cannot be served anyway
        path = _path(tags.get(_URI_TAG, ""))
        if not path.endswith(f"/{BUNDLE_FOLDER}"):
            raise BundleError(f"tag {_URI_TAG} does not end in {BUNDLE_FOLDER}, beside which the judged facts are")
        facts = self._artifact(path.removesuffix(f"/{BUNDLE_FOLDER}"), FACTS_FILE)
        self._trust.check(signed, version, checksum, facts)
        return signed

    def _download(self, uri: str, checksum: str) -> Bundle:
        path = _path(uri)
        manifest = self._artifact(path, MANIFEST_FILE)
        has_booster = read_manifest(manifest, checksum).booster_sha256 != ""
        model = self._artifact(path, MODEL_FILE)
        return Bundle.check(manifest, model, checksum, self._artifact(path, BOOSTER_FILE) if has_booster else b"")

    def _artifact(self, path: str, name: str) -> bytes:
        """One file of a bundle; raises BundleError when there is none, RegistryDownError when it does not arrive."""
        deadline = time.monotonic() + _DOWNLOAD_SECONDS
        content = bytearray()
        try:
            with self._mlflow.artifact(f"{path}/{name}") as answer:
                if answer.status_code == httpx.codes.NOT_FOUND:
                    raise BundleError(f"the bundle has no {name}")
                if answer.is_server_error and (loss := loss_in(answer.read().decode(errors="replace"))):
                    raise BundleError(f"{name} {loss}")
                if answer.status_code != httpx.codes.OK:
                    raise RegistryDownError(f"artifact {name}: status {answer.status_code}")
                for part in answer.iter_bytes():
                    content += part
                    if len(content) > _MAX_BYTES[name]:
                        raise BundleError(f"{name} is larger than {_MAX_BYTES[name]} bytes")
                    if time.monotonic() > deadline:
                        raise RegistryDownError(f"artifact {name} did not arrive within {_DOWNLOAD_SECONDS:.0f} s")
        except httpx.HTTPError as error:
            raise RegistryDownError(f"artifact {name}: {type(error).__name__}: {error}") from error
        return bytes(content)

    def _keep(self, bundle: Bundle) -> None:
        """Write a copy beside what is there, verify it, and only then let it take its place."""
        folder = self._cache / bundle.checksum
        try:
            Bundle.read(folder, bundle.checksum)
        except BundleError:
            partial = Path(tempfile.mkdtemp(prefix=".new-", dir=self._cache))
            try:
                (partial / MANIFEST_FILE).write_bytes(bundle.raw_manifest)
                (partial / MODEL_FILE).write_bytes(bundle.model)
                if bundle.booster:
                    (partial / BOOSTER_FILE).write_bytes(bundle.booster)
                Bundle.read(partial, bundle.checksum)
                if os.path.lexists(folder):
                    folder.rename(self._cache / f".old-{partial.name}")
                partial.rename(folder)
            finally:
                _remove(partial)


def _checksum(tags: dict[str, str]) -> str:
    if _BUNDLE_TAG not in tags:
        raise BundleError("it was not registered by this workload: it has no checksum")
    return sha256_hex(tags[_BUNDLE_TAG], f"tag {_BUNDLE_TAG}")


def _path(uri: str) -> str:
    """Artifact path of a bundle; raises BundleError or IdentifierError."""
    if not uri.startswith(_ARTIFACT_SCHEME):
        raise BundleError(f"its bundle is at {uri[:200]!a}; only artifacts proxied by MLflow are read")
    return artifact_path(uri.removeprefix(_ARTIFACT_SCHEME).strip("/"), f"tag {_URI_TAG}")


def _parsed(kind: type[_Answer], value: Any) -> _Answer:
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "answer"
        raise RegistryDownError(f"the registry's answer is not MLflow's: {where}: {first['msg'][:200]}") from error


def _remove(path: Path) -> None:
    """Delete a file, a link or a folder; what a link names stays."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
