"""Base of every model that a stack file fills."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

LoopbackPort = Annotated[int, Field(ge=1024, le=65535)]
"""A port on 127.0.0.1."""


class Settings(BaseModel):
    """Plain values a person chooses; unknown keys are refused, values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
