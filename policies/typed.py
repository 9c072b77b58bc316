"""Rules in Python: how one is declared, and how it reads a resource's properties without passing over anything.

Reading a value that is unknown, or of another type than the provider documents, ends the rule for that resource or for
that element of a list; `policies.unknowns` and `judge` turn that into "undecided" and into a violation.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from policies.model import UNKNOWN, Finding, Level, Path, Resource, dotted
from policies.rule import Metadata, Rule, Severity
from policies.unknowns import certain


class UndecidedError(Exception):
    """The rule needs a value that is not known yet."""

    def __init__(self, path: Path) -> None:
        super().__init__(dotted(path))
        self.path = path


class WrongTypeError(Exception):
    """A property is not what the provider's schema says."""

    def __init__(self, path: Path, wanted: str, value: Any) -> None:
        super().__init__(f"must be {wanted}, not {type(value).__name__}")
        self.path = path


class Problem:
    """What is wrong, and where in the resource."""

    def __init__(self, path: Path, message: str) -> None:
        self.path = path
        self.message = message


class Props:
    """The properties of a resource, or an object inside them, in the engine's spelling."""

    def __init__(
        self, resource: Resource, value: Any = None, path: Path = (), skipped: frozenset[Path] = frozenset()
    ) -> None:
        self.resource = resource
        self.path = path
        self._value = resource.properties if not path else value
        self._skipped = skipped
        if value is UNKNOWN:
            raise UndecidedError(path)
        if not isinstance(self._value, Mapping):
            raise WrongTypeError(path, "an object", self._value)

    def has(self, key: str) -> bool:
        """Whether a property is set, be its value known or not."""
        return self._value.get(key) is not None

    def has_elements(self, key: str) -> bool:
        """Whether a list holds something, be that known or not."""
        return any(True for _ in self._elements(key))

    def flag(self, key: str, *, default: bool) -> bool:
        """A boolean."""
        value: bool = self._typed(key, bool, "a boolean", default)
        return value

    def text(self, key: str, default: str = "", *, source: str | None = None) -> str:
        """A string; a type token as `source` stands for what is not known yet and a resource of that type will give."""
        sources = self.resource.depends.get(str((*self.path, key)[0]), ())
        if source and self._value.get(key) is UNKNOWN and any(urn.split("::")[2].endswith(source) for urn in sources):
            return source
        value: str = self._typed(key, str, "a string", default)
        return value

    def number(self, key: str, default: int = 0) -> int:
        """A whole number."""
        value = self._typed(key, (int, float), "a number", default)
        if isinstance(value, bool):
            raise WrongTypeError((*self.path, key), "a number", value)
        return int(value)

    def child(self, key: str) -> "Props":
        """An object; an empty one when it is not set."""
        value = self._value.get(key)
        return Props(self.resource, {} if value is None else value, (*self.path, key), self._skipped)

    def children(self, key: str) -> Iterator["Props"]:
        """The objects of a list; none when it is not set."""
        for path, value in self._elements(key):
            yield Props(self.resource, value, path, self._skipped)

    def texts(self, key: str) -> list[str]:
        """The strings of a list; none when it is not set."""
        found: list[str] = []
        for path, value in self._elements(key):
            if value is UNKNOWN:
                raise UndecidedError(path)
            if not isinstance(value, str):
                raise WrongTypeError(path, "a string", value)
            found.append(value)
        return found

    def statements(self, key: str) -> list[dict[str, Any]]:
        """The statements of a policy document in JSON."""
        text = self.text(key)
        if not text:
            return []
        try:
            statements = json.loads(text)["Statement"]
        except (ValueError, KeyError, TypeError) as error:
            raise WrongTypeError((*self.path, key), "a policy document in JSON with a Statement", text) from error
        return statements if isinstance(statements, list) else [statements]

    def problem(self, key: str, message: str) -> Problem:
        """Something is wrong with a property."""
        return Problem((*self.path, key), message)

    def _typed(self, key: str, wanted: Any, words: str, default: Any) -> Any:
        value = self._value.get(key)
        if value is None:
            return default
        if value is UNKNOWN:
            raise UndecidedError((*self.path, key))
        if not isinstance(value, wanted):
            raise WrongTypeError((*self.path, key), words, value)
        return value

    def _elements(self, key: str) -> Iterator[tuple[Path, Any]]:
        value = self._value.get(key)
        if value is None:
            return
        if value is UNKNOWN:
            raise UndecidedError((*self.path, key))
        if not isinstance(value, list):
            raise WrongTypeError((*self.path, key), "a list", value)
        for i, element in enumerate(value):
            path = (*self.path, key, i)
            if path not in self._skipped:
                yield path, element


class Stack:
    """All resources of a stack, for rules that look at more than one."""

    def __init__(self, resources: Iterable[Resource]) -> None:
        self._by_type: dict[str, list[Resource]] = {}
        for resource in resources:
            self._by_type.setdefault(resource.type, []).append(resource)

    def of(self, *types: str) -> list[Resource]:
        """The resources of some types."""
        return [resource for each in types for resource in self._by_type.get(each, [])]

    def about(self, resource: Resource, key: str, *types: str) -> list[Props]:
        """What refers to a resource by the property `key`: computed from its outputs, or equal to its own `key`."""
        own = resource.properties.get(key)
        found = []
        for other in self.of(*types):
            named = other.properties.get(key)
            if resource.urn in other.depends.get(key, ()) or (isinstance(own, str) and named == own):
                found.append(Props(other))
            elif own is UNKNOWN and isinstance(named, str):
                raise UndecidedError((key,))
        return found


Judge = Callable[[Props, Stack], Iterable[Problem]]


class TypedRule(Rule):
    """A rule in Python on some types of resources."""

    types: tuple[str, ...]
    judge: Judge

    def findings(self, resource: Resource, stack: Stack) -> tuple[list[Finding], list[Finding]]:
        """What the rule finds wrong with a resource, and what it could not decide."""
        problems: list[Problem] = []
        undecided: list[Path] = []
        skipped: frozenset[Path] = frozenset()
        while True:
            problems.clear()
            try:
                for problem in self.judge(Props(resource, skipped=skipped), stack):
                    problems.append(problem)  # noqa: PERF402  kept when the next one cannot be decided
                break
            except UndecidedError as error:
                undecided.append(error.path)
                element = _element(error.path)
                if element is None or element in skipped:
                    break
                skipped |= {element}
            except WrongTypeError as error:
                problems.append(Problem(error.path, str(error)))
                break
        kept = [problem for problem in problems if certain(problem.path, undecided)]
        return (
            [self._finding(resource, each.path, f"{dotted(each.path)} {each.message}".strip()) for each in kept],
            [self._finding(resource, path, f"{dotted(path)} is not known yet") for path in undecided],
        )

    def _finding(self, resource: Resource, path: Path, message: str) -> Finding:
        return Finding(rule=self.id, resource=resource.urn, path=path, message=message)


class RuleBook:
    """The rules of one module, in the order they are written."""

    def __init__(self) -> None:
        self.rules: list[TypedRule] = []

    def rule(
        self,
        identifier: str,
        *types: str,
        title: str,
        severity: Severity,
        frameworks: Mapping[str, str],
        fix: str,
        link: str,
        level: Level = "mandatory",
    ) -> Callable[[Judge], Judge]:
        """Declare a function as the rule of that id on resources of those types."""
        metadata = Metadata(title=title, severity=severity, frameworks=frameworks, fix=fix, link=link, level=level)

        def declare(judge: Judge) -> Judge:
            self.rules.append(TypedRule(id=identifier, metadata=metadata, types=types, judge=judge))
            return judge

        return declare


def _element(path: Path) -> Path | None:
    """The innermost element of a list on a path."""
    indices = [i for i, step in enumerate(path) if isinstance(step, int)]
    return path[: indices[-1] + 1] if indices else None


def allowed(statements: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The statements of a policy document that allow something."""
    return (statement for statement in statements if statement.get("Effect") == "Allow")


def listed(value: Any) -> list[Any]:
    """A value of a policy document, which may stand alone, as a list."""
    return value if isinstance(value, list) else [value]
