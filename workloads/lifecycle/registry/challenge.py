"""The challenge that the registry announces: which version answers, or scores unseen, beside the champion, until when.

A tag of the registered model, so that the model server reads it with the aliases in one call. The retraining service
writes it; a server that does not hear of its end goes by `until`.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from workloads.lifecycle.base.identifiers import ModelVersion

CHALLENGE_TAG = "challenge"
"""Tag of the registered model."""


class Challenge(BaseModel):
    """One challenge."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    """Id of the row of the ledger to which it belongs."""

    version: ModelVersion
    """The challenger."""

    champion: ModelVersion
    """What it is compared with."""

    until: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    """UNIX time in seconds after which no server lets it answer any more."""


def announced(tag: str | None) -> Challenge | None:
    """The challenge of a tag; None without one, or when the tag is none that the retraining service wrote."""
    if not tag:
        return None
    try:
        return Challenge.model_validate_json(tag)
    except ValidationError:
        return None
