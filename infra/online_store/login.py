"""How a process shows an online store who it is."""

from dataclasses import dataclass

import pulumi


@dataclass(frozen=True, kw_only=True)
class Login:
    """One user's."""

    user: str | None
    """None: the store's own user."""

    password: pulumi.Output[str]
    """Secret."""
