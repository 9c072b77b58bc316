"""What a stack file says about policies: `mlplatform:policies`."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from policies import catalogue
from policies.model import Level, PolicyError
from policies.rule import RegoMetadata

KEY = "mlplatform:policies"


class PolicySettings(BaseModel):
    """How strict a stack is, and what its rules need to know."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    levels: Mapping[str, Level] = {}
    """Rule to `mandatory` (a violation fails the command) or `advisory` (it is shown) instead of its own level."""

    parameters: Mapping[str, Mapping[str, Any]] = {}
    """Rule to its settings, e.g. the registries that images may come from; `docs/policies.md` lists them."""

    @field_validator("levels")
    @classmethod
    def _known_rules(cls, levels: Mapping[str, Level]) -> Mapping[str, Level]:
        for identifier in levels:
            catalogue.known(identifier)
        return levels

    @field_validator("parameters")
    @classmethod
    def _known_parameters(cls, parameters: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Mapping[str, Any]]:
        for identifier, given in parameters.items():
            metadata = catalogue.known(identifier)
            defaults = metadata.parameters if isinstance(metadata, RegoMetadata) else {}
            for key, value in given.items():
                if key not in defaults:
                    raise ValueError(f"{identifier} has no parameter {key!r}; it has {sorted(defaults) or 'none'}")
                if type(value) is not type(defaults[key]):
                    wanted = type(defaults[key]).__name__
                    raise ValueError(f"{identifier}.{key} must be a {wanted}, as {defaults[key]!r}, not {value!r}")
        return parameters

    def level(self, identifier: str) -> Level:
        """The level of a rule in this stack."""
        return self.levels.get(identifier, catalogue.known(identifier).level)


def parse(block: Any) -> PolicySettings:
    """The settings in a block of a stack file.

    Raises: PolicyError that names the key and what may stand there.
    """
    try:
        return PolicySettings.model_validate(block)
    except ValidationError as error:
        lines = [f"{KEY}:{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
        raise PolicyError("; ".join(lines)) from error
