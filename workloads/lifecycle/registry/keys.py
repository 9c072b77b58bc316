"""The pair of keys of a signed verdict: Ed25519, from a secret text that the stack generates.

Leaves out what is signed: `signature`. Imported by the program, which hands out the public half.
"""

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_PUBLIC = re.compile(r"[0-9a-f]{64}")


def private_key(secret: str) -> Ed25519PrivateKey:
    """The signing half."""
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(secret.encode()).digest())


def verifying_key(secret: str) -> str:
    """The public half, 64 hex digits."""
    return private_key(secret).public_key().public_bytes_raw().hex()


@dataclass(frozen=True)
class Keyring:
    """Public keys whose signatures count: the current one, and after a rotation the former one for a time."""

    current: str
    """64 hex digits."""

    former: str = ""
    """The key before, likewise; empty where only the current one counts."""

    former_until: datetime | None = None
    """When the former key stops counting."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `<key>` or `<key> <former key> <time with zone>`; raises ValueError."""
        current, *rest = text.split() or [""]
        former, until = rest or ("", "")
        if not all(_PUBLIC.fullmatch(key) for key in (current, former or current)):
            raise ValueError(f"{text[:200]!r} holds no public key of 64 hex digits")
        end = datetime.fromisoformat(until) if until else None
        if end is not None and end.tzinfo is None:
            raise ValueError(f"the time {until!r} names no zone")
        return cls(current, former, end)

    def __str__(self) -> str:
        """What `parse` reads."""
        return f"{self.current} {self.former} {self.former_until.isoformat()}" if self.former_until else self.current

    def counting(self, now: datetime) -> tuple[str, ...]:
        """Keys whose signatures count at a time, the current one first."""
        overlaps = self.former_until is not None and now < self.former_until
        return (self.current, self.former) if overlaps else (self.current,)
