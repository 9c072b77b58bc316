"""One way to ask a server, with a limit, whose failures are sentences."""

import base64
import json
import urllib.error
import urllib.request
from typing import Any

from workloads.lifecycle.base.names import PROBE_HEADER

TIMEOUT_SECONDS = 10.0


class NoAnswerError(Exception):
    """A server did not answer as it should; the text says which and how."""


def text(
    url: str,
    body: object = None,
    timeout: float = TIMEOUT_SECONDS,
    login: str = "",
    token: str = "",
    *,
    probe: str = "",
) -> str:
    """Body of the answer to a GET, or to a POST of `body` as JSON.

    `login`: `user:password`, `token`: a bearer token, where the server asks for one. `probe`: tells the model server
    that the request only tries it.
    Raises: NoAnswerError for no connection, no answer in time, or a status that is no success.
    """
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", **({PROBE_HEADER: probe} if probe else {})}
    if login:
        headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
    if token:
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(url, data, headers)  # noqa: S310  the URL comes from the stack
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:  # noqa: S310
            return str(answer.read().decode(errors="replace"))
    except urllib.error.HTTPError as error:
        raise NoAnswerError(f"{url}: {error.code}: {error.read().decode(errors='replace')[:200].strip()}") from None
    except (OSError, ValueError) as error:
        raise NoAnswerError(f"{url}: {getattr(error, 'reason', error)}") from None


def json_of(
    url: str,
    body: object = None,
    timeout: float = TIMEOUT_SECONDS,
    login: str = "",
    token: str = "",
    *,
    probe: str = "",
) -> Any:
    """The answer's JSON; raises NoAnswerError."""
    answer = text(url, body, timeout, login, token, probe=probe)
    try:
        return json.loads(answer)
    except ValueError:
        raise NoAnswerError(f"{url}: the answer is no JSON: {answer[:100]!r}") from None
