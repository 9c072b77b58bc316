"""Stage 5: versions and aliases in the MLflow registry, the single source of truth for what is served.

A version is registered only with an approving verdict and after its bundle was downloaded and verified, and it gets
an alias only with a signed one (`signature`): signed here where the key is, else by the retraining service. A promotion
is one move of the alias `champion`; `previous` is set before it. Leaves out the decision itself: `validation`.
"""

import argparse
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from workloads.lifecycle.base import identifiers
from workloads.lifecycle.base.environment import Environment, load
from workloads.lifecycle.base.errors import AliasMovedError, GateError, InsufficientError, WorkloadError, run_command
from workloads.lifecycle.base.mlflow_api import mlflow_client
from workloads.lifecycle.base.servers import wait_for_mlflow
from workloads.lifecycle.registry import evidence
from workloads.lifecycle.registry.audit import Journal
from workloads.lifecycle.registry.audit_entry import Action
from workloads.lifecycle.registry.challenge import CHALLENGE_TAG, Challenge
from workloads.lifecycle.registry.signature import FACTS_FILE, SIGNATURE_TAG, Approval, SignatureError, Trust
from workloads.lifecycle.registry.signing import Recorded, ask_signer, sign
from workloads.lifecycle.registry.verdict import VERDICT_TAG, Verdict
from workloads.lifecycle.training.bundle import BUNDLE_FOLDER, BundleError, Manifest, loss_in, verify
from workloads.lifecycle.training.tracking import is_away
from workloads.lifecycle.training.train import BUNDLE_TAG, MODEL_CARD

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
BUNDLE_URI_TAG = "bundle_uri"
"""Tag of a version: where the model server downloads the bundle."""

_DESCRIPTION_CHARACTERS = 5_000
"""What MLflow's database holds of a description."""

EVIDENCE_TAG = "evidence"
"""Tag of a version: hash of its last evidence record."""

RETRAIN_TAG = "retrain"
"""Tag of a version: id of the retrain whose pipeline registered it."""


class Registered(BaseModel):
    """What a promotion did."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    version: str
    """Version that `champion` names now."""

    previous: str | None
    """Version that `champion` named before; None for the first."""

    evidence: str
    """Hash of the evidence record."""


@dataclass(frozen=True)
class _Candidate:
    """A run with everything a promotion needs, verified."""

    run_id: str
    checksum: str
    uri: str
    manifest: Manifest
    verdict: Verdict
    metrics: dict[str, float]
    kind: Literal["promotion", "rollback"] = "promotion"


def register(environment: Environment, run_id: str) -> Registered:
    """Register a run's model and make it the champion; doing it again for the same run changes nothing.

    Raises GateError when the run has no approving verdict, BundleError when its artifacts are missing or altered.
    """
    wait_for_mlflow(environment)
    client = mlflow_client(environment)
    candidate = _candidate(client, environment, run_id)
    version = _version(environment, client, candidate)
    _describe(environment, client, candidate.run_id, version)
    return _promote(environment, client, version, candidate)


def register_candidate(environment: Environment, run_id: str, retrain: str = "") -> str:
    """Register a run's model and leave the aliases alone; returns its version. Doing it again changes nothing.

    Raises what `register` raises.
    """
    wait_for_mlflow(environment)
    client = mlflow_client(environment)
    version = _version(environment, client, _candidate(client, environment, run_id))
    _describe(environment, client, run_id, version)
    if retrain:
        client.set_model_version_tag(environment.definition.model_name, version, RETRAIN_TAG, retrain)
    return version


def candidate_of(environment: Environment, retrain: str) -> str | None:
    """Newest version that a retrain's pipeline registered."""
    wait_for_mlflow(environment)
    found: list[ModelVersion] = mlflow_client(environment).search_model_versions(
        f"name='{environment.definition.model_name}' and tags.`{RETRAIN_TAG}`='{retrain}'"
    )
    return max((str(version.version) for version in found), key=int, default=None)


def move(
    environment: Environment,
    version_from: str,
    version_to: str,
    kind: Literal["promotion", "rollback"],
    fence: Callable[[], object],
) -> None:
    """Move `champion` between two versions, unless it names the second already; an empty first one is no version.

    Calls `fence`, which may raise, right before each alias moves. Raises AliasMovedError when `champion` names a third
    version, and what `register` raises.
    """
    wait_for_mlflow(environment)
    client = mlflow_client(environment)
    champion = alias_version(environment, client, CHAMPION)
    if champion == version_to:
        _end_challenge(environment, client, version_to)
        return
    if champion != (version_from or None):
        raise AliasMovedError(
            f"`champion` names version {champion} instead of {version_from or 'none'}: the {kind} to version "
            f"{version_to} is abandoned"
        )
    candidate = _candidate(
        client, environment, str(client.get_model_version(environment.definition.model_name, version_to).run_id)
    )
    _promote(environment, client, version_to, replace(candidate, kind=kind), fence)


def _promote(
    environment: Environment,
    client: "MlflowClient",
    version: str,
    candidate: _Candidate,
    fence: Callable[[], object] = lambda: None,
) -> Registered:
    """Record the evidence, keep the old champion as `previous`, and move `champion`, in this order.

    A version without a signed verdict is judged and signed before it is promoted; nothing goes back to one. An old
    champion that must not be served is retired: nobody could go back to it.
    """
    if candidate.kind == "promotion":
        signed(environment, client, version)
    manifest, (approval, facts) = candidate.manifest, prove(environment, client, version)
    before = alias_version(environment, client, CHAMPION)
    if before == version:
        found = client.get_model_version(environment.definition.model_name, version).tags.get(EVIDENCE_TAG, "")
        return Registered(version=version, previous=alias_version(environment, client, PREVIOUS), evidence=found)
    record = evidence.append(
        environment,
        evidence.Promotion(
            kind=candidate.kind,
            version=version,
            previous=before,
            run_id=manifest.run_id,
            data_hash=manifest.data_hash,
            ingestion_run=manifest.ingestion_run,
            model_sha256=manifest.model_sha256,
            metrics=candidate.metrics,
            bias=facts["bias"],
            allowed=True,
            reasons=approval.reasons,
            approver=environment.approver,
            feature_view=", ".join(view.name for view in environment.definition.views),
            bounds=_bounds(facts),
            rows=_rows(facts),
        ),
    )
    client.set_model_version_tag(environment.definition.model_name, version, EVIDENCE_TAG, record)
    if before is not None and (reason := unusable(client, environment, before)):
        print(f"{reason}; it does not become `{PREVIOUS}`", flush=True)
    elif before is not None:
        fence()
        client.set_registered_model_alias(environment.definition.model_name, PREVIOUS, before)
    fence()
    client.set_registered_model_alias(environment.definition.model_name, CHAMPION, version)
    Journal(environment).record(
        Action(candidate.kind), f"version {version}", "done", f"after version {before or 'none'}; evidence {record}"
    )
    _end_challenge(environment, client, version)
    return Registered(version=version, previous=before, evidence=record)


def _bounds(facts: dict[str, Any]) -> dict[str, dict[str, float]]:
    """What was judged with bounds, by name; empty of facts of before bounds were recorded."""
    found = facts.get("bounds", {})
    losses = {f"loss of {name}": bound for name, bound in (found.get("champion") or {}).items()}
    for each in found.get("former", ()):
        named = f"against version {each['version']} on rows known at its promotion"
        losses |= {f"loss of {name} {named}": bound for name, bound in each["settled"].items()}
    return dict(found.get("candidate", {})) | losses


def _rows(facts: dict[str, Any]) -> dict[str, int]:
    """Sample sizes of the judgement, as far as they were recorded."""
    found = facts.get("bounds", {})
    sizes = {name: found.get(f"{name}_rows") for name in ("learnt", "judged", "known", "champion_learnt")}
    return {name: count for name, count in sizes.items() if count is not None}


def _end_challenge(environment: Environment, client: "MlflowClient", version: str) -> None:
    """Take the alias `challenger` from a version that became the champion."""
    if alias_version(environment, client, CHALLENGER) == version:
        client.delete_registered_model_alias(environment.definition.model_name, CHALLENGER)


def challenge(environment: Environment, announced: Challenge, fence: Callable[[], object]) -> None:
    """Announce a challenge and let the alias `challenger` name its version; doing it again renews its time limit.

    Calls `fence`, which may raise, right before the registry changes. Raises what `move` raises: a challenger has
    passed the gate too, and has a signed verdict.
    """
    wait_for_mlflow(environment)
    client, name = mlflow_client(environment), environment.definition.model_name
    before = alias_version(environment, client, CHALLENGER)
    if before != announced.version:
        _describe(environment, client, str(client.get_model_version(name, announced.version).run_id), announced.version)
        signed(environment, client, announced.version)
        prove(environment, client, announced.version)
    fence()
    client.set_registered_model_tag(name, CHALLENGE_TAG, announced.model_dump_json())
    if before != announced.version:
        fence()
        client.set_registered_model_alias(name, CHALLENGER, announced.version)


def end_challenge(environment: Environment, version: str | None = None) -> str | None:
    """Take the alias `challenger` away, of one version or of any; returns the version that lost it, if one did."""
    wait_for_mlflow(environment)
    client, name = mlflow_client(environment), environment.definition.model_name
    found = alias_version(environment, client, CHALLENGER)
    if found is None or (version is not None and found != version):
        return None
    client.delete_registered_model_alias(name, CHALLENGER)
    client.delete_registered_model_tag(name, CHALLENGE_TAG)
    return found


def rollback(environment: Environment) -> Registered:
    """Make `previous` the champion again and the champion `previous`; raises WorkloadError when there is none."""
    wait_for_mlflow(environment)
    client = mlflow_client(environment)
    target = alias_version(environment, client, PREVIOUS)
    if target is None:
        raise WorkloadError(
            "there is no previous version to roll back to; `champion` stays. `make retrain` releases a new model"
        )
    candidate = _candidate(
        client, environment, str(client.get_model_version(environment.definition.model_name, target).run_id)
    )
    return _promote(environment, client, target, replace(candidate, kind="rollback"))


def alias_version(environment: Environment, client: "MlflowClient", alias: str) -> str | None:
    """Version an alias names; None when alias or model do not exist (MLflow says so with two different errors)."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415
    from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, RESOURCE_DOES_NOT_EXIST, ErrorCode  # noqa: PLC0415

    try:
        return str(client.get_model_version_by_alias(environment.definition.model_name, alias).version)
    except MlflowException as error:
        if error.error_code in {ErrorCode.Name(INVALID_PARAMETER_VALUE), ErrorCode.Name(RESOURCE_DOES_NOT_EXIST)}:
            return None
        raise


def download_bundle(client: "MlflowClient", run_id: str, folder: Path) -> tuple[Path, str]:
    """Folder and registered checksum of a run's bundle, not yet verified.

    Raises IdentifierError when id or checksum cannot be one.
    """
    run = client.get_run(identifiers.run_id(run_id))
    checksum = run.data.tags.get(BUNDLE_TAG)
    if checksum is None:
        raise GateError(f"run {run_id} has no complete bundle: its training did not finish; train again")
    identifiers.sha256_hex(checksum, f"tag {BUNDLE_TAG} of run {run_id}")
    return Path(client.download_artifacts(run_id, BUNDLE_FOLDER, str(folder))), checksum


def recorded(environment: Environment, client: "MlflowClient", version: str, folder: Path) -> Recorded:
    """What the registry holds about a version; its bundle, in the folder, has the registered checksum.

    Raises BundleError when something is missing or altered.
    """
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    run_id = str(client.get_model_version(environment.definition.model_name, version).run_id)
    bundle, checksum = download_bundle(client, run_id, folder)
    manifest = verify(bundle, checksum, environment.definition)
    try:
        facts = Path(client.download_artifacts(run_id, FACTS_FILE, str(folder))).read_bytes()
    except (MlflowException, OSError) as error:
        if is_away(error) and not loss_in(str(error)):
            raise
        raise SignatureError(f"run {run_id} has no {FACTS_FILE}, by which its verdict could be checked") from error
    return Recorded(version, run_id, checksum, manifest.model_sha256, facts)


def approved(environment: Environment, client: "MlflowClient", found: Recorded, trust: Trust | None = None) -> Approval:
    """What was signed about a version; raises SignatureError when it must not be served."""
    tag = client.get_model_version(environment.definition.model_name, found.version).tags.get(SIGNATURE_TAG)
    return (trust or Trust.of(environment)).check(tag, found.version, found.bundle_sha256, found.facts)


def prove(environment: Environment, client: "MlflowClient", version: str) -> tuple[Approval, dict[str, Any]]:
    """What was signed about a version, and the facts that were judged; raises BundleError."""
    with tempfile.TemporaryDirectory(dir=environment.work) as scratch:
        found = recorded(environment, client, version, Path(scratch))
    try:
        approval = approved(environment, client, found)
    except SignatureError as error:
        raise SignatureError(f"version {version} must not be served: {error}") from error
    return approval, json.loads(found.facts)


def signed(environment: Environment, client: "MlflowClient", version: str) -> None:
    """See to it that a version has a signed verdict; raises GateError when the policy refuses it."""
    with tempfile.TemporaryDirectory(dir=environment.work) as scratch:
        found = recorded(environment, client, version, Path(scratch))
    try:
        approved(environment, client, found)
    except SignatureError:
        if environment.signing_key:
            keep_signed(environment, client, version, sign(environment, found))
        else:
            ask_signer(environment, found.run_id)


def keep_signed(environment: Environment, client: "MlflowClient", version: str, tag: str) -> None:
    """Write a signed verdict to the registry."""
    client.set_model_version_tag(environment.definition.model_name, version, SIGNATURE_TAG, tag)


def register_signed(environment: Environment, run_id: str) -> str:
    """Register a run's model with a signed verdict and leave the aliases alone; returns its version.

    Raises what `register` raises.
    """
    version = register_candidate(environment, run_id)
    signed(environment, mlflow_client(environment), version)
    return version


def unusable(client: "MlflowClient", environment: Environment, version: str) -> str | None:
    """Why a version must not be served; None when it may. An outage of MLflow is raised."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415
    from requests import RequestException  # noqa: PLC0415

    try:
        prove(environment, client, version)
    except SignatureError as error:
        return str(error)
    except WorkloadError as error:
        return f"the bundle of version {version} cannot be read: {error}"
    except (MlflowException, RequestException, OSError) as error:
        if is_away(error) and not loss_in(str(error)):
            raise
        return f"the bundle of version {version} cannot be read: {' '.join(str(error).split())[:200]}"
    return None


def _candidate(client: "MlflowClient", environment: Environment, run_id: str) -> _Candidate:
    run = client.get_run(identifiers.run_id(run_id))
    raw = run.data.tags.get(VERDICT_TAG)
    if raw is None:
        raise GateError(
            f"run {run_id} has no verdict: run `python -m workloads.lifecycle.validation.gate {run_id}` first"
        )
    try:
        verdict = Verdict.model_validate_json(raw)
    except ValidationError as error:
        raise GateError(f"run {run_id} has a verdict that the release did not write: validate it again") from error
    if verdict.insufficient:
        raise InsufficientError(
            f"there is not enough evidence to decide about run {run_id}: {'; '.join(verdict.reasons)}; about "
            f"{verdict.more_rows} more labelled rows are needed"
        )
    if not verdict.allowed:
        raise GateError(f"run {run_id} was refused by the release policy: {'; '.join(verdict.reasons)}")
    with tempfile.TemporaryDirectory(dir=environment.work) as scratch:
        folder, checksum = download_bundle(client, run_id, Path(scratch))
        try:
            manifest = verify(folder, checksum, environment.definition)
        except BundleError as error:
            raise BundleError(f"the bundle of run {run_id} cannot be used: {error}") from error
    uri = f"{run.info.artifact_uri}/{BUNDLE_FOLDER}"
    return _Candidate(run_id, checksum, uri, manifest, verdict, dict(run.data.metrics))


def _version(environment: Environment, client: "MlflowClient", candidate: _Candidate) -> str:
    """Version of the run, made when there is none yet (a killed registration leaves one behind: it is used again)."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    model_name = environment.definition.model_name
    try:
        client.create_registered_model(model_name, description=environment.definition.description)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    found: list[ModelVersion] = client.search_model_versions(f"name='{model_name}' and run_id='{candidate.run_id}'")
    if found:
        return str(found[0].version)
    logged = client.search_logged_models(
        experiment_ids=[client.get_run(candidate.run_id).info.experiment_id],
        filter_string=f"source_run_id='{candidate.run_id}'",
    )
    if not logged:
        raise GateError(f"run {candidate.run_id} has no logged model: its training did not finish; train again")
    tags = {
        BUNDLE_TAG: candidate.checksum,
        BUNDLE_URI_TAG: candidate.uri,
        VERDICT_TAG: candidate.verdict.model_dump_json(),
    }
    made = client.create_model_version(
        model_name, logged[0].model_uri, run_id=candidate.run_id, model_id=logged[0].model_id, tags=tags
    )
    return str(made.version)


def _describe(environment: Environment, client: "MlflowClient", run_id: str, version: str) -> None:
    """Name a run after its version, and make the run's model card the version's description."""
    client.update_run(run_id, name=f"version {version}")
    with tempfile.TemporaryDirectory(dir=environment.work) as scratch:
        card = Path(client.download_artifacts(run_id, MODEL_CARD, scratch)).read_text()
    client.update_model_version(environment.definition.model_name, version, description=card[:_DESCRIPTION_CHARACTERS])


def main() -> None:
    """Command: promote a run, or roll back."""
    parser = argparse.ArgumentParser(prog="python -m workloads.lifecycle.registry.versions", description=__doc__)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--register", metavar="RUN_ID", help="register the run's model and make it the champion")
    action.add_argument("--rollback", action="store_true", help="make the previous version the champion again")
    arguments = parser.parse_args()
    environment = load()
    done = rollback(environment) if arguments.rollback else register(environment, arguments.register)
    print(done.model_dump_json(indent=1))


if __name__ == "__main__":
    run_command(main)
