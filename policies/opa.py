"""Runs the rules in Rego: one process of OPA for all objects of a stack."""

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path as File
from typing import Any

from policies import kinds
from policies.catalogue import FOLDER, RULES, RegoRule, rego_rules
from policies.model import UNKNOWN, Finding, Path, PolicyError, Resource, dotted, unknown_paths
from policies.unknowns import affecting, certain

IN_PLACE_OF_UNKNOWN = "<not known before up>"
"""Stands for an unknown string of a list; an unknown object of a list becomes an empty one, any other an absent one."""

LISTS_OF_OBJECTS = frozenset(
    {
        *("containers", "initContainers", "ephemeralContainers", "volumes", "env", "ports", "tolerations"),
        *("rules", "subjects", "tls", "ingress", "egress", "from", "to", "receivers", "webhookConfigs"),
    }
)
"""Keys of lists that rules read, whose elements are objects."""

Manifest = tuple[Resource, Mapping[str, Any]]
"""A resource and the object that it stands for."""


def manifests(resources: Sequence[Resource]) -> list[Manifest]:
    """The resources that are Kubernetes objects, as objects."""
    found = ((resource, kinds.manifest(resource.type, resource.properties)) for resource in resources)
    things = [(resource, thing) for resource, thing in found if thing is not None]
    names = {resource.urn: thing["metadata"].get("name") for resource, thing in things if _is_namespace(thing)}
    return [(resource, _placed(resource, thing, names)) for resource, thing in things]


def _is_namespace(thing: Mapping[str, Any]) -> bool:
    return thing["kind"] == "Namespace" and isinstance(thing.get("metadata"), Mapping)


def _placed(resource: Resource, thing: Mapping[str, Any], names: Mapping[str, Any]) -> Mapping[str, Any]:
    """An object in the namespace that its own was computed from, where that one's name is known before `up`."""
    metadata = thing.get("metadata")
    if not isinstance(metadata, Mapping) or metadata.get("namespace") is not UNKNOWN:
        return thing
    sources = [names[urn] for urn in resource.depends.get("metadata", ()) if urn in names]
    if len(sources) != 1 or not isinstance(sources[0], str):
        return thing
    return {**thing, "metadata": {**metadata, "namespace": sources[0]}}


def evaluate(
    objects: Sequence[Manifest], parameters: Mapping[str, Mapping[str, Any]]
) -> tuple[list[Finding], list[Finding]]:
    """What the rules find wrong with objects, and what they could not decide.

    Raises: PolicyError when OPA is missing, or refuses the Rego.
    """
    if not objects:
        return [], []
    rules = rego_rules()
    by_package = {rule.package: rule for rule in rules.values()}
    matching = [[rule for rule in rules.values() if _matches(rule, thing)] for _, thing in objects]
    unknowns = [unknown_paths(thing) for _, thing in objects]
    blurred = [_is_blurred(thing, places) for (_, thing), places in zip(objects, unknowns, strict=True)]
    given = {rule.package: {**rule.metadata.parameters, **parameters.get(rule.id, {})} for rule in rules.values()}
    questions = [(i, rule.package) for i, some in enumerate(matching) for rule in some]
    sharp = [thing for (_, thing), is_blurred in zip(objects, blurred, strict=True) if not is_blurred]
    answer = _answers(questions, [thing for _, thing in objects], given, inventory([_known(each) for each in sharp]))
    violations: list[Finding] = []
    doubtful: dict[tuple[int, str], list[Path]] = {}
    for i, (some, places) in enumerate(zip(matching, unknowns, strict=True)):
        for rule in some if places else ():
            affected = affecting(rule.metadata.reads, places)
            if affected:
                doubtful[i, rule.id] = affected
    unclear = {(_kind(thing), _place(thing)) for (_, thing), each in zip(objects, blurred, strict=True) if each}
    for found in answer:
        i, rule, path = found["object"], by_package[found["rule"]], tuple(found["path"])
        neighbours = {(kind, place) for kind in rule.metadata.inventory for place in (_place(objects[i][1]), None)}
        if neighbours & unclear:
            doubtful.setdefault((i, rule.id), [()])
        elif not certain(path, [*doubtful.get((i, rule.id), ()), *_at(unknowns[i], path)]):
            doubtful.setdefault((i, rule.id), [path])
        else:
            violations.append(_finding(rule, objects[i], path, found["message"]))
    undecided = [
        _finding(rules[identifier], objects[i], path, f"{dotted(path) or 'what it is compared with'} is not known yet")
        for (i, identifier), paths in doubtful.items()
        for path in paths
    ]
    return violations, undecided


def inventory(objects: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Objects as Gatekeeper keeps them: `namespace.<namespace>.<apiVersion>.<kind>.<name>`."""
    found: dict[str, Any] = {}
    for i, thing in enumerate(objects):
        _, namespace, name = kinds.identity(thing).split("/")
        place = (
            found.setdefault(namespace, {}).setdefault(thing.get("apiVersion"), {}).setdefault(thing.get("kind"), {})
        )
        place[name or str(i)] = thing
    return {"namespace": found}


def executable() -> str:
    """OPA.

    Raises: PolicyError when it is not on PATH.
    """
    found = shutil.which("opa")
    if found is None:
        raise PolicyError(
            "opa is not on PATH: run `make install`, then the command through make or after `make -s env`"
        )
    return found


class _BuiltinError(Exception):
    """A rule asked something of a value that its type does not allow."""


def _answers(
    questions: Sequence[tuple[int, str]],
    objects: Sequence[Mapping[str, Any]],
    parameters: Mapping[str, Any],
    others: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """What each rule finds in the object with that index; one process, unless an object has fields of wrong types."""
    asked: dict[int, list[str]] = {}
    for i, package in questions:
        asked.setdefault(i, []).append(package)
    document = {
        "objects": [{"index": i, "object": _known(objects[i]), "rules": packages} for i, packages in asked.items()],
        "parameters": parameters,
        "inventory": others,
    }
    try:
        return _run(document)
    except _BuiltinError as error:
        if len(questions) == 1:
            ((i, package),) = questions
            return [{"object": i, "rule": package, "path": [], "message": f"a field has a wrong type: {error}"}]
        half = len(questions) // 2
        halves = (questions[:half], questions[half:])
        return [found for some in halves for found in _answers(some, objects, parameters, others)]


def _run(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    files = [*FOLDER.glob("lib/*.rego"), FOLDER / "gate.rego", *RULES.glob("*/rule.rego")]
    command = [executable(), "eval", "--format=json", "--stdin-input", "--strict-builtin-errors"]
    command += [argument for file in sorted(files) for argument in ("--data", str(file))]
    done = subprocess.run(
        [*command, "data.gate.findings"],
        input=json.dumps(document, default=str),  # assets and archives, which no Kubernetes object has
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        answer = json.loads(done.stdout)
    except ValueError as error:
        raise PolicyError(f"opa did not answer: {done.stderr.strip() or done.stdout.strip()}") from error
    errors = answer.get("errors", [])
    if errors and all(str(error.get("code")).startswith("eval_") for error in errors):
        raise _BuiltinError("; ".join(map(_error_line, errors)))
    if errors:
        raise PolicyError("opa refuses the rules: " + "; ".join(map(_error_line, errors)))
    value: list[dict[str, Any]] = answer["result"][0]["expressions"][0]["value"]
    return value


def _error_line(error: Mapping[str, Any]) -> str:
    location = error.get("location") or {}
    file = File(location.get("file", "rule"))
    name = file.relative_to(FOLDER.parent) if file.is_relative_to(FOLDER) else file
    return f"{name}:{location.get('row', '?')}: {error.get('message')}"


def _known(value: Any, key: str = "") -> Any:
    """A value as far as it is known, with everything at its place."""
    if isinstance(value, Mapping):
        return {name: _known(inner, name) for name, inner in value.items() if inner is not UNKNOWN}
    if isinstance(value, list):
        holds_objects = key in LISTS_OF_OBJECTS or any(isinstance(inner, Mapping) for inner in value)
        stand_in = {} if holds_objects else IN_PLACE_OF_UNKNOWN
        return [stand_in if inner is UNKNOWN else _known(inner) for inner in value]
    return value


def _matches(rule: RegoRule, thing: Mapping[str, Any]) -> bool:
    return kinds.matches(rule.metadata.kinds, str(thing.get("kind", "")), str(thing.get("apiVersion", "")))


def _is_blurred(thing: Mapping[str, Any], unknowns: Sequence[Path]) -> bool:
    """Whether something is unknown about an object that a rule looks up for another one.

    It is left out then: neighbours only ever speak for an object, so what passes without it passes.
    """
    return any(
        _kind(thing) in rule.metadata.inventory and affecting(rule.metadata.reads, unknowns)
        for rule in (rego_rules().values() if unknowns else ())
    )


def _kind(thing: Mapping[str, Any]) -> str:
    return f"{thing.get('apiVersion')}/{thing.get('kind')}"


def _place(thing: Mapping[str, Any]) -> str | None:
    """The namespace that an object is in, or is; None when it is not known."""
    metadata = thing.get("metadata")
    named = metadata if isinstance(metadata, Mapping) else {}
    place = named.get("name" if thing.get("kind") == "Namespace" else "namespace", "")
    return place if isinstance(place, str) else None


def _at(unknowns: Sequence[Path], path: Path) -> list[Path]:
    """The unknowns above or below a place."""
    return [each for each in unknowns if each[: len(path)] == path or path[: len(each)] == each]


def _finding(rule: RegoRule, manifest: Manifest, path: Path, message: str) -> Finding:
    resource, thing = manifest
    return Finding(rule=rule.id, resource=resource.urn, object_id=kinds.identity(thing), path=path, message=message)
