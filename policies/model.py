"""What is judged and what comes out of it. Nothing here knows Pulumi, OPA or Kubernetes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

Level = Literal["mandatory", "advisory"]
"""Whether a violation fails the command or is only shown."""

Path = tuple[str | int, ...]
"""Where something stands in an object: keys and indices from the top."""


class PolicyError(Exception):
    """What a person wrote about policies cannot be used; says what, where, and how to correct it."""


class Unknown:
    """A value that the engine does not know before `up`."""

    def __repr__(self) -> str:
        return "unknown"


UNKNOWN: Final = Unknown()


@dataclass(frozen=True, kw_only=True)
class Resource:
    """One resource of a stack, by its inputs, or one object of a manifest."""

    urn: str
    """The engine's name, or `Kind/namespace/name` of an object that no engine manages."""

    type: str
    """Pulumi's type token."""

    name: str
    """The logical name."""

    properties: Mapping[str, Any]
    """Inputs in the engine's spelling, secrets in the clear, `UNKNOWN` for what is not known yet."""

    secrets: frozenset[Path] = frozenset()
    """Where values stand that the engine keeps encrypted."""

    depends: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Input to the URNs that it was computed from."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A rule that one resource breaks, or could not be judged by."""

    rule: str

    resource: str
    """URN, or `Kind/namespace/name` of an object that no engine manages."""

    object_id: str = ""
    """`Kind/namespace/name` of a Kubernetes object."""

    path: Path = ()
    """Where in the resource; empty when it is about the resource as a whole."""

    message: str

    @property
    def stack(self) -> str:
        """Name of the stack; empty for an object that no engine manages."""
        return stack_of(self.resource)


def stack_of(urn: str) -> str:
    """Name of the stack that a URN is in; empty for the name of an object that no engine manages."""
    return urn.split(":")[2] if urn.startswith("urn:pulumi:") else ""


def dotted(path: Path) -> str:
    """A path as people write it: `spec.containers.0.image`."""
    return ".".join(str(step) for step in path)


def one_line(error: Exception) -> str:
    """What an error says, without line breaks."""
    return " ".join(str(error).split())


def unknown_paths(value: Any, path: Path = ()) -> list[Path]:
    """Where `UNKNOWN` stands in a value."""
    if value is UNKNOWN:
        return [path]
    if isinstance(value, Mapping):
        return [found for key, inner in value.items() for found in unknown_paths(inner, (*path, key))]
    if isinstance(value, list):
        return [found for i, inner in enumerate(value) for found in unknown_paths(inner, (*path, i))]
    return []
