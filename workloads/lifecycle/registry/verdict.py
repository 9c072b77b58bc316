"""The record of the release policy's verdict, which validation writes and a promotion needs."""

from pydantic import BaseModel, ConfigDict

VERDICT_TAG = "verdict"
"""Tag of the run, and later of the model version, with the verdict as JSON."""


class Verdict(BaseModel):
    """What the policy decided about a run."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    allowed: bool
    """Whether the run may be promoted."""

    reasons: tuple[str, ...]
    """Why not; empty when it may."""

    bias: dict[str, dict[str, float]]
    """Largest gap between groups, per attribute and kind."""
