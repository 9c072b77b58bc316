"""The record of the release policy's verdict, which validation writes and a promotion needs."""

from typing import Literal

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

    bias: dict[str, dict[str, float | None]]
    """Largest gap between groups, per attribute and kind; None where too few groups can be compared."""

    insufficient: bool = False
    """Whether the rows are too few to decide; nothing that they show speaks against the run."""

    more_rows: int = 0
    """Labelled rows that are missing, by estimate; 0 unless the rows are too few."""

    @property
    def decision(self) -> Literal["promote", "refuse", "insufficient"]:
        """The verdict in one word."""
        if self.allowed:
            return "promote"
        return "insufficient" if self.insufficient else "refuse"
