"""What a rule says about itself."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, field_validator

from policies import kinds
from policies.model import Level

Severity = Literal["critical", "high", "medium", "low"]


class Metadata(BaseModel):
    """What a rule says about itself: `metadata.yaml` of a Rego rule, the decorator of a Python rule."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    title: str
    """What is true where the rule is kept."""

    severity: Severity

    frameworks: Mapping[str, str]
    """Catalogue to the controls in it that this rule carries out."""

    fix: str
    """What to do about a violation."""

    link: str

    level: Level = "mandatory"
    """Where the stack file says nothing."""


class RegoMetadata(Metadata):
    """What a rule on Kubernetes objects says on top."""

    kinds: str
    """Key of `policies.kinds.GROUPS`."""

    reads: Sequence[str]
    """Keys that lead to what the rule reads, separated by spaces: where one is unknown, the rule may not decide."""

    inventory: Sequence[str] = ()
    """`apiVersion/kind` of other objects that the rule looks up."""

    admission: Literal["deny", "audit"] = "deny"
    """`audit` where other objects come later than the one under review; rules with an inventory only."""

    parameters: Mapping[str, Any] = {}
    """Settings with their defaults, which a stack file may replace."""

    @field_validator("kinds")
    @classmethod
    def _known_group(cls, group: str) -> str:
        if group not in kinds.GROUPS:
            raise ValueError(f"there is no group of kinds {group!r}; groups are {', '.join(kinds.GROUPS)}")
        return group


class Rule(BaseModel):
    """One rule by its id."""

    model_config = ConfigDict(frozen=True)

    id: str
    metadata: Metadata
