"""The graph a program asked the engine for: frozen, to be queried, printed and compared.

Leaves out what only a running engine knows (real diffs, what a provider computes); the real engine is for that.
"""

from __future__ import annotations

import difflib
import fnmatch
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from simulated_pulumi import values
from simulated_pulumi.errors import PulumiTestError, SelectionError

if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable, Iterator

    from google.protobuf.struct_pb2 import Struct

Selector = str | type[Any]
"""A type token, a pattern over tokens (`aws:s3/*`), a bare class name (`Bucket`), or the resource class itself."""

_MISSING: Final = object()


@dataclass(frozen=True, eq=False)
class Resource:
    """One resource, as it was registered. Property bags are copied at each access, so no test can change them."""

    urn: str
    type: str
    name: str
    custom: bool
    """False for components."""

    cls: builtins.type[Any]
    """The Python class that registered it."""

    id: str | None
    """What the stand-in engine answered; None for components and in previews."""

    parent: str | None
    """URN of the parent; None for those that hang directly under the stack."""

    provider: str | None
    """URN of the explicit provider; None means the default provider."""

    providers: Mapping[str, str]
    """Package to provider URN, as a component hands them to remote children."""

    dependencies: tuple[str, ...]
    """URNs, sorted: `depends_on` and those of outputs used as inputs."""

    property_dependencies: Mapping[str, tuple[str, ...]]
    """Input to the URNs it was computed from."""

    protect: bool
    aliases: tuple[str, ...]
    """Old URNs, or `name=…, type=…, parent=…` for partial ones."""

    options: Mapping[str, Any]
    """The other options that were set: ignoreChanges, retainOnDelete, deletedWith, version, …"""

    source: str
    """`path:line` where the program made it."""

    read: bool
    """True for `get` and StackReference: looked up, not managed."""

    input_bag: Struct = field(repr=False)
    output_bag: Struct = field(repr=False)
    registered_bag: Struct | None = field(repr=False)

    @property
    def inputs(self) -> dict[str, Any]:
        """What the engine was asked to register, in the wire's spelling; secrets unwrapped."""
        return values.decode(self.input_bag).value

    @property
    def outputs(self) -> dict[str, Any]:
        """What the stand-in engine answered."""
        return values.decode(self.output_bag).value

    @property
    def registered_outputs(self) -> dict[str, Any] | None:
        """What a component passed to `register_outputs`; None if it never called it."""
        return None if self.registered_bag is None else values.decode(self.registered_bag).value

    @property
    def secret_inputs(self) -> frozenset[str]:
        """Paths of inputs that are secret, such as `value` or `env[0].value`."""
        return values.decode(self.input_bag).secrets

    @property
    def secret_outputs(self) -> frozenset[str]:
        """Paths of registered outputs that are secret."""
        return frozenset() if self.registered_bag is None else values.decode(self.registered_bag).secrets

    def get(self, path: str, default: Any = _MISSING) -> Any:
        """Give one input by path, such as `rules[0].id`; names may be in the spelling of Python, too.

        Raises: SelectionError if it is not there and no default is given.
        """
        inputs = self.inputs
        try:
            return values.lookup(inputs, wire_path(inputs, path))
        except KeyError as error:
            if default is not _MISSING:
                return default
            raise SelectionError(f"{self}: {error.args[0]}") from None

    def is_secret(self, path: str) -> bool:
        """Say whether the input at this path, or something around it, is secret."""
        path = wire_path(self.inputs, path)
        return any(path == secret or path.startswith((f"{secret}.", f"{secret}[")) for secret in self.secret_inputs)

    def assert_secret(self, *paths: str) -> None:
        """Fail unless every one of these inputs is there and secret."""
        for path in paths:
            self.get(path)
            if not self.is_secret(path):
                known = ", ".join(sorted(self.secret_inputs)) or "none"
                raise PulumiTestError(f"{self}: input {path!r} is plain text; secret are: {known}")

    def assert_inputs(self, expected: Mapping[str, Any]) -> None:
        """Fail with a diff unless these inputs have these values; inputs that are not named may be anything.

        Names may be in the wire's spelling (`forceDestroy`) or in that of Python (`force_destroy`), at any depth.
        """
        actual = self.inputs
        expected = wire_spelling(expected, actual)
        shown = {key: actual[key] for key in expected if key in actual}
        if shown != dict(expected):
            diff = difflib.unified_diff(
                render(dict(expected)), render(shown), "expected", "registered", lineterm="", n=3
            )
            raise PulumiTestError("\n".join([f"{self} has other inputs than expected", *diff]))

    def __str__(self) -> str:
        return f"{self.type} {self.name!r} ({self.source})"


@dataclass(frozen=True)
class Invoke:
    """One call of a provider's function."""

    token: str
    args: dict[str, Any]
    provider: str | None
    source: str


@dataclass(frozen=True)
class Log:
    """One message that the program sent to the engine."""

    severity: str
    message: str
    urn: str


@dataclass(frozen=True, eq=False)
class Graph:
    """Everything a program registered, after all of it has landed."""

    project: str
    stack: str
    resources: tuple[Resource, ...]
    """In the order of registration; without the stack itself."""

    output_bag: Struct | None = field(repr=False)
    invokes: tuple[Invoke, ...] = ()
    logs: tuple[Log, ...] = ()
    preview: bool = False

    @property
    def outputs(self) -> dict[str, Any]:
        """What the program exported; secrets unwrapped."""
        return {} if self.output_bag is None else values.decode(self.output_bag).value

    @property
    def secret_outputs(self) -> frozenset[str]:
        """Names (and paths) of exports that are secret."""
        return frozenset() if self.output_bag is None else values.decode(self.output_bag).secrets

    def all(
        self, selector: Selector = "*", name: str = "*", where: Callable[[Resource], bool] | None = None
    ) -> tuple[Resource, ...]:
        """Give every resource of a type, with a name (both may be patterns), for which `where` holds."""
        return tuple(
            resource
            for resource in self.resources
            if _selects(selector, resource)
            and fnmatch.fnmatchcase(resource.name, name)
            and (where is None or where(resource))
        )

    def one(
        self, selector: Selector = "*", name: str = "*", where: Callable[[Resource], bool] | None = None
    ) -> Resource:
        """Give the only such resource.

        Raises: SelectionError that lists what was found, or what there is.
        """
        found = self.all(selector, name, where)
        if len(found) == 1:
            return found[0]
        shown = selector if isinstance(selector, str) else selector.__name__
        asked = f"type {shown!r}" + ("" if name == "*" else f", name {name!r}")
        head = f"{len(found)} resources match {asked}; expected one."
        listed = found or self.resources
        title = "Found:" if found else "The graph has:"
        raise SelectionError("\n".join([head, title, *(f"  {resource}" for resource in listed)]))

    def get(self, urn: str) -> Resource:
        """Give the resource with this URN.

        Raises: SelectionError.
        """
        if urn not in self._by_urn:
            raise SelectionError(f"no resource has the URN {urn}")
        return self._by_urn[urn]

    def parent(self, resource: Resource) -> Resource | None:
        """Give the parent; None directly under the stack."""
        return None if resource.parent is None else self._by_urn.get(resource.parent)

    def children(self, resource: Resource | None = None, *, deep: bool = False) -> tuple[Resource, ...]:
        """Give the children (of the stack by default), with `deep` all descendants."""
        direct = self._by_parent.get(None if resource is None else resource.urn, ())
        if not deep:
            return direct
        return tuple(found for child in direct for found in (child, *self.children(child, deep=True)))

    def path(self, resource: Resource) -> str:
        """Give the names from the stack down, such as `artifacts/artifacts-logging`."""
        parent = self.parent(resource)
        return resource.name if parent is None else f"{self.path(parent)}/{resource.name}"

    def dependencies(self, resource: Resource) -> tuple[Resource, ...]:
        """Give the resources that this one waits for."""
        return tuple(self._by_urn[urn] for urn in resource.dependencies if urn in self._by_urn)

    def provider(self, resource: Resource) -> Resource | None:
        """Give the explicit provider of a resource; None for the default one."""
        return None if resource.provider is None else self._by_urn.get(resource.provider)

    def tree(self) -> str:
        """Draw the graph, one line per resource, children below their parent."""
        return "\n".join([f"{self.project}-{self.stack}", *self._branches(None, "")])

    def snapshot(self) -> str:
        """Write the whole graph as reviewable text: sorted, secrets masked, no path of this machine."""
        blocks = [_block(self, resource) for resource in self._walk(None)]
        outputs = render(_masked(self.outputs, self.secret_outputs))
        invokes = sorted(f"{call.token} {json.dumps(call.args, sort_keys=True, default=repr)}" for call in self.invokes)
        parts = [f"stack {self.project}-{self.stack}", *blocks]
        if invokes:
            parts.append("\n".join(["calls", *(f"  {line}" for line in dict.fromkeys(invokes))]))
        if self.outputs:
            parts.append("\n".join(["exports", *(f"  {line}" for line in outputs)]))
        return "\n\n".join(parts) + "\n"

    @cached_property
    def _by_urn(self) -> dict[str, Resource]:
        return {resource.urn: resource for resource in self.resources}

    @cached_property
    def _by_parent(self) -> dict[str | None, tuple[Resource, ...]]:
        groups: dict[str | None, list[Resource]] = {}
        for resource in self.resources:
            groups.setdefault(resource.parent, []).append(resource)
        return {urn: tuple(sorted(group, key=lambda r: (r.type, r.name))) for urn, group in groups.items()}

    def _walk(self, resource: Resource | None) -> Iterator[Resource]:
        for child in self.children(resource):
            yield child
            yield from self._walk(child)

    def _branches(self, resource: Resource | None, indent: str) -> Iterator[str]:
        children = self.children(resource)
        for number, child in enumerate(children):
            last = number == len(children) - 1
            yield f"{indent}{'└─' if last else '├─'} {child.name}  {child.type}"
            yield from self._branches(child, indent + ("   " if last else "│  "))


def wire_path(value: Any, path: str) -> str:
    """Spell a path as the value does: `rules[0].max_age` becomes `rules[0].maxAge` where that is there."""
    steps: list[str] = []
    for step in path.split("."):
        name, bracket, rest = step.partition("[")
        here = values.lookup(value, ".".join(steps)) if steps else value
        spelled = name if not isinstance(here, dict) or name in here else _camel_case(name)
        steps.append((spelled if isinstance(here, dict) and spelled in here else name) + bracket + rest)
        try:
            values.lookup(value, ".".join(steps))
        except KeyError:
            return ".".join([*steps, *path.split(".")[len(steps) :]])
    return ".".join(steps)


def wire_spelling(expected: Any, actual: Any) -> Any:
    """Spell the keys of an expected value as the actual one does, at any depth."""
    if isinstance(expected, Mapping) and isinstance(actual, dict):
        spelled = {key if key in actual else wire_path(actual, key): key for key in expected}
        return {there: wire_spelling(expected[key], actual.get(there)) for there, key in spelled.items()}
    if isinstance(expected, (list, tuple)) and isinstance(actual, list) and len(expected) == len(actual):
        return [wire_spelling(*pair) for pair in zip(expected, actual, strict=True)]
    return expected


def _camel_case(name: str) -> str:
    return re.sub(r"_([a-z0-9])", lambda found: found[1].upper(), str(name))


def render(value: Any, indent: str = "") -> list[str]:
    """Write a plain value as indented lines, keys sorted."""
    if isinstance(value, dict) and value:
        return [line for key in sorted(value) for line in _entry(f"{key}:", value[key], indent)]
    if isinstance(value, list) and value:
        return [line for item in value for line in _entry("-", item, indent)]
    return [f"{indent}{_scalar(value)}"]


def _entry(head: str, value: Any, indent: str) -> list[str]:
    if isinstance(value, (dict, list)) and value:
        return [f"{indent}{head}", *render(value, indent + "  ")]
    if isinstance(value, str) and "\n" in value and value.replace("\n", "").isprintable():
        mark = "|" if value.endswith("\n") else "|-"  # as in YAML: without the dash the last line ends, too
        return [f"{indent}{head} {mark}", *(f"{indent}  {line}".rstrip() for line in value.splitlines())]
    return [f"{indent}{head} {_scalar(value)}"]


def _scalar(value: Any) -> str:
    if isinstance(value, _Masked):
        return "[secret]"
    if value is values.UNKNOWN:
        return "[unknown]"
    if isinstance(value, (values.Asset, values.Reference)):
        return repr(value)
    return json.dumps(value, ensure_ascii=False)


class _Masked:
    """Stands for a secret in a text."""


def _masked(value: Any, secrets: frozenset[str], path: str = "") -> Any:
    if path in secrets:
        return _Masked()
    if isinstance(value, dict):
        return {key: _masked(item, secrets, f"{path}.{key}" if path else key) for key, item in value.items()}
    if isinstance(value, list):
        return [_masked(item, secrets, f"{path}[{index}]") for index, item in enumerate(value)]
    return value


def _selects(selector: Selector, resource: Resource) -> bool:
    if isinstance(selector, type):
        return issubclass(resource.cls, selector)
    if ":" not in selector and not selector.startswith("*"):
        return fnmatch.fnmatchcase(resource.type.rsplit(":", 1)[-1], selector)
    return fnmatch.fnmatchcase(resource.type, selector)


def _block(graph: Graph, resource: Resource) -> str:
    facts: dict[str, Any] = {}
    if resource.read:
        facts["read"] = True
    provider = graph.provider(resource)
    if provider is not None:
        facts["provider"] = provider.name
    if resource.protect:
        facts["protect"] = True
    if resource.aliases:
        facts["aliases"] = list(resource.aliases)
    if resource.dependencies:
        facts["depends on"] = sorted(graph.path(needed) for needed in graph.dependencies(resource))
    facts.update(resource.options)
    inputs = values.decode(resource.input_bag)
    if inputs.value:
        facts["inputs"] = _masked(inputs.value, inputs.secrets)
    if resource.registered_outputs:
        facts["outputs"] = _masked(resource.registered_outputs, resource.secret_outputs)
    return "\n".join([f"{resource.type} {graph.path(resource)}", *(render(facts, "  ") if facts else [])])
