"""Property bags as the engine sends them, turned into plain values."""

from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format, struct_pb2

from policies.model import UNKNOWN, Path

SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105  marks secrets
OUTPUT = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
"""Source: https://github.com/pulumi/pulumi/blob/v3.250.0/sdk/go/common/resource/sig/sig.go"""

UNKNOWNS = frozenset(
    {
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
        "04da6b54-80e4-46f7-96ec-b56ff0331ba9",
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
        "030794c1-ac77-496b-92df-f27374a8bd58",
        "e48ece36-62e2-4504-bad9-02848725956a",
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
    }
)
"""What stands in place of a boolean, number, string, list, asset, archive or object that is computed.
Source: https://github.com/pulumi/pulumi/blob/v3.250.0/sdk/go/common/resource/plugin/rpc.go"""


def plain(bag: struct_pb2.Struct) -> tuple[dict[str, Any], frozenset[Path]]:
    """The values of a property bag, with `UNKNOWN` where one is computed, and where the secrets stand."""
    secrets: set[Path] = set()
    values = {key: _plain(value, (key,), secrets) for key, value in json_format.MessageToDict(bag).items()}
    return values, frozenset(secrets)


def _plain(value: Any, path: Path, secrets: set[Path]) -> Any:
    if isinstance(value, str):
        return UNKNOWN if value in UNKNOWNS else value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_plain(inner, (*path, i), secrets) for i, inner in enumerate(value)]
    if isinstance(value, Mapping):
        signature = value.get(SIGNATURE)
        if signature == SECRET or (signature == OUTPUT and value.get("secret")):
            secrets.add(path)
        if signature in (SECRET, OUTPUT):
            return _plain(value["value"], path, secrets) if "value" in value else UNKNOWN
        return {key: _plain(inner, (*path, key), secrets) for key, inner in value.items() if key != SIGNATURE}
    return value
