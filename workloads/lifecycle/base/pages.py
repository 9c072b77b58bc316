"""Keeps pages of other sites away from a server: what a person's browser sends for them is refused.

A page that a browser shows can send requests to servers on this machine, and read the answers where it can make a name
of its own point here (DNS rebinding). The browser says so: by the name in `Host`, by the page's `Origin`, or, for what
a page embeds, by `Sec-Fetch-Site`.
Source: https://www.w3.org/TR/fetch-metadata/
"""

from collections.abc import Collection, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

_ELSEWHERE = {"cross-site", "same-site"}
"""Where a page is from whose request is not the server's own; another port of this machine is the same site."""
LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost"})


def names_of(address: str) -> frozenset[str] | None:
    """Names by which a server that listens on an address may be asked; None where any is right, as on a cluster."""
    return LOOPBACK_NAMES if address in LOOPBACK_NAMES else None


def refusal(names: Collection[str] | None, headers: Mapping[str, str]) -> str:
    """Why a request with these headers is refused; empty for one that no other site's page sent.

    A link that a person follows is no request of the page that holds it. `names`: as `names_of` gives them.
    """
    host, origin = headers.get("host", ""), headers.get("origin")
    embedded = headers.get("sec-fetch-site") in _ELSEWHERE and headers.get("sec-fetch-dest") != "document"
    try:
        known = names is None or urlsplit(f"//{host}").hostname in names
        own = origin is None or urlsplit(origin).netloc == host
    except ValueError:  # brackets without an address between them
        known, own = names is None, False
    if not known:
        return f"this server is asked by the names {', '.join(sorted(names or ()))} only"
    return "" if own and not embedded else "this server answers no page of another site"


class OwnPagesOnly:
    """ASGI middleware: answers requests to its own names that no other site's page sent, and 403 to the rest."""

    def __init__(self, app: "ASGIApp", names: Collection[str] | None) -> None:
        """`names`: as `names_of` gives them."""
        self._app, self._names = app, names

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Pass the request on, or refuse it."""
        headers = Headers(scope=scope) if scope["type"] == "http" else None
        if headers is not None and (fault := refusal(self._names, headers)):
            await JSONResponse({"error": fault}, HTTPStatus.FORBIDDEN)(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self._app(scope, receive, send)
