"""KServe's REST transport for this model: no log line and no routing per prediction, and errors that help.

Leaves out CloudEvents, explanations, and loading or unloading over HTTP. The model itself is in `serving`.
"""

import asyncio
import gc
import logging
import sys
import warnings
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

import orjson
import uvloop
from fastapi import FastAPI, Request
from fastapi.exceptions import FastAPIDeprecationWarning, RequestValidationError
from fastapi.responses import Response
from kserve import InferResponse, Model, ModelServer, model_server
from kserve.errors import InvalidInput, ModelNotFound, ModelNotReady, ServerNotLive, ServerNotReady
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.model_repository_extension import ModelRepositoryExtension
from kserve.protocol.rest.server import RESTServer
from prometheus_client import Counter
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from workloads.loan_default import SERVED_NAME, metrics
from workloads.loan_default.loops import Loops
from workloads.loan_default.payload import RequestError, malformed
from workloads.loan_default.settings import ServingSettings

PREDICT_PATH = f"/v1/models/{SERVED_NAME}:predict"
REQUEST_ID_HEADER = "x-request-id"
_ID_BYTES = REQUEST_ID_HEADER.encode()
_SHOWN = 300
"""Characters of a foreign error that a client sees."""

_SWITCH_SECONDS = 0.0005
"""How long another thread may hold the interpreter while a request waits; a tenth of the default."""

_GC_ALLOCATIONS = 50_000
"""Allocations between two garbage collections: answers leave no cycles behind."""

_log = logging.getLogger("loan_default")
_errors = Counter(
    metrics.PREDICTION_ERRORS.removesuffix("_total"), "Requests without prediction", [metrics.LABEL_REASON]
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

    def decode(
        self, body: Any, headers: Any, protocol_version: str = "v1", model_name: str | None = None
    ) -> tuple[Any, Any]:
        """JSON to plain values (v1) or tensors (v2); raises RequestError."""
        if isinstance(body, bytes) and protocol_version == "v1":
            try:
                return orjson.loads(body), {}
            except orjson.JSONDecodeError as error:
                raise malformed(f"the body is not JSON: {error}") from error
        try:
            return self.decode_inference_request(body, headers, model_name), {}
        except Exception as error:  # whatever KServe, numpy or the header's number raised: the client sent it
            raise malformed(f"not a v2 inference request: {error}") from error

    def encode(self, model_name: str, response: Any, headers: Any, req_attributes: Any) -> tuple[Any, dict[str, str]]:
        """Answer as plain values."""
        del model_name, headers, req_attributes
        return (response.to_rest()[0], {}) if isinstance(response, InferResponse) else (response, {})


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


class FrontDoor:
    """ASGI application around KServe's: limits bodies, and answers v1 predictions without FastAPI's routing.

    The answer is the same as KServe's endpoint gives, from the same data plane, in a third of the time. Everything
    else goes on to KServe's own endpoints.
    """

    def __init__(self, app: ASGIApp, limit: int, dataplane: DataPlane) -> None:
        self._app = app
        self._limit = limit
        self._dataplane = dataplane

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, refuse or pass the request on."""
        if scope["type"] != "http" or scope["method"] in {"GET", "HEAD"}:
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        body = await self._body(int(headers.get(b"content-length", b"0")), receive)
        if body is None:
            await self._refuse(scope, receive, send)
        elif scope["path"] == PREDICT_PATH and scope["method"] == "POST":
            answer = await self._predict(body, headers.get(_ID_BYTES, b""))
            await answer(scope, receive, send)
        else:
            await self._pass_on(scope, body, receive, send)

    async def _predict(self, body: bytes, request_id: bytes) -> Response:
        headers = {REQUEST_ID_HEADER: request_id.decode("latin-1")}
        try:
            decoded, _ = self._dataplane.decode(body, headers)
            content, answered = await self._dataplane.infer(SERVED_NAME, decoded, headers)
            return Response(orjson.dumps(content), HTTPStatus.OK, answered, "application/json")
        except RequestError as error:
            return _on_request_error(error)
        except ModelNotReady:
            return _on_not_ready()
        except Exception as error:  # noqa: BLE001  the last place before the client
            return _on_bug(error)

    async def _body(self, announced: int, receive: Receive) -> bytes | None:
        """The whole body, None when it is larger than the limit; announced sizes are refused unread."""
        if announced > self._limit:
            return None
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            part = message.get("body", b"")
            size += len(part)
            if size > self._limit:
                return None
            parts.append(part)
            if not message.get("more_body", False):
                return b"".join(parts)

    async def _pass_on(self, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
        sent = False

        async def replay() -> Message:
            nonlocal sent
            if sent:
                return await receive()
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, replay, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        text = f"the body is larger than {self._limit} bytes; split the request, or use batch scoring"
        answer = _on_request_error(RequestError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "malformed", text))
        answer.headers["connection"] = "close"
        await answer(scope, receive, send)


class QuietRESTServer(RESTServer):  # type: ignore[misc]  # kserve is untyped
    """KServe's REST server on a chosen address, without a log line per request, with errors that help."""

    host = "127.0.0.1"
    max_body_bytes = ServingSettings().max_body_bytes

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.config.host = self.host  # KServe 0.21 binds every address and takes no other
        self.config.proxy_headers = False  # nothing here asks who the client is
        self.config.server_header = False

    def create_application(self) -> None:
        """KServe's application behind the front door."""
        super().create_application()
        self.config.app = FrontDoor(model_server.app, self.max_body_bytes, self.dataplane)

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
    text = f"{str(error)[:_SHOWN]} This server has {SERVED_NAME}, without versions in the path."
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


def build_server(port: int, host: str, settings: ServingSettings, model: Model, loops: Loops) -> ModelServer:
    """KServe's server with a model registered, whether or not it can answer yet; live while no loop is broken."""
    QuietRESTServer.host = host
    QuietRESTServer.max_body_bytes = settings.max_body_bytes
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
