"""What the blocks of settings share: their base, and the types of fields that several have."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
"""A share of a whole, 0 to 1."""

Seconds = Annotated[float, Field(gt=0)]


class Frozen(BaseModel):
    """A block of settings: unknown keys are refused, values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, validate_default=True)
