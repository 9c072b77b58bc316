"""KServe's REST transport for this model: no log line and no routing per prediction, and errors that help.

Leaves out CloudEvents, explanations, and loading or unloading over HTTP. The model itself is in `model_server`.
"""

import asyncio
import gc
import logging
import math
import sys
import warnings
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Protocol

import orjson
import uvloop
from fastapi import FastAPI, Request
from fastapi.exceptions import FastAPIDeprecationWarning, RequestValidationError
from fastapi.responses import Response
from kserve import InferRequest, InferResponse, ModelServer, model_server
from kserve.errors import InvalidInput, ModelNotFound, ModelNotReady, ServerNotLive, ServerNotReady
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.model_repository_extension import ModelRepositoryExtension
from kserve.protocol.rest.server import RESTServer
from prometheus_client import Counter
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from workloads.lifecycle.base import metrics
from workloads.lifecycle.base.errors import RequestError
from workloads.lifecycle.base.exposition import COUNTED
from workloads.lifecycle.base.loops import Loops
from workloads.lifecycle.base.names import PROBE_HEADER
from workloads.lifecycle.base.pages import names_of, refusal
from workloads.lifecycle.base.settings import ServingSettings
from workloads.lifecycle.serving import explanation
from workloads.lifecycle.serving.connections import Connections
from workloads.lifecycle.serving.openapi import JSON_LENGTH_HEADER, OPENAPI_PATH, REQUEST_ID_HEADER
from workloads.lifecycle.serving.payload import malformed

SMALL_BODY_BYTES = 65_536
"""Bodies up to this size are never counted: the cap on connections bounds them."""

_ID_BYTES = REQUEST_ID_HEADER.encode()
_PROBE_BYTES = PROBE_HEADER.encode()
_DIGITS = 9
"""Of the number in a header; more would be no size that a body may have."""

_SHOWN = 300
"""Characters of a foreign error that a client sees."""

_SWITCH_SECONDS = 0.0005
"""How long another thread may hold the interpreter while a request waits; a tenth of the default."""

_GC_ALLOCATIONS = 50_000
"""Allocations between two garbage collections: answers leave no cycles behind."""

_log = logging.getLogger(__name__)
_errors = Counter(
    metrics.PREDICTION_ERRORS.removesuffix("_total"),
    "Requests without prediction",
    [metrics.LABEL_REASON],
    registry=COUNTED,
)
for _reason in metrics.ERROR_REASONS:
    _errors.labels(_reason)


class QuietDataPlane(DataPlane):  # type: ignore[misc]  # kserve is untyped
    """KServe's data plane without CloudEvents: not ready before the model is, not live while a loop is broken."""

    loops: Loops | None = None

    async def live(self) -> dict[str, str]:
        """Raise ServerNotLive when a loop is dead or stuck; unreachable servers are no reason for a restart."""
        if self.loops is not None and (broken := self.loops.broken()):
            raise ServerNotLive("; ".join(broken))
        return {"status": "alive"}

    async def ready(self) -> bool:
        """Whether every registered model can answer."""
        return all([await model.healthy() for model in self.model_registry.get_models().values()])

    async def get_model(self, name: str) -> Any:
        """The model, as it is: loading is the watcher's."""
        model = self.model_registry.get_model(name)
        if model is None:
            raise ModelNotFound(name)
        return model


class ClosedRepository(ModelRepositoryExtension):  # type: ignore[misc]  # kserve is untyped
    """Refuses loading and unloading over HTTP: the registry's aliases decide, and nobody else."""

    async def load(self, model_name: str) -> None:
        """Refuse."""
        raise RequestError(
            HTTPStatus.FORBIDDEN, "malformed", f"{model_name} follows the registry's alias, not requests"
        )

    async def unload(self, model_name: str) -> None:
        """Refuse."""
        await self.load(model_name)


class Served(Protocol):
    """What the front door asks of a model."""

    name: str

    def check(self, body: bytes) -> None:
        """Refuse, before it is parsed, a body that holds more than any request may; raises RequestError."""
        ...

    def document(self) -> dict[str, Any]:
        """The OpenAPI document of the server."""
        ...


class FrontDoor:
    """ASGI application around KServe's: answers every prediction and refusal itself, without FastAPI's routing.

    The answers to v1 are KServe's own, from the same data plane, in a third of the time. A v2 body is JSON, unless the
    header of the binary extension says where its tensors begin, whatever the content type: Triton's client sends
    none. KServe's endpoints get what has no body.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: ServingSettings,
        dataplane: QuietDataPlane,
        model: Served,
        open_: Connections,
        *,
        host: str,
        port: int,
    ) -> None:
        """`host`, `port`: where the server listens."""
        self._app = app
        self._names = names_of(host)
        self._usual_hosts = {f"{name}:{port}".encode() for name in self._names or ()}
        self._limit = settings.max_body_bytes
        self._large_bodies = settings.max_large_bodies
        self._most_waiting = settings.max_waiting_requests
        self._dataplane = dataplane
        self._model = model
        self._name = model.name
        self._connections = open_
        self._document = orjson.dumps(model.document())
        self._predict, self._infer = f"/v1/models/{model.name}:predict", f"/v2/models/{model.name}/infer"
        self._predicting = {self._predict, self._infer}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, refuse or pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        if self._names is not None and (fault := self._fault(headers)):
            await _json(HTTPStatus.FORBIDDEN, {"error": fault}, {"connection": "close"})(scope, receive, send)
        elif scope["path"] in self._predicting and scope["method"] != "POST":
            await _json(HTTPStatus.METHOD_NOT_ALLOWED, {"error": "predictions are POST"}, {"allow": "POST"})(
                scope, receive, send
            )
        elif scope["method"] in {"GET", "HEAD"}:
            if scope["path"] == OPENAPI_PATH:
                await Response(self._document, media_type="application/json")(scope, receive, send)
            else:
                # KServe's routes know GET alone; the server itself sends no body to a HEAD.
                await self._app({**scope, "method": "GET"}, receive, send)
        else:
            answer = await self._take(scope, headers, receive)
            await (answer or self._app)(scope, _no_body, send)

    def _fault(self, headers: dict[bytes, bytes]) -> str:
        """Why another site's page, which a browser on this machine shows, gets no answer; empty for other requests."""
        if headers.get(b"host") in self._usual_hosts and b"origin" not in headers and b"sec-fetch-site" not in headers:
            return ""
        return refusal(self._names, Headers(raw=list(headers.items())))

    async def _take(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive) -> Response | None:
        """The answer to a request with a body; None when it is not one to this server's model."""
        held = _Held()
        try:
            body = await self._body(int(headers.get(b"content-length", b"0")), receive, held)
            path = scope["path"]
            if scope["method"] != "POST":
                return None
            if path in self._predicting:
                return await self._answer(body, headers, scope["query_string"], v2=path == self._infer)
            return self._refusal(path)
        except Exception as error:  # noqa: BLE001  the last place before the client
            answer = _ANSWERS.get(type(error), _on_bug)(error)
            if not held.whole:
                answer.headers["connection"] = "close"
            return answer
        finally:
            self._large_bodies += held.slots

    def _refusal(self, path: str) -> Response | None:
        """Why nothing predicts at a path; None where KServe's endpoints are asked."""
        if path.startswith("/v2/repository/models/"):
            text = f"{self._name} follows the registry's alias, not requests"
            return _on_request_error(RequestError(HTTPStatus.FORBIDDEN, "malformed", text))
        if path.endswith((":predict", ":explain", "/infer")):
            text = f"nothing predicts at {path[:_SHOWN]}; this server has {self._predict} and {self._infer}"
            return _on_request_error(RequestError(HTTPStatus.NOT_FOUND, "malformed", text))
        return None

    async def _answer(self, body: bytes, headers: dict[bytes, bytes], query: bytes, *, v2: bool) -> Response:
        if self._connections.requests > self._most_waiting:
            text = f"more than {self._most_waiting} requests wait; try again"
            raise RequestError(HTTPStatus.SERVICE_UNAVAILABLE, "overloaded", text, retry_after_seconds=1)
        coding = headers.get(b"content-encoding", b"identity").decode("latin-1")
        if coding.lower() != "identity":
            text = f"Content-Encoding {coding[:_SHOWN]!r} is not read; send the body as it is"
            raise RequestError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "malformed", text)
        length = _json_length(headers, len(body)) if v2 else len(body)
        self._model.check(body[:length])
        decoded = _v2(body, length) if v2 else _v1(body)
        request_id = headers.get(_ID_BYTES, b"").decode("latin-1")
        said = {REQUEST_ID_HEADER: request_id}
        if probe := headers.get(_PROBE_BYTES):
            said[PROBE_HEADER] = probe.decode("latin-1")
        if query and not v2 and explanation.asked_v1(query):
            said[explanation.PARAMETER] = "true"
        content, answered = await self._dataplane.infer(self._name, decoded, said)
        if isinstance(content, InferResponse):
            content, json_length = content.to_rest()
            if json_length is not None:
                answered[JSON_LENGTH_HEADER] = str(json_length)
                return Response(content, HTTPStatus.OK, answered, "application/octet-stream")
        return Response(orjson.dumps(content), HTTPStatus.OK, answered, "application/json")

    async def _body(self, announced: int, receive: Receive, held: "_Held") -> bytes:
        """The whole body; one whose announced size is too large is refused unread.

        Raises: RequestError, also where too many large ones are received at a time.
        """
        parts: list[bytes] = []
        size, more = 0, True
        while True:
            if max(size, announced) > self._limit:
                text = f"the body is larger than {self._limit} bytes; split the request, or use batch scoring"
                raise RequestError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "malformed", text)
            if size > SMALL_BODY_BYTES and not held.slots:
                if not self._large_bodies:
                    text = f"too many bodies of more than {SMALL_BODY_BYTES} bytes at a time; try again"
                    raise RequestError(HTTPStatus.SERVICE_UNAVAILABLE, "overloaded", text, retry_after_seconds=1)
                self._large_bodies -= 1
                held.slots = 1
            if not more:
                held.whole = True
                return b"".join(parts)
            message = await receive()
            if message["type"] == "http.disconnect":
                raise malformed("the connection was closed in the middle of the body")
            part = message.get("body", b"")
            size += len(part)
            parts.append(part)
            more = message.get("more_body", False)


class _Held:
    """What a request holds while it is received and answered."""

    def __init__(self) -> None:
        self.slots = 0
        """Of those for large bodies."""

        self.whole = False
        """Whether the body was received to its end: only then may the connection serve another request."""


def _json_length(headers: dict[bytes, bytes], size: int) -> int:
    """Bytes of a v2 body that are JSON: all of it, but for tensors of the binary extension; raises RequestError."""
    given = headers.get(JSON_LENGTH_HEADER.encode())
    if given is None:
        return size
    if not given.isdigit() or len(given) > _DIGITS or int(given) > size:
        raise malformed(f"{JSON_LENGTH_HEADER} must be a number of bytes from 0 to the body's {size}")
    return int(given)


def _v1(body: bytes) -> Any:
    """Plain values; raises RequestError."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise malformed(f"the body is not JSON: {error}") from error


def _v2(body: bytes, json_length: int) -> InferRequest:
    """Tensors, those of the binary extension from the bytes after the JSON; raises RequestError."""
    try:
        request = InferRequest.from_bytes(body, json_length, "")
        outputs = request.request_outputs
        _require(outputs is None or len(outputs) == 1, "outputs must be a list with the one output of the model")
        for what in (request.parameters, *(output.parameters for output in outputs or ())):
            _require(what is None or isinstance(what, dict), "parameters must be an object")
        _require(request.id is None or isinstance(request.id, str), "the id must be a text")
        for tensor in request.inputs:
            _require(isinstance(tensor.name, str), "the name of a tensor must be a text")
    except Exception as error:  # whatever KServe, numpy or orjson raised: the client sent it
        raise malformed(f"not a v2 inference request: {str(error) or type(error).__name__}"[:_SHOWN]) from error
    return request


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise malformed(what)


async def _no_body() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


class QuietRESTServer(RESTServer):  # type: ignore[misc]  # kserve is untyped
    """KServe's REST server on a chosen address, without a log line per request, with errors that help."""

    host = "127.0.0.1"
    settings = ServingSettings()
    model: Served

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.connections = Connections(self.settings)
        self.config.host = self.host  # KServe 0.21 binds every address and takes no other
        self.config.proxy_headers = False  # nothing here asks who the client is
        self.config.server_header = False
        self.config.ws = "none"
        self.config.http = self.connections.protocol
        self.config.timeout_keep_alive = math.ceil(self.settings.idle_seconds)

    def create_application(self) -> None:
        """KServe's application behind the front door."""
        super().create_application()
        self.config.app = FrontDoor(
            model_server.app,
            self.settings,
            self.dataplane,
            self.model,
            self.connections,
            host=self.host,
            port=self.config.port,
        )

    def _add_middlewares(self, app: FastAPI) -> None:
        """No log line per request."""

    def _add_exception_handlers(self, app: FastAPI) -> None:
        super()._add_exception_handlers(app)
        for kind, answer in _ANSWERS.items():
            app.add_exception_handler(kind, _handler(answer))


def _on_request_error(error: Any) -> Response:
    _errors.labels(error.reason).inc()
    headers = {} if error.retry_after_seconds is None else {"retry-after": str(error.retry_after_seconds)}
    return _json(error.status, {"error": str(error)}, headers)


def _on_invalid_body(error: Any) -> Response:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return _on_request_error(malformed(f"{where}: {first['msg']}"[:_SHOWN]))


def _on_invalid_input(error: Any) -> Response:
    return _on_request_error(malformed(str(error)[:_SHOWN]))


def _on_not_found(error: Any) -> Response:
    text = f"{str(error)[:_SHOWN]} This server has {QuietRESTServer.model.name}, without versions in the path."
    return _on_request_error(RequestError(HTTPStatus.NOT_FOUND, "malformed", text))


def _on_not_ready(_error: Any = None) -> Response:
    text = "no verified model yet: the registry's alias 'champion' names none; try again"
    return _on_request_error(RequestError(HTTPStatus.SERVICE_UNAVAILABLE, "not_ready", text, retry_after_seconds=2))


def _on_not_live(error: Any) -> Response:
    return _json(HTTPStatus.SERVICE_UNAVAILABLE, {"error": str(error)})


def _on_bug(error: Any) -> Response:
    _errors.labels("internal").inc()
    _log.error("a request failed", exc_info=error)
    return _json(HTTPStatus.INTERNAL_SERVER_ERROR, {"error": "internal error; see the server's log"})


_ANSWERS: dict[type[Exception], Callable[[Any], Response]] = {
    RequestError: _on_request_error,
    RequestValidationError: _on_invalid_body,
    InvalidInput: _on_invalid_input,
    ModelNotFound: _on_not_found,
    NotImplementedError: _on_not_found,
    ModelNotReady: _on_not_ready,
    ServerNotReady: _on_not_ready,
    ServerNotLive: _on_not_live,
    Exception: _on_bug,
}


def _handler(answer: Callable[[Any], Response]) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def handle(_request: Request, error: Exception) -> Response:
        return answer(error)

    return handle


def _json(status: HTTPStatus, content: dict[str, str], headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(content), status, headers, "application/json")


def build_server(port: int, host: str, settings: ServingSettings, model: Served, loops: Loops) -> ModelServer:
    """KServe's server with a model registered, whether or not it can answer yet; live while no loop is broken."""
    QuietRESTServer.host = host
    QuietRESTServer.settings = settings
    QuietRESTServer.model = model
    model_server.RESTServer = QuietRESTServer
    server = ModelServer(http_port=port, enable_grpc=False, workers=1, enable_latency_logging=False)
    quiet_logs()
    uvloop.install()
    asyncio.set_event_loop(asyncio.new_event_loop())  # KServe asks for one before it runs its own
    sys.setswitchinterval(_SWITCH_SECONDS)
    gc.freeze()
    gc.set_threshold(_GC_ALLOCATIONS)
    server.register_model(model)
    server.dataplane = QuietDataPlane(server.registered_models)
    server.dataplane.loops = loops
    server.model_repository_extension = ClosedRepository(server.registered_models)
    return server


def quiet_logs() -> None:
    """No line per request: KServe and uvicorn write five; what matters is in the metrics."""
    for name in ("kserve", "kserve.trace", "uvicorn.error", "httpx", "feast"):
        logging.getLogger(name).setLevel(logging.WARNING)
    access = logging.getLogger("uvicorn.access")
    access.handlers, access.propagate = [], False
    warnings.filterwarnings("ignore", category=FastAPIDeprecationWarning)  # of KServe's own endpoints
