"""One edit for each field of a stack file, made from the fields' schema; what a schema cannot tell is written down.

A field that has neither is an error with its name, so that nobody adds one without saying what changing it does.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pytest_pulumi.engine import Stack
from pytest_pulumi.result import OperationError, Step

from infra.base import pins
from infra.kube import charts
from policies.destruction import GUARDED
from stacks.aws_settings import AwsStack
from stacks.workload_settings import REGISTERED
from tests import prod

FILE = Path(__file__).with_suffix(".yaml")
MIRROR = Path("/srv/mirror")
_STOPPED = re.compile(
    r"resource \"(\S+)\"\s+(?:as it is currently marked for protection|cannot be deleted\s+because it is protected)"
)
_REPLACING = ("replace", "create-replacement", "delete-replaced")

Model = TypeVar("Model", bound=BaseModel)


class NoEditError(Exception):
    """A field or a kind has no edit."""


def edits(folder: Path = MIRROR) -> dict[str, Mapping[str, Any]]:
    """Those of the prod file, as `of` gives them."""
    return of(prod.settings(), given(folder))


def given(folder: Path = MIRROR, file: Path = FILE) -> dict[str, Any]:
    """What is written down.

    `folder` is the mirror's: charts and manifests that an edit takes from there must be in it (`mirror`).
    """
    found: dict[str, Any] = yaml.safe_load(file.read_text().replace("<mirror>", str(folder)))
    return found


def of(start: BaseModel, given: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """What is edited (`role.field`, or `role.kind` and a kind) to what that changes: keys with dots to values."""
    found: dict[str, Mapping[str, Any]] = {}
    for key, model, name in fields(start):
        value = given["values"].get(key, other(model, name))
        if value is None:
            raise NoEditError(f"{key} has no other value: give it one below `values`")
        found[key] = {key: value, **given["with"].get(key, {})}
    for key, kinds in alternatives(start).items():
        blocks = {block["kind"]: block for block in given["kinds"].get(key, ())}
        if missing := kinds - set(blocks):
            raise NoEditError(f"{key} has kinds without a block: give {', '.join(missing)} one below `kinds`")
        found |= {
            f"{key}.kind {kind}": {key: blocks[kind], **given["with_kinds"].get(kind, {})} for kind in sorted(kinds)
        }
    return found


def mirror(folder: Path) -> None:
    """Make up what a mirror's folder holds: every chart, and manifests of Kubeflow Pipelines with one object."""
    (folder / "charts").mkdir()
    for chart in vars(charts).values():
        if isinstance(chart, charts.Chart):
            (folder / "charts" / chart.archive).write_bytes(b"made up")
    (folder / "manifests").mkdir()
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "made-up", "namespace": "kubeflow"}}
    file = folder / "manifests" / f"kubeflow-pipelines-{pins.KUBEFLOW_PIPELINES}.yaml"
    file.write_text(yaml.safe_dump(manifest))


def fields(model: BaseModel, prefix: str = "") -> Iterator[tuple[str, BaseModel, str]]:
    """Every field that the kinds of a stack file have: key with dots, the model that has it, and its name there."""
    for name in type(model).model_fields:
        value = getattr(model, name)
        if _is_of_another_workload(model, name):
            continue
        if isinstance(value, BaseModel):
            yield from fields(value, f"{prefix}{name}.")
        elif name != "kind":
            yield f"{prefix}{name}", model, name


def _is_of_another_workload(model: BaseModel, name: str) -> bool:
    """Whether a block is of a workload that the stack does not list."""
    return name in REGISTERED and name not in getattr(model, "workloads", [name])


def alternatives(model: BaseModel, prefix: str = "") -> dict[str, set[str]]:
    """The other kinds that stand where one is chosen."""
    found: dict[str, set[str]] = {}
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if not isinstance(value, BaseModel) or _is_of_another_workload(model, name):
            continue
        arms = [arm for arm in get_args(field.annotation) if isinstance(arm, type) and issubclass(arm, BaseModel)]
        kinds = {get_args(arm.model_fields["kind"].annotation)[0] for arm in arms if "kind" in arm.model_fields}
        if others := kinds - {getattr(value, "kind", None)}:
            found[f"{prefix}{name}"] = others
        found |= alternatives(value, f"{prefix}{name}.")
    return found


def other(model: BaseModel, name: str) -> Any:
    """Another value that a field's schema allows; None where it tells none."""
    value = getattr(model, name)
    schema = type(model).model_json_schema()["properties"][name]
    for arm in schema.get("anyOf", [schema]):
        if "enum" in arm:
            return next(each for each in arm["enum"] if each != value)
        if arm.get("type") == "boolean":
            return not value
        if arm.get("type") == "integer":
            return value + 1 if value is not None and value + 1 <= arm.get("maximum", value + 1) else arm["minimum"]
        if arm.get("type") == "number":
            return round(value * 0.9, 6) or 0.1
    return None


def edited(changes: Mapping[str, Any]) -> AwsStack:
    """The prod file's settings with keys changed; raises pydantic's ValidationError."""
    return changed(prod.settings(), changes)


def changed(start: Model, changes: Mapping[str, Any]) -> Model:
    """Settings with keys changed; raises pydantic's ValidationError."""
    blocks = start.model_dump()
    for key, value in changes.items():
        *way, last = key.split(".")
        at = blocks
        for part in way:
            at = at[part]
        at[last] = value
    return type(start).model_validate(blocks)


def groups(start: BaseModel, every: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """All of the edits, as few sets of changes that can stand together: no key twice, nor in a block that goes."""
    made: list[dict[str, Any]] = []
    for changes in every.values():
        for group in made:
            if not _meet(changes, group) and _stands(start, {**group, **changes}):
                group.update(changes)
                break
        else:
            made.append(dict(changes))
    return made


def _meet(changes: Mapping[str, Any], group: Mapping[str, Any]) -> bool:
    """Whether one of the changes would hide another."""
    return any(
        f"{ours}.".startswith(f"{theirs}.") or f"{theirs}.".startswith(f"{ours}.")
        for ours, value in changes.items()
        for theirs in group
        if ours != theirs or value != group[theirs]
    )


def _stands(start: BaseModel, changes: Mapping[str, Any]) -> bool:
    try:
        changed(start, changes)
    except ValidationError:
        return False
    return True


def effect(stack: Stack, changes: Mapping[str, Any]) -> str:
    """What a preview says about an edit: types by operation, or what the guard stopped, in one line."""
    try:
        return told(previewed(stack, changes))
    except OperationError as error:
        return stopped(error)


def previewed(stack: Stack, changes: Mapping[str, Any]) -> Sequence[Step]:
    """The steps of a preview of what the prod file says with keys changed; raises OperationError."""
    stack.program = prod.declared(edited(changes))
    with prod.without_collections():
        return stack.preview().changes


def stopped(error: OperationError) -> str:
    """Which resources the guard keeps from being replaced; `failed: ` and why where it is not the guard."""
    found = sorted({urn.rpartition("::")[2] for urn in _STOPPED.findall(str(error))})
    return f"stopped: {', '.join(found)}" if found else f"failed: {error}"


def told(steps: Sequence[Step]) -> str:
    """Types by operation, in one line."""
    return "; ".join(_told(steps)) or "nothing"


def _told(steps: Sequence[Step]) -> Iterator[str]:
    replaced = {step.urn for step in steps if step.op in _REPLACING}
    for word in ("create", "update", "replace", "delete"):
        types = {
            step.type.rpartition(":")[2] if step.type.startswith("mlplatform:") else step.type
            for step in steps
            if (step.urn in replaced and word == "replace") or (step.urn not in replaced and step.op == word)
        }
        if types:
            yield f"{word} {', '.join(sorted(types))}"


def lost(effect: str) -> list[str]:
    """Types that hold data and that an effect replaces or deletes."""
    parts = (part.partition(" ") for part in effect.split("; "))
    types = [each for word, _, some in parts if word in ("replace", "delete") for each in some.split(", ")]
    return [each for each in types if each in GUARDED]
