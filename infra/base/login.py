"""Logins of servers on this machine: one person of the platform, and a generated password per server."""

import hashlib

from bcrypt import hashpw

USER = "platform"
"""Who everybody logs in as."""
_COST = "04"
"""bcrypt's lowest: the passwords are random and long, so that nothing is gained by making each guess slow."""


def bcrypt(password: str) -> str:
    """A password's bcrypt hash, the same each time, so that a preview shows no change."""
    salt = hashlib.sha256(password.encode()).hexdigest()[:21] + "."  # the last of 22 characters holds two bits
    return hashpw(password.encode(), f"$2b${_COST}${salt}".encode()).decode()
