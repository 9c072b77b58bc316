"""Checks over a recorded run: what a real engine refuses, and what mocks let through although it bites later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from simulated_pulumi.recorder import STACK_TYPE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulated_pulumi.recorder import Recording, Registration


_WITHOUT_ACCOUNT: Final = ("pulumi", "pulumi-python")
"""Packages of the engine itself, and of dynamic providers, whose code is the program's own."""


def violations(recording: Recording) -> list[str]:
    """List what one run did wrong, each as `check: what, where, what to do`; checks that are allowed are left out."""
    checks = {
        "empty_program": _empty,
        "duplicate_urn": _duplicates,
        "orphan_child": _orphans,
        "missing_register_outputs": _silent_components,
        "default_provider": _default_providers,
        "lost_export": _lost_exports,
    }
    return [
        f"{name}: {line}"
        for name, check in checks.items()
        if name not in recording.facts.allowed
        for line in check(recording)
    ]


def needs_second_run(recording: Recording) -> bool:
    """Say whether the set of resources could depend on unknown values.

    A program that registers everything in its straight run cannot have seen an output's value, so one run tells all.
    """
    return any(origin.detached for origin in recording.origins if origin.type != STACK_TYPE)


def differences(known: Recording, unknown: Recording) -> list[str]:
    """List resources that exist only when ids are known (missing from a preview), or only when they are not."""
    if "resource_in_apply" in known.facts.allowed:
        return []
    directions = ((known, unknown, "missing from a preview"), (unknown, known, "only in a preview"))
    return sorted(
        f"resource_in_apply: {_at(here.by_urn[urn])} is {when}: it is made in an apply, or depends on a value "
        "that only an update knows; make it in the program's straight run and pass the output as an input"
        for here, there, when in directions
        for urn in here.by_urn.keys() - there.by_urn.keys()
    )


def _empty(recording: Recording) -> Iterator[str]:
    if not recording.registrations:
        yield "the program registered no resource"


def _duplicates(recording: Recording) -> Iterator[str]:
    for first, second in recording.duplicates:
        yield (
            f"{_at(second)} has the URN of {_at(first)}; a real engine refuses it. "
            "Give it another name; children are called f'{name}-part'"
        )


def _orphans(recording: Recording) -> Iterator[str]:
    by_object = {id(item.origin.resource): item for item in recording.registrations if item.origin is not None}
    for item in recording.registrations:
        if item.origin is None or item.origin.enclosing is None:
            continue
        component = by_object.get(id(item.origin.enclosing))
        if component is not None and component.urn not in _ancestors(recording, item):
            yield (
                f"{_at(item)} is made by the component {component.request.name!r} but does not hang under it; "
                "pass opts=ResourceOptions(parent=self), and never merge it with the component's own opts"
            )


def _ancestors(recording: Recording, item: Registration) -> list[str]:
    found = []
    urn = item.request.parent
    while urn and urn not in found:
        found.append(urn)
        urn = recording.by_urn[urn].request.parent if urn in recording.by_urn else ""
    return found


def _silent_components(recording: Recording) -> Iterator[str]:
    for item in recording.registrations:
        component = not item.read and not item.request.custom and not item.request.remote
        if component and item.registered is None:
            yield f"{_at(item)} never calls register_outputs; make it the last line of __init__"


def _default_providers(recording: Recording) -> Iterator[str]:
    for item in recording.registrations:
        package = item.request.type.split(":", 1)[0]
        if (item.read or item.request.custom) and not item.request.provider and package not in _WITHOUT_ACCOUNT:
            yield (
                f"{_at(item)} uses the default provider of {package!r}; pass one explicitly "
                "(providers=[…] on the outermost component), so that no account is reached by accident"
            )
    for call in recording.invokes:
        if call.provider is None and not call.token.startswith("pulumi:"):
            yield (
                f"the call of {call.token} ({call.source}) uses the default provider; "
                "pass opts=InvokeOptions(parent=self) or provider=…"
            )


def _lost_exports(recording: Recording) -> Iterator[str]:
    for name in recording.lost_exports:
        yield (
            f"the export {name!r} has no value, so that the stack's outputs lack it; give the resource's output in "
            "pulumi_outputs or by a simulated provider, or export only what has a value"
        )


def _at(item: Registration) -> str:
    where = "unknown line" if item.origin is None else item.origin.source
    return f"{item.request.type} {item.request.name!r} ({where})"
