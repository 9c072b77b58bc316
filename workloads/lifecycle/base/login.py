"""Asks who is there before a server's application is reached: HTTP's basic authentication, one user."""

import base64
import hmac
from collections.abc import Collection
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

_ASKED = {"WWW-Authenticate": 'Basic realm="mlplatform", charset="UTF-8"'}
"""By which a browser asks the person who uses it."""


class LoginOnly:
    """ASGI middleware: passes on what shows the user and password, and answers 401 to the rest."""

    def __init__(self, app: "ASGIApp", user: str, password: str, open_paths: Collection[str]) -> None:
        """`open_paths`: what is answered without a login, such as a health check."""
        self._app, self._open = app, frozenset(open_paths)
        self._expected = b"Basic " + base64.b64encode(f"{user}:{password}".encode())

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] == "lifespan" or self._known(scope):
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            answer = PlainTextResponse("log in: `make credentials` says as whom\n", HTTPStatus.UNAUTHORIZED, _ASKED)
            await answer(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    def _known(self, scope: "Scope") -> bool:
        shown = Headers(scope=scope).get("authorization", "").encode("latin-1")
        return scope["path"] in self._open or hmac.compare_digest(shown, self._expected)
