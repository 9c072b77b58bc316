"""The release policy's decision: what OPA is asked about a run, and what it answers.

The gate asks about what it has measured, the signer once more about what the gate recorded, and the retraining service
about what a challenger did beside the champion. Decides nothing: `policies/release` does, in OPA.
"""

from typing import Annotated, Any

import httpx
from pydantic import BaseModel, ConfigDict, Field, StrictBool, ValidationError

from workloads.lifecycle.base.environment import Environment
from workloads.lifecycle.base.errors import WorkloadError

POLICY_PATH = "/v1/data/release"
CHALLENGER = "challenger"
"""Part of the policy that decides about challengers."""

_OPA_SECONDS = 10.0


class Decision(BaseModel):
    """OPA's answer."""

    model_config = ConfigDict(extra="ignore", frozen=True, use_attribute_docstrings=True)

    allow: StrictBool

    reasons: tuple[str, ...]
    """Why not; empty when it may be promoted."""

    insufficient: StrictBool = False
    """Whether the rows are too few to decide, and nothing that they show speaks against the model."""

    more_rows: Annotated[int, Field(ge=0)] = 0
    """Labelled rows that are missing, by estimate."""

    policy_sha256: str = ""
    """Digest of the policy that decided, as the server that holds it was told; empty when it was told nothing."""


def question(environment: Environment, facts: dict[str, Any]) -> dict[str, Any]:
    """The policy's input: the facts, the workload's contract, and the limits.

    The definition gives each limit with its reason; a stack file gives those that other parts use, too.
    """
    settings, workload = environment.settings, environment.definition
    contract = {
        "problem": workload.problem,
        "features": list(workload.features),
        "groups": [group.attribute for group in workload.groups],
        "waived": dict(settings.fairness.waived),
    }
    limits = workload.thresholds | {
        "parity_gap": settings.fairness.parity_gap,
        "opportunity_gap": settings.fairness.opportunity_gap,
        "quarantined_share": settings.ingestion.max_bad_share,
    }
    return {**facts, "contract": contract, "limits": limits}


def ask(environment: Environment, asked: dict[str, Any], part: str = "") -> Decision:
    """Ask the release policy, or a part of it; raises WorkloadError when OPA cannot be asked or has no such policy."""
    url = environment.need("opa_url").rstrip("/") + POLICY_PATH
    shown = {"Authorization": f"Bearer {environment.opa_token}"} if environment.opa_token else {}
    try:
        answer = httpx.post(url, json={"input": asked}, headers=shown, timeout=_OPA_SECONDS)
        answer.raise_for_status()
        result = answer.json().get("result")
    except (httpx.HTTPError, ValueError, AttributeError) as error:
        raise WorkloadError(f"OPA at {url} did not decide: {error}; the champion stays") from error
    try:
        if part:
            result = {**result[part], "policy_sha256": result.get("policy_sha256", "")}
        decision = Decision.model_validate(result)
    except (ValidationError, KeyError, TypeError, AttributeError) as error:
        raise WorkloadError(f"OPA at {url} has no release policy; load policies/release") from error
    return decision.model_copy(update={"reasons": tuple(sorted(decision.reasons))})
