"""Base of every model that a stack file fills."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr, WithJsonSchema

LoopbackPort = Annotated[int, Field(ge=1024, le=65535)]
"""A port on 127.0.0.1."""

HttpsUrl = Annotated[str, Field(pattern=r"^https://[a-z0-9.-]+(:[0-9]+)?(/[^?#\s]*)?$", max_length=253)]
"""An `https://` URL without query, e.g. `https://login.example.org/realms/ml`."""

Secret = Annotated[
    SecretStr,
    WithJsonSchema({"type": "object", "properties": {"secure": {"type": "string"}}, "additionalProperties": False}),
]
"""A value that stands encrypted in the stack file: `pulumi config set --secret`."""


class Settings(BaseModel):
    """Plain values a person chooses; unknown keys are refused, values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
