"""The resources of a stack before and after an update, as `pulumi preview --json` tells them."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stacks.commands.preview.plan import parse


@dataclass(frozen=True, kw_only=True)
class Resource:
    """One resource, with what was asked of its provider; values that are not known yet are strings of the engine's."""

    urn: str

    role: str
    """The outermost component that it belongs to."""

    parent: str

    inputs: Mapping[str, Any]

    @property
    def type(self) -> str:
        """E.g. `aws:s3/bucket:Bucket`."""
        return self.urn.split("::")[-2].rpartition("$")[2]

    @property
    def name(self) -> str:
        """Its logical name."""
        return self.urn.rpartition("::")[2]

    @property
    def kind(self) -> str:
        """Kind of an object on a cluster, else empty."""
        return str(self.inputs.get("kind") or "") if self.type.startswith("kubernetes:") else ""


@dataclass(frozen=True, kw_only=True)
class Graph:
    """All resources of a stack that providers manage."""

    resources: tuple[Resource, ...]

    def all(self, *types: str) -> list[Resource]:
        """Those of some types."""
        return [each for each in self.resources if each.type in types]

    def beside(self, resource: Resource, type_: str) -> Resource | None:
        """The first of a type with the same parent."""
        return next((each for each in self.all(type_) if each.parent == resource.parent), None)

    @property
    def region(self) -> str | None:
        """The region of the AWS provider; None without one."""
        return next((each.inputs.get("region") for each in self.all("pulumi:providers:aws")), None)


def before_and_after(preview: str) -> tuple[Graph, Graph]:
    """The stack as it is and as it would be; raises PreviewError when the preview failed."""
    roles = {step.urn: step.role for step in parse(preview).steps}
    steps = json.loads(preview).get("steps", [])
    return Graph(resources=tuple(_states(steps, "oldState", roles))), Graph(
        resources=tuple(_states(steps, "newState", roles))
    )


def _states(steps: list[dict[str, Any]], which: str, roles: Mapping[str, str]) -> Iterator[Resource]:
    found = {step["urn"]: step[which] for step in steps if step.get(which) and step["op"] != "read"}
    for urn, state in found.items():
        if state.get("custom"):
            yield Resource(
                urn=urn, role=roles.get(urn, ""), parent=state.get("parent", ""), inputs=state.get("inputs") or {}
            )
