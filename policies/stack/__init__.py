"""Rules on the stack itself, whatever its substrate."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from policies.model import UNKNOWN, Path
from policies.typed import Problem, Props, RuleBook, Stack, UndecidedError

BOOK = RuleBook()

STACK = "pulumi:pulumi:Stack"
"""The root resource; its properties are the stack's outputs."""
SECRET_OBJECT = "kubernetes:core/v1:Secret"  # noqa: S105  a type token

NAME = re.compile(
    r"(?i)(password|passwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credential|kubeconfig)"
)
PLACE = re.compile(r"(?i)(file|path|dir|url|uri|arn|name|id|ref)s?$")
"""Names of where a secret is, not of the secret."""
TELLING = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----|\bAKIA[0-9A-Z]{16}\b|://[^/\s:@]*:[^/\s:@$]+@")


@BOOK.rule(
    "ML-08",
    STACK,
    SECRET_OBJECT,
    title="Secrets are secret in the state",
    severity="critical",
    frameworks={"CIS Kubernetes": "5.4.1", "Pulumi": "Secrets handling"},
    fix="Wrap the value in `pulumi.Output.secret`, or read it with `require_secret`.",
    link="https://www.pulumi.com/docs/iac/concepts/secrets/",
)
def secrets_are_encrypted(holder: Props, _stack: Stack) -> Iterator[Problem]:
    """What the state holds in the clear, everyone who can read the backend can read."""
    undecided = None
    for path, value in _leaves(holder.resource.properties):
        if _encrypted(path, holder.resource.secrets) or not value:
            continue
        if value is UNKNOWN:
            undecided = path
        elif _is_secret(holder.resource.type, path) or TELLING.search(value):
            yield Problem(path, "holds a secret in the clear")
    if undecided:
        raise UndecidedError(undecided)


def _is_secret(type_token: str, path: Path) -> bool:
    """Whether what stands at a path is secret by its place or its name."""
    name = str(path[0])
    if type_token == SECRET_OBJECT:
        return name in ("data", "stringData")
    return bool(NAME.search(name)) and not PLACE.search(name)


def _leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, (*path, key))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from _leaves(inner, (*path, i))
    elif isinstance(value, str) or value is UNKNOWN:
        yield path, value


def _encrypted(path: Path, secrets: frozenset[Path]) -> bool:
    return any(path[:length] in secrets for length in range(len(path) + 1))
