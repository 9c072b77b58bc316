"""Runs the rules in Rego on all objects of a stack, and says what they find, and what they could not decide."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from policies import interpreter, kinds
from policies.catalogue import RegoRule, rego_rules
from policies.interpreter import Ask, BuiltinError
from policies.model import UNKNOWN, Finding, Path, Resource, dotted, unknown_paths
from policies.unknowns import affecting, certain

IN_PLACE_OF_UNKNOWN = "<not known before up>"
"""Stands for an unknown string of a list; an unknown object of a list becomes an empty one, any other an absent one."""

LISTS_OF_OBJECTS = frozenset(
    {
        *("containers", "initContainers", "ephemeralContainers", "volumes", "env", "ports", "tolerations"),
        *("rules", "subjects", "tls", "ingress", "egress", "from", "to", "receivers", "webhookConfigs"),
        *("listeners", "templates", "volumeMounts", "sources", "matchExpressions", "storageUris", "limits"),
    }
)
"""Keys of lists that rules read, whose elements are objects."""

Manifest = tuple[Resource, Mapping[str, Any]]
"""A resource and the object that it stands for."""
Question = tuple[int, str]
"""The index of an object and the package of a rule."""
Document = Mapping[str, Any]


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
    known = [_known(thing) for _, thing in objects]
    others = inventory([thing for thing, is_blurred in zip(known, blurred, strict=True) if not is_blurred])
    answer = _answers(questions, partial(_document, known, given, others))
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


def _answers(questions: Sequence[Question], document: Callable[[Sequence[Question]], Document]) -> interpreter.Answer:
    """One process answers all questions; where it stumbles over a field of a wrong type, a server finds out which."""
    try:
        return interpreter.ask(document(questions))
    except BuiltinError:
        with interpreter.server() as ask:
            return _halved(questions, document, ask)


def _halved(
    questions: Sequence[Question], document: Callable[[Sequence[Question]], Document], ask: Ask
) -> interpreter.Answer:
    try:
        return ask(document(questions))
    except BuiltinError as error:
        if len(questions) == 1:
            ((i, package),) = questions
            return [{"object": i, "rule": package, "path": [], "message": f"a field has a wrong type: {error}"}]
    half = len(questions) // 2
    return [found for some in (questions[:half], questions[half:]) for found in _halved(some, document, ask)]


def _document(
    objects: Sequence[Mapping[str, Any]],
    parameters: Mapping[str, Any],
    others: Mapping[str, Any],
    questions: Sequence[Question],
) -> Document:
    """What OPA is asked: rules by the index of the object that they are to judge."""
    asked: dict[int, list[str]] = {}
    for i, package in questions:
        asked.setdefault(i, []).append(package)
    return {
        "objects": [{"index": i, "object": objects[i], "rules": packages} for i, packages in asked.items()],
        "parameters": parameters,
        "inventory": others,
    }


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

    It is left out then. What it would speak for stays undecided; what it would speak against, as a NetworkPolicy that
    undoes another one, is found when the state is judged, and by the audit.
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
