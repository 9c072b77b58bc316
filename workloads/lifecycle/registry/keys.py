"""The pair of keys of a signed verdict: Ed25519, from a secret text that the stack generates.

Leaves out what is signed: `signature`. Imported by the program, which hands out the public half.
"""

import hashlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def private_key(secret: str) -> Ed25519PrivateKey:
    """The signing half."""
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(secret.encode()).digest())


def verifying_key(secret: str) -> str:
    """The public half, 64 hex digits."""
    return private_key(secret).public_key().public_bytes_raw().hex()
