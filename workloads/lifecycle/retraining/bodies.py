"""Bodies of requests to the retraining service: read within a limit, as JSON, as a model, or refused by a sentence."""

import json
from http import HTTPStatus
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request

_Model = TypeVar("_Model", bound=BaseModel)


class Refusal(Exception):  # noqa: N818  it is an answer
    """A request that gets an error status; carries it and one sentence."""

    def __init__(self, status: HTTPStatus, message: str, outcome: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.outcome = outcome


async def read_body(request: Request, limit: int) -> bytes:
    """The whole body; raises Refusal for more bytes than `limit`, an announced size unread."""
    announced = request.headers.get("content-length", "0")
    refusal = Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is larger than {limit} bytes", "malformed")
    if not announced.isdecimal() or int(announced) > limit:
        raise refusal
    parts, size = [], 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > limit:
                raise refusal
            parts.append(part)
    except ClientDisconnect as error:
        raise Refusal(HTTPStatus.BAD_REQUEST, "the body ended early", "malformed") from error
    return b"".join(parts)


def json_of(body: bytes) -> Any:
    """The body as JSON; raises Refusal for what is none."""

    def refuse(text: str) -> float:
        raise ValueError(f"{text} is no JSON number")

    try:
        return json.loads(body, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise Refusal(HTTPStatus.BAD_REQUEST, f"the body is not JSON: {str(error)[:100]}", "malformed") from error


def valid(kind: type[_Model], given: Any) -> _Model:
    """What was given as a model; raises Refusal that names the first mistake."""
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "body"
        text = f"{where}: {first['msg']} (got {str(first['input'])[:60]!r})"
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, text, "malformed") from error
