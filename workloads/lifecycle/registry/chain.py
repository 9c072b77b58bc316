"""Records chained by hash: each is named `<number>-<hash>.json` and holds the hashes that it follows.

Standard library only: each reader of a log verifies it, also where no store can be opened.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def digest(record: Mapping[str, Any]) -> str:
    """Hash of a record's content."""
    return hashlib.sha256(json.dumps(record, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def hash_in(name: str) -> str:
    """The hash that a record's name holds."""
    return name.removesuffix(".json").partition("-")[2]


def number_in(name: str) -> int:
    """The number that a record's name holds; 0 where it holds none."""
    number = name.partition("-")[0]
    return int(number) if number.isdecimal() else 0
