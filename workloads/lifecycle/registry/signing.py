"""Signs verdicts, in the one process that has the private key; every other process asks it, by `POST /sign`.

The signer believes nobody: it asks OPA itself about the recorded measurements, with the workload's contract and limits
as it knows them, and signs only what the policy in force allows. It believes the measurements: a person who can change
what the gate records, before it is signed, decides what is judged.
"""

import copy
import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx

from workloads.lifecycle.base.environment import Environment
from workloads.lifecycle.base.errors import GateError, InsufficientError, WorkloadError
from workloads.lifecycle.base.servers import wait_for_retraining
from workloads.lifecycle.quality.measures import RANKING
from workloads.lifecycle.registry import policy
from workloads.lifecycle.registry.signature import FACTS_FILE, Approval, seal
from workloads.lifecycle.thresholds import Problem
from workloads.lifecycle.training.bundle import sha256
from workloads.lifecycle.training.train import BUNDLE_TAG

_MEASURED = ("candidate", "train", "champion", "known", "bounds", "bias", "latency_p99_ms", "data")
"""What the signer takes from the record; contract and limits are its own."""

_PAUSE_SECONDS = 1.0
_ANSWER_SECONDS = 120.0
_NOT_YET = {httpx.codes.NOT_FOUND, httpx.codes.SERVICE_UNAVAILABLE, httpx.codes.BAD_GATEWAY}
"""A service that starts, whose servers do, or that is of before signatures and about to be replaced."""


@dataclass(frozen=True)
class Recorded:
    """A version with what the registry holds about it; the bundle was compared with the checksum."""

    version: str
    run_id: str
    bundle_sha256: str
    """Checksum of its manifest, which names that of the model."""

    model_sha256: str
    facts: bytes
    """Content of `FACTS_FILE`."""


def sign(
    environment: Environment, recorded: Recorded, before: Approval | None = None, *, of_before: bool = False
) -> str:
    """The signed verdict on a version.

    `before`: what an earlier policy or key signed; such a version stays approved when the policy in force refuses it,
    with the reasons in the new verdict. `of_before`: of a release from before signatures, whose record does not name
    its bundle. Raises GateError when the policy refuses it or the record is of another bundle, WorkloadError when OPA
    cannot be asked or holds another policy than the stack's.
    """
    facts = _facts(recorded)
    named = facts.get(BUNDLE_TAG)
    if named != recorded.bundle_sha256 and not (of_before and named is None):
        raise GateError(f"run {recorded.run_id}: {FACTS_FILE} is about another bundle; validate the run again")
    in_force = environment.need("release_policy_sha256")
    measured = {name: facts[name] for name in _MEASURED if name in facts}
    if before is not None or of_before:
        measured = _with_bounds(environment.definition.problem, measured)
    asked = policy.question(environment, measured)
    decision = policy.ask(environment, asked)
    if decision.policy_sha256 != in_force:
        found = decision.policy_sha256[:12] or "one that it does not name"
        raise WorkloadError(
            f"OPA judges by the policy {found}, this stack's is {in_force[:12]}; nothing was signed, the champion stays"
        )
    if not decision.allow and before is None:
        why = "; ".join(decision.reasons)
        if decision.insufficient:
            raise InsufficientError(f"there is not enough evidence to decide about run {recorded.run_id}: {why}")
        raise GateError(f"run {recorded.run_id} is refused by the release policy: {why}")
    approval = Approval(
        stack=environment.need("stack"),
        workload=environment.definition.name,
        version=recorded.version,
        run_id=recorded.run_id,
        facts_sha256=sha256(recorded.facts),
        question_sha256=sha256(json.dumps(asked, sort_keys=True).encode()),
        policy_sha256=in_force,
        judged_by=in_force if before is None or decision.allow else before.judged_by,
        reasons=decision.reasons,
        signed_at=datetime.now(UTC),
    )
    return seal(environment.need("signing_key"), environment.definition.model_name, recorded.bundle_sha256, approval)


def ask_signer(environment: Environment, run_id: str) -> None:
    """Have the retraining service judge and sign a run's version, once it answers.

    Raises GateError when it refuses, WorkloadError when it stays away or this process may not ask it.
    """
    if not (environment.sign_token and environment.retrain_url):
        raise WorkloadError(
            f"the version of run {run_id} has no signed verdict, and this process may not sign; `make retrain` and "
            "`make up` release by way of the retraining service, which judges and signs"
        )
    wait_for_retraining(environment)
    url = environment.retrain_url.removesuffix("/retrain") + "/sign"
    headers = {"authorization": f"Bearer {environment.sign_token}"}
    deadline = time.monotonic() + environment.settings.deployment.server_wait_seconds
    while True:
        try:
            answer = httpx.post(url, json={"run_id": run_id}, headers=headers, timeout=_ANSWER_SECONDS)
        except httpx.HTTPError as error:
            said = f"does not answer: {type(error).__name__}: {error}"
        else:
            if answer.is_success:
                return
            said = f"{answer.status_code}: {answer.text[:300]}"
            if answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY:
                raise GateError(f"{url}: {said}")
            if answer.status_code not in _NOT_YET:
                raise WorkloadError(f"{url}: {said}")
        if time.monotonic() > deadline:
            raise WorkloadError(f"{url}: {said}")
        time.sleep(_PAUSE_SECONDS)


def _with_bounds(problem: Problem, facts: dict[str, Any]) -> dict[str, Any]:
    """The facts of a run; where it was judged before bounds were recorded, each number is its own bounds.

    The policy names what else is missing of facts that are not whole.
    """
    if "bounds" in facts:
        return facts
    try:
        return _point_bounds(problem, facts)
    except (KeyError, TypeError, AttributeError):
        return facts


def _point_bounds(problem: Problem, facts: dict[str, Any]) -> dict[str, Any]:
    facts = copy.deepcopy(facts)
    parts: dict[str, Any] = {part: facts.get(part) for part in ("candidate", "train", "champion")}
    for found in (*parts.values(), *(facts.get("known") or {}).values()):
        if isinstance(found, dict) and found.get("test_rmse"):
            found.setdefault(
                "test_relative_mean_error", found["test_mae"] * found["test_relative_error"] / found["test_rmse"]
            )

    def point(value: float) -> dict[str, float]:
        return {"value": value, "low": value, "high": value}

    def loss(better: dict[str, float] | None, worse: dict[str, float]) -> dict[str, Any] | None:
        if better is None:
            return None
        gaps = {name: worse[name] - better[name] for name in worse if name in better}
        return {name: point(-gap if name == ranked else gap) for name, gap in gaps.items()}

    ranked, candidate = f"test_{RANKING[problem]}", parts["candidate"]
    known, rows = facts.get("known") or {}, facts["data"]["rows"]
    kinds = ("demographic_parity", "equal_opportunity", "ranking")
    bounds = {
        **dict.fromkeys(("rows", "learnt_rows", "judged_rows", "known_rows"), rows),
        "candidate": {name: point(value) for name, value in candidate.items()},
        "train_gap": point(parts["train"][ranked] - candidate[ranked]),
        "champion": loss(parts["champion"], candidate),
        "known": loss(known.get("champion"), known["candidate"]) if known else None,
        "groups": {
            attribute: {
                kind: [{"groups": "its groups", "share": 1.0, **point(gaps[kind])}] if gaps["groups"] > 1 else []
                for kind in kinds
            }
            for attribute, gaps in facts["bias"].items()
        },
    }
    return facts | {"bounds": bounds}


def _facts(recorded: Recorded) -> dict[str, Any]:
    try:
        facts = json.loads(recorded.facts)
    except (ValueError, RecursionError) as error:
        raise GateError(f"run {recorded.run_id}: {FACTS_FILE} is not JSON: {error}; validate the run again") from error
    if not isinstance(facts, dict):
        raise GateError(f"run {recorded.run_id}: {FACTS_FILE} is not a JSON object; validate the run again")
    return facts
