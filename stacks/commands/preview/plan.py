"""What an update would do, by role, read from what `pulumi preview --json` prints."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

STACK_TYPE = "pulumi:pulumi:Stack"
OUTSIDE = "stack"
"""Role of what hangs under no component: providers, and the stack itself."""

Change = Literal["create", "update", "replace", "delete"]
CHANGES: Mapping[str, Change] = {
    "create": "create",
    "update": "update",
    "replace": "replace",
    "create-replacement": "replace",
    "delete-replaced": "replace",
    "delete": "delete",
    "discard": "delete",
    "import": "create",
}
"""Steps of the engine by what they are to a person; all others change nothing.
Source: https://github.com/pulumi/pulumi/blob/v3.250.0/sdk/go/common/apitype/operations.go"""


class PreviewError(Exception):
    """The preview failed, or what it printed is none; the text is for people."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """What would happen to one resource."""

    urn: str

    type: str

    name: str

    role: str
    """Name of the component right below the stack that the resource belongs to."""

    change: Change | None
    """None: it stays as it is."""

    because: tuple[str, ...] = ()
    """Paths of the inputs that differ."""

    custom: bool = True
    """Whether a provider manages it; a component only groups."""

    old: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """Inputs as they are."""

    new: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """Inputs as they would be."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What would happen to a stack."""

    steps: tuple[Step, ...]

    uses: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Role to the roles that its resources depend on."""

    diagnostics: tuple[str, ...] = ()
    """Warnings of engine and providers."""

    told: str = ""
    """The engine's own words, for those who need more of them."""

    @property
    def changes(self) -> tuple[Step, ...]:
        """The resources that would not stay as they are; components left out, whose children say it."""
        return tuple(step for step in self.steps if step.change is not None and step.custom)

    @property
    def roles(self) -> dict[str, Counter[str]]:
        """Role to how many of its resources get which change; `same` for those that get none."""
        found: dict[str, Counter[str]] = {}
        for step in self.steps:
            if step.custom:
                found.setdefault(step.role, Counter())[step.change or "same"] += 1
        return found

    @property
    def counts(self) -> Counter[str]:
        """How many resources get which change."""
        return sum(self.roles.values(), Counter())


def parse(text: str) -> Plan:
    """The plan in the output of `pulumi preview --json`.

    Raises: PreviewError with the engine's own words when the preview failed.
    """
    try:
        told = json.loads(text)
    except ValueError:
        raise PreviewError(f"the preview printed no JSON:\n{text.strip()[-2000:]}") from None
    errors = [each["message"].strip() for each in told.get("diagnostics", []) if each.get("severity") == "error"]
    if errors:
        raise PreviewError("\n".join(errors))
    states = {step["urn"]: step.get("newState") or step.get("oldState") or {} for step in told.get("steps", [])}
    roles = {urn: _role(urn, states) for urn in states}
    return Plan(
        steps=tuple(_steps(told.get("steps", []), states, roles)),
        uses=_uses(states, roles),
        diagnostics=tuple(
            each["message"].strip() for each in told.get("diagnostics", []) if each.get("severity") == "warning"
        ),
        told=text,
    )


def as_it_is(states: Mapping[str, Mapping[str, Any]]) -> Plan:
    """A plan that changes nothing; `states`: URN to `parent`, `custom`, `dependencies`, `propertyDependencies`."""
    roles = {urn: _role(urn, states) for urn in states}
    told = [{"urn": urn, "op": "same"} for urn in states]
    return Plan(steps=tuple(_steps(told, states, roles)), uses=_uses(states, roles))


def _steps(told: list[dict[str, Any]], states: Mapping[str, Any], roles: Mapping[str, str]) -> Iterator[Step]:
    seen: dict[str, Step] = {}
    for step in told:
        urn, change = step["urn"], CHANGES.get(step["op"])
        kind = urn.split("::")[-2].rpartition("$")[2]
        if kind == STACK_TYPE or (urn in seen and seen[urn].change is not None):
            continue
        seen[urn] = Step(
            urn=urn,
            type=kind,
            name=urn.rpartition("::")[2],
            role=roles[urn],
            change=change,
            because=tuple(
                sorted(step.get("detailedDiff") or step.get("replaceReasons") or step.get("diffReasons") or ())
            ),
            custom=bool(states[urn].get("custom", True)),
            old=(step.get("oldState") or {}).get("inputs") or {},
            new=(step.get("newState") or {}).get("inputs") or {},
        )
    yield from seen.values()


def _role(urn: str, states: Mapping[str, Any]) -> str:
    """The outermost component that a resource hangs under; itself when it hangs under the stack."""
    chain = [urn]
    while (parent := states.get(chain[-1], {}).get("parent")) and f"::{STACK_TYPE}::" not in parent:
        chain.append(parent)
    outermost = chain[-1]
    is_component = not states.get(outermost, {}).get("custom", True)
    return outermost.rpartition("::")[2] if is_component else OUTSIDE


def _uses(states: Mapping[str, Any], roles: Mapping[str, str]) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for urn, state in states.items():
        needed = set(state.get("dependencies") or ())
        needed |= {urn for urns in (state.get("propertyDependencies") or {}).values() for urn in urns or ()}
        found.setdefault(roles[urn], set()).update(roles[each] for each in needed if each in roles)
    return {role: frozenset(needed - {role, OUTSIDE}) for role, needed in found.items() if role != OUTSIDE}
