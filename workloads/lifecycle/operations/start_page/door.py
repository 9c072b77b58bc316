"""Who is let in to the start page of a machine with several accounts: a person by a link, a program by the token.

A link opens the page once and for ten minutes, and leaves a cookie for a day. Both are signed with the stack's token: a
link is made without asking the server, and a restart of the server logs nobody out.

A browser sends a host's cookies to each of its ports, those of other accounts' servers too. So the cookie belongs to a
folder whose name nobody else knows, and the page lives there.
"""

import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping

COOKIE = "mlplatform-start"
LINK_SECONDS = 600
SESSION_SECONDS = 86400


def link(url: str, token: str) -> str:
    """Address by which one person logs in to the start page at `url`, once."""
    made = f"{_now()}.{secrets.token_hex(16)}"
    return f"{url.rstrip('/')}/login?token={made}.{_signature(token, 'link', made)}"


class Door:
    """Knows by the stack's token who is let in."""

    def __init__(self, token: str, opened: int | None = None) -> None:
        """`opened`: milliseconds since which links are counted; None: now."""
        self._token, self._used = token, set[str]()
        self._opened = _now() if opened is None else opened
        self.folder = f"/{_signature(token, 'folder', '')[:32]}"
        """Where the page is for people."""

    def admits_link(self, shown: str) -> bool:
        """Whether a link's token opens the page, for which it is used up. Links of before a restart open nothing."""
        made, _, signature = shown.rpartition(".")
        if made in self._used or not self._is_signed("link", made, signature):
            return False
        self._used.add(made)
        moment = int(made.partition(".")[0])
        return moment >= self._opened and _now() - moment < LINK_SECONDS * 1000

    def session(self) -> str:
        """A cookie's value."""
        until = str(_now() + SESSION_SECONDS * 1000)
        return f"{until}.{_signature(self._token, 'session', until)}"

    def admits(self, headers: Mapping[str, str], cookies: Mapping[str, str]) -> bool:
        """Whether a request shows the token or a session's cookie."""
        shown = headers.get("authorization", "").encode()
        if hmac.compare_digest(shown, f"Bearer {self._token}".encode()):
            return True
        until, _, signature = cookies.get(COOKIE, "").partition(".")
        return self._is_signed("session", until, signature) and _now() < int(until)

    def _is_signed(self, purpose: str, text: str, signature: str) -> bool:
        return hmac.compare_digest(signature.encode(), _signature(self._token, purpose, text).encode())


def _signature(token: str, purpose: str, text: str) -> str:
    return hmac.new(token.encode(), f"{purpose}:{text}".encode(), hashlib.sha256).hexdigest()


def _now() -> int:
    """Milliseconds."""
    return time.time_ns() // 1_000_000
