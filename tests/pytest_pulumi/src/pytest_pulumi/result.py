"""What came of one operation of the engine: its steps, messages, violations and outputs."""

from __future__ import annotations

import fnmatch
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from simulated_pulumi.values import SIGNATURE

from pytest_pulumi.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Mapping

_QUIET: Final = ("same", "read", "refresh")
_HIDDEN: Final = (SIGNATURE, "[secret]")
"""Marks in an event's values that stand for something else: a secret, an asset, a reference."""


@dataclass(frozen=True)
class Step:
    """What the engine did, or would do, to one resource."""

    op: str
    """`same`, `create`, `update`, `delete`, `replace`, `create-replacement`, `delete-replaced`, `read`, `refresh`, …"""

    type: str
    name: str
    urn: str
    changed: tuple[str, ...]
    """Paths of the inputs that differ."""

    replaced_by: tuple[str, ...]
    """Those of them that make it a replacement."""

    def __str__(self) -> str:
        why = f" because of {', '.join(self.changed)}" if self.changed else ""
        return f"{self.op} {self.type} {self.name!r}{why}"


@dataclass(frozen=True)
class Result:
    """The outcome of one operation."""

    operation: str
    steps: tuple[Step, ...]
    diagnostics: tuple[str, ...]
    """Messages of severity warning and error, without colours."""

    violations: tuple[str, ...]
    """`policy (level): message` for every policy violation."""

    events: tuple[Any, ...] = field(repr=False)
    """The Automation API's events, in order."""

    outputs: dict[str, Any] = field(default_factory=dict)
    """The stack's exports after `up`; secrets unwrapped."""

    secret_outputs: frozenset[str] = frozenset()

    @property
    def changes(self) -> tuple[Step, ...]:
        """The steps that change something."""
        return tuple(step for step in self.steps if step.op not in _QUIET)

    @property
    def counts(self) -> dict[str, int]:
        """How often each kind of change occurs."""
        ops = [step.op for step in self.changes]
        return {op: ops.count(op) for op in sorted(set(ops))}

    def step(self, name: str, type_: str = "*") -> Step:
        """Give the step for a logical name (and a type pattern, where a component and its child share the name).

        Of a replacement's three steps it gives the one called `replace`.

        Raises: EngineError.
        """
        parts = ("create-replacement", "delete-replaced")
        found = [
            step
            for step in self.steps
            if step.name == name and fnmatch.fnmatchcase(step.type, type_) and step.op not in parts
        ]
        if len(found) != 1:
            raise EngineError("\n".join([f"{len(found)} steps are about {name!r}; there are:", *map(str, self.steps)]))
        return found[0]


class OperationError(EngineError):
    """An operation failed; `result` holds what happened until then."""

    def __init__(self, message: str, result: Result) -> None:
        super().__init__(message)
        self.result = result


def result_of(operation: str, events: list[Any], outputs: Mapping[str, Any]) -> Result:
    """Read the Automation API's events."""
    kind = "res_outputs_event" if operation == "refresh" else "resource_pre_event"
    steps = [getattr(event, kind).metadata for event in events if getattr(event, kind, None)]
    policies = [event.policy_event for event in events if event.policy_event]
    return Result(
        operation=operation,
        steps=tuple(_step(metadata) for metadata in steps),
        diagnostics=_diagnostics(events),
        violations=tuple(f"{p.policy_name} ({p.enforcement_level}): {p.message.strip()}" for p in policies),
        events=tuple(events),
        outputs={key: output.value for key, output in outputs.items()},
        secret_outputs=frozenset(key for key, output in outputs.items() if output.secret),
    )


def shown_outputs(events: list[Any]) -> dict[str, Any] | None:
    """Read the stack's outputs from the events of an update; None where they hide a value."""
    stacks = [
        event.res_outputs_event.metadata
        for event in events
        if event.res_outputs_event and event.res_outputs_event.metadata.type == "pulumi:pulumi:Stack"
    ]
    if not stacks or stacks[-1].new is None:
        return None
    outputs = dict(stacks[-1].new.outputs or {})
    return None if any(mark in json.dumps(outputs) for mark in _HIDDEN) else outputs


def _diagnostics(events: list[Any]) -> tuple[str, ...]:
    """Give warnings and errors once each; the engine repeats a program's error inside its own."""
    told: list[str] = []
    for event in events:
        message = event.diagnostic_event
        if message and message.severity in ("warning", "error"):
            text = message.message.strip()
            if text and not any(text in earlier or earlier in text for earlier in told):
                told.append(text)
    return tuple(told)


def _step(metadata: Any) -> Step:
    detailed = metadata.detailed_diff or {}
    changed = sorted(detailed) or sorted(metadata.diffs or [])
    kinds = {path: str(getattr(diff, "diff_kind", "")) for path, diff in detailed.items()}
    return Step(
        op=getattr(metadata.op, "value", metadata.op),
        type=metadata.type,
        name=metadata.urn.split("::", 3)[3],
        urn=metadata.urn,
        changed=tuple(changed),
        replaced_by=tuple(path for path in changed if "replace" in kinds.get(path, "").lower()),
    )
