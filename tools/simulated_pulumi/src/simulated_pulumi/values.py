"""Property values as the engine sees them, decoded from protobuf to plain Python.

Keys stay in the wire's spelling (`blockPublicAcls`). Secrets are unwrapped and their paths are kept; unknowns become
`UNKNOWN`; assets and resource references become small frozen records, so that two graphs can be compared.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from google.protobuf.struct_pb2 import Struct, Value

Answer = Mapping[str, Any] | Callable[[dict[str, Any]], Mapping[str, Any]]
"""What a provider's function returns, or a function of its arguments that gives it."""

UNKNOWN_WIRE: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""How the wire protocol writes a value that is not known before the update."""

SIGNATURE: Final = "4dabf18193072939515e22adb298388d"
SECRET: Final = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105  (a signature of the protocol)
ASSET: Final = "c44067f5952c0a294b673a41bacd8c17"
ARCHIVE: Final = "0def7320c3a5731c473e5ecbe6d01bc7"
REFERENCE: Final = "5cf8f73096256a8f31e491e813e4eb8e"
OUTPUT: Final = "d0e6a833031e9bbcd3f4e8bde6ca49a4"


class Unknown(enum.Enum):
    """A value that only an update would tell."""

    UNKNOWN = "unknown"

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = Unknown.UNKNOWN


@dataclass(frozen=True)
class Asset:
    """A file, text or address given as an asset or archive."""

    kind: str
    """`asset` or `archive`."""

    source: str
    """`path`, `text`, `uri` or `assets`; `hash` where the engine's state has kept nothing but that."""

    value: Any

    hash: str = field(default="", compare=False)
    """SHA-256 of the content, where the engine gave it; empty in a graph, which no engine has seen."""

    def is_same(self, other: Asset) -> bool:
        """Whether the content is the same: by hash where both have one, else by what was given."""
        if self.kind == other.kind and self.hash and other.hash:
            return self.hash == other.hash
        return self == other


@dataclass(frozen=True)
class Reference:
    """A resource passed as a value."""

    urn: str
    id: str | None = None


@dataclass(frozen=True)
class Decoded:
    """A property bag and the paths in it that are secret."""

    value: dict[str, Any]
    secrets: frozenset[str]


def decode(struct: Struct) -> Decoded:
    """Turn a property bag into plain values; every call gives fresh ones."""
    secrets: set[str] = set()
    value = {key: _decode(item, key, secrets) for key, item in sorted(struct.fields.items())}
    return Decoded(value, frozenset(secrets))


def _decode(value: Value, path: str, secrets: set[str]) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return UNKNOWN if value.string_value == UNKNOWN_WIRE else value.string_value
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() else number
    if kind == "bool_value":
        return value.bool_value
    if kind == "list_value":
        return [_decode(item, f"{path}[{index}]", secrets) for index, item in enumerate(value.list_value.values)]
    if kind == "struct_value":
        return _decode_struct(value.struct_value, path, secrets)
    return None


def _decode_struct(struct: Struct, path: str, secrets: set[str]) -> Any:
    fields = struct.fields
    if SIGNATURE not in fields:
        return {key: _decode(item, f"{path}.{key}", secrets) for key, item in sorted(fields.items())}
    signature = fields[SIGNATURE].string_value
    if signature == SECRET:
        secrets.add(path)
        return _decode(fields["value"], path, secrets)
    if signature == OUTPUT:
        if "secret" in fields and fields["secret"].bool_value:
            secrets.add(path)
        return _decode(fields["value"], path, secrets) if "value" in fields else UNKNOWN
    if signature == REFERENCE:
        return Reference(fields["urn"].string_value, fields["id"].string_value if "id" in fields else None)
    if signature in {ASSET, ARCHIVE}:
        kind, digest = (
            "archive" if signature == ARCHIVE else "asset",
            fields["hash"].string_value if "hash" in fields else "",
        )
        for source in ("path", "text", "uri", "assets", "hash"):
            if source in fields:
                return Asset(kind, source, _decode(fields[source], f"{path}.{source}", secrets), digest)
    raise ValueError(f"{path}: a value with the unknown signature {signature}")


def encode(value: Any) -> Value:
    """Turn a plain value into the wire's form; `UNKNOWN` and `SecretValue` are understood at any depth.

    Raises: TypeError for a value that has no place in a property bag.
    """
    from google.protobuf.struct_pb2 import ListValue, NullValue, Struct, Value  # noqa: PLC0415  (protobuf is slow)

    match value:
        case None:
            encoded = Value(null_value=NullValue.NULL_VALUE)
        case bool():
            encoded = Value(bool_value=value)
        case int() | float():
            encoded = Value(number_value=value)
        case Unknown():
            encoded = Value(string_value=UNKNOWN_WIRE)
        case str():
            encoded = Value(string_value=value)
        case SecretValue() | Reference() | Asset():
            encoded = encode(_signed(value))
        case dict():
            encoded = Value(struct_value=Struct(fields={str(key): encode(item) for key, item in value.items()}))
        case list() | tuple():
            encoded = Value(list_value=ListValue(values=[encode(item) for item in value]))
        case _:
            raise TypeError(f"{value!r} ({type(value).__name__}) cannot be a property; use plain values")
    return encoded


def _signed(value: SecretValue | Reference | Asset) -> dict[str, Any]:
    """Spell a special value as the dictionary with a signature that the wire has for it."""
    if isinstance(value, SecretValue):
        return {SIGNATURE: SECRET, "value": value.value}
    if isinstance(value, Reference):
        return {SIGNATURE: REFERENCE, "urn": value.urn} | ({} if value.id is None else {"id": value.id})
    digest = {"hash": value.hash} if value.hash else {}
    return {SIGNATURE: ARCHIVE if value.kind == "archive" else ASSET, **digest, value.source: value.value}


def encode_bag(values: dict[str, Any]) -> Struct:
    """Turn a dictionary of plain values into a property bag."""
    return encode(values).struct_value


@dataclass(frozen=True)
class SecretValue:
    """Marks a value as secret in outputs, answers and configuration."""

    value: Any

    def __repr__(self) -> str:
        return "SecretValue([secret])"


def lookup(value: Any, path: str) -> Any:
    """Follow a path such as `rules[0].id`.

    Raises: KeyError that names the first missing step and what is there instead.
    """
    here = value
    walked = ""
    for step in path.replace("[", ".[").split("."):
        if step == "":
            continue
        key: Any = int(step[1:-1]) if step.startswith("[") else step
        try:
            here = here[key]
        except (KeyError, IndexError, TypeError):
            there = sorted(here) if isinstance(here, dict) else repr(here)
            raise KeyError(f"{path}: nothing at {walked + step!r}; there is {there}") from None
        walked += step if step.startswith("[") else f"{step}."
    return here
