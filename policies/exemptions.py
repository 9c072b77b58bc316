"""Exemptions: which resource may break which rule, why, who answers for it, and until when."""

import datetime as dt
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from policies import catalogue
from policies.model import Finding, PolicyError, one_line, stack_of

FILE = Path(__file__).with_name("exemptions.yaml")


class Exemption(BaseModel):
    """One entry of `policies/exemptions.yaml`."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    rule: str

    resource: str = Field(min_length=1)
    """URN, or `Kind/namespace/name` of a Kubernetes object."""

    stacks: tuple[str, ...] = ()
    """Stacks that an entry for a Kubernetes object is about; none means all. A URN names its stack."""

    reason: str = Field(min_length=10)

    owner: str = Field(min_length=1)

    expiry: dt.date
    """Last day on which it holds."""

    @field_validator("rule")
    @classmethod
    def _known_rule(cls, identifier: str) -> str:
        catalogue.known(identifier)
        return identifier

    def covers(self, finding: Finding) -> bool:
        """Whether a finding is what this exemption is about."""
        return finding.rule == self.rule and self.resource in (finding.resource, finding.object_id)

    def is_about(self, stack: str) -> bool:
        """Whether the exemption can be used by a stack; a set of manifests has the empty name."""
        if self.resource.startswith("urn:"):
            return stack_of(self.resource) == stack
        return not self.stacks or stack in self.stacks

    def __str__(self) -> str:
        return f"{self.rule} on {self.resource} until {self.expiry} ({self.owner}: {self.reason})"


def load(file: Path = FILE) -> list[Exemption]:
    """The entries of the file.

    Raises: PolicyError that names the entry and what is wrong with it.
    """
    try:
        entries = yaml.safe_load(file.read_text()) or []
    except (yaml.YAMLError, ValueError) as error:  # a date that no calendar has is a ValueError
        raise PolicyError(f"{file} is no YAML: {one_line(error)}") from error
    if not isinstance(entries, list):
        raise PolicyError(f"{file} must hold a list of entries with rule, resource, reason, owner and expiry")
    return [_entry(file, i, entry) for i, entry in enumerate(entries)]


def _entry(file: Path, i: int, entry: object) -> Exemption:
    try:
        return Exemption.model_validate(entry)
    except ValidationError as error:
        lines = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'entry'}: {e['msg']}" for e in error.errors())
        raise PolicyError(f"{file}, entry {i + 1}: {lines}") from error
