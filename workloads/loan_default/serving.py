"""Stage 6, online: the model server, on KServe's `Model` and `ModelServer`.

v1 and v2, vectors or `CustomerID`. Live from the start, ready once the alias `champion` names a verified model; follows
the aliases without losing a request. Leaves out CloudEvents, explanations, and loading or unloading over HTTP.
"""

import argparse
import gc
import itertools
import logging
import random
import re
import sys
import threading
import time
import uuid
import warnings
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import FastAPIDeprecationWarning, RequestValidationError
from fastapi.responses import Response
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer, model_server
from kserve.errors import InvalidInput, ModelNotFound, ModelNotReady, ServerNotReady
from kserve.model import InferenceVerb
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.model_repository_extension import ModelRepositoryExtension
from kserve.protocol.rest.server import RESTServer
from prometheus_client import Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from workloads.loan_default import FEATURES, SERVED_NAME, metrics
from workloads.loan_default.capture import Capture, Scored
from workloads.loan_default.errors import run_command
from workloads.loan_default.online import FeastLookup, Lookup
from workloads.loan_default.payload import RequestError, malformed, parse_v1, parse_v2
from workloads.loan_default.settings import Environment, ServingSettings, load
from workloads.loan_default.source import Loaded, RegistryDownError, RegistrySource
from workloads.loan_default.store import Store

CHAMPION, CHALLENGER = "champion", "challenger"
REQUEST_ID_HEADER, VERSION_HEADER = "x-request-id", "x-model-version"
PREDICT_PATH = f"/v1/models/{SERVED_NAME}:predict"
_ID_BYTES = REQUEST_ID_HEADER.encode()
_PROCESS = uuid.uuid4().hex
_SHOWN = 300
"""Characters of a foreign error that a client sees."""

_SWITCH_SECONDS = 0.0005
"""How long another thread may hold the interpreter while a request waits; a tenth of the default."""

_GC_ALLOCATIONS = 50_000
"""Allocations between two garbage collections: answers leave no cycles behind."""

_numbers = itertools.count(1)
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_LATENCY_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
_SCORE_BUCKETS = tuple(step / 10 for step in range(1, 11))

_log = logging.getLogger("loan_default")
_predictions = Counter(
    metrics.PREDICTIONS.removesuffix("_total"), "Scored rows", [metrics.LABEL_ALIAS, metrics.LABEL_VERSION]
)
_errors = Counter(
    metrics.PREDICTION_ERRORS.removesuffix("_total"), "Requests without prediction", [metrics.LABEL_REASON]
)
_latency = Histogram(
    metrics.PREDICTION_LATENCY, "Decoded request to answer", [metrics.LABEL_SOURCE], buckets=_LATENCY_BUCKETS
)
_scores = Histogram(metrics.SCORE, "Predicted default probability", [metrics.LABEL_ALIAS], buckets=_SCORE_BUCKETS)
_info = Gauge(metrics.MODEL_INFO, "Version that an alias serves", [metrics.LABEL_ALIAS, metrics.LABEL_VERSION])
_trained = Gauge(metrics.MODEL_LOADED_TIMESTAMP, "When the champion was trained", [metrics.LABEL_VERSION])
_cached = Gauge(metrics.MODEL_FROM_CACHE, "Registry down, last verified copy answers")
_captured = Counter(metrics.CAPTURE_ROWS.removesuffix("_total"), "Captured rows", [metrics.LABEL_OUTCOME])


class LoanDefaultModel(Model):  # type: ignore[misc]  # kserve is untyped
    """Scores vectors, or customers looked up in the online store, with what the aliases name."""

    def __init__(self, settings: ServingSettings, lookup: Lookup, capture: Capture | None) -> None:
        super().__init__(SERVED_NAME)
        self._settings = settings
        self._lookup = lookup
        self._capture = capture
        self._loaded: dict[str, Loaded] = {}
        for reason in metrics.ERROR_REASONS:
            _errors.labels(reason)

    def load(self) -> bool:
        """KServe asks for this when a request comes before a model: the watcher loads, nothing else."""
        return bool(self.ready)

    def stop(self) -> None:
        """Keep answering while the server drains, and write the captured rest."""
        if self._capture is not None:
            self._capture.stop()

    def serve(self, loaded: dict[str, Loaded]) -> None:
        """Answer with these models from now on; requests under way end on the old ones."""
        for alias, old in self._loaded.items():
            if loaded.get(alias) != old:
                _info.remove(alias, old.version)
        for alias, new in loaded.items():
            _info.labels(alias, new.version).set(1)
        self._loaded = loaded
        champion = loaded.get(CHAMPION)
        if champion is not None:
            _trained.clear()
            _trained.labels(champion.version).set(champion.scorer.manifest.trained_at.timestamp())
        self.ready = champion is not None

    def get_input_types(self) -> list[dict[str, Any]]:
        """v2 metadata of the input."""
        return [{"name": "features", "datatype": "FP64", "shape": [-1, len(FEATURES)]}]

    def get_output_types(self) -> list[dict[str, Any]]:
        """v2 metadata of the output."""
        return [{"name": "probability", "datatype": "FP64", "shape": [-1]}]

    async def __call__(
        self, body: Any, headers: dict[str, str] | None = None, verb: InferenceVerb = InferenceVerb.PREDICT
    ) -> tuple[Any, dict[str, str]]:
        """Answer one request; raises RequestError."""
        started = time.perf_counter()
        if verb is not InferenceVerb.PREDICT:
            raise RequestError(HTTPStatus.NOT_FOUND, "malformed", "this model has no explainer; use :predict")
        v2 = isinstance(body, InferRequest)
        rows = parse_v2(body.inputs, self._settings.max_rows) if v2 else parse_v1(body, self._settings.max_rows)
        vectors = rows.vectors if rows.vectors is not None else await self._lookup.fetch(rows.customers)
        alias, loaded = self._pick()
        scores = loaded.scorer.score(vectors)
        answered = scores.tolist()
        request_id = _request_id(headers)
        self._note(Scored(request_id, time.time(), alias, loaded.version, rows.customers, vectors, scores))
        _latency.labels("vector" if rows.vectors is not None else "online").observe(time.perf_counter() - started)
        return_headers = {REQUEST_ID_HEADER: request_id, VERSION_HEADER: loaded.version}
        if v2:
            output = InferOutput("probability", [len(answered)], "FP64", data=answered)
            return InferResponse(
                body.id or request_id, self.name, [output], model_version=loaded.version
            ), return_headers
        return {"predictions": answered}, return_headers

    def _pick(self) -> tuple[str, Loaded]:
        loaded = self._loaded
        challenger = loaded.get(CHALLENGER)
        share = self._settings.challenger_share
        if challenger is not None and share and random.random() < share:  # noqa: S311  no secret
            return CHALLENGER, challenger
        champion = loaded.get(CHAMPION)
        if champion is None:
            raise ModelNotReady(self.name)
        return CHAMPION, champion

    def _note(self, scored: Scored) -> None:
        _predictions.labels(scored.alias, scored.version).inc(len(scored.scores))
        histogram = _scores.labels(scored.alias)
        for score in scored.scores:
            histogram.observe(score)
        if self._capture is not None:
            self._capture.add(scored)


class Watcher(threading.Thread):
    """Follows the registry's aliases; a version that cannot be verified never replaces one that was."""

    def __init__(self, model: LoanDefaultModel, source: RegistrySource, settings: ServingSettings) -> None:
        super().__init__(name="watcher", daemon=True)
        self._model = model
        self._source = source
        self._pause = settings.poll_seconds
        self._loaded: dict[str, Loaded] = {}
        self._down = False

    def run(self) -> None:
        """Look at the aliases, forever."""
        while True:
            self.look()
            time.sleep(self._pause)

    def look(self) -> None:
        """Look once; with the registry down and nothing loaded, serve the last verified copies."""
        try:
            wanted = self._source.aliases()
            loaded = {alias: found for alias in (CHAMPION, CHALLENGER) if (found := self._model_for(alias, wanted))}
        except RegistryDownError as error:
            self._on_registry_down(error)
            return
        if self._down:
            self._down = False
            _cached.set(0)
            _log.info("the registry answers again")
        if loaded != self._loaded:
            self._serve(loaded)
            self._source.remember(loaded)

    def _model_for(self, alias: str, wanted: dict[str, str]) -> Loaded | None:
        version, served = wanted.get(alias), self._loaded.get(alias)
        if version is None or (served is not None and served.version == version):
            return served if alias == CHAMPION or version is not None else None
        found = self._source.load(version)
        return found if found is not None or alias != CHAMPION else served

    def _on_registry_down(self, error: RegistryDownError) -> None:
        if self._down:
            return
        self._down = True
        _log.warning("the registry does not answer (%s)", error)
        if not self._loaded:
            loaded = self._source.recall()
            if loaded:
                _cached.set(1)
                self._serve(loaded)
                _log.warning("serving the last verified copies until the registry answers")

    def _serve(self, loaded: dict[str, Loaded]) -> None:
        self._loaded = loaded
        self._model.serve(loaded)
        _log.info(
            "serving %s", ", ".join(f"{alias} version {item.version}" for alias, item in loaded.items()) or "nothing"
        )


class QuietDataPlane(DataPlane):  # type: ignore[misc]  # kserve is untyped
    """KServe's data plane without CloudEvents, and not ready before the model is."""

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
    """ASGI middleware: limits bodies, and answers v1 predictions without FastAPI's routing.

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
        body = await self._body(scope, receive)
        if body is None:
            await self._refuse(scope, receive, send)
        elif scope["path"] == PREDICT_PATH and scope["method"] == "POST":
            answer = await self._predict(scope, body)
            await answer(scope, receive, send)
        else:
            await self._pass_on(scope, body, receive, send)

    async def _predict(self, scope: Scope, body: bytes) -> Response:
        given = next((value for name, value in scope["headers"] if name == _ID_BYTES), b"")
        headers = {REQUEST_ID_HEADER: given.decode("latin-1")}
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

    async def _body(self, scope: Scope, receive: Receive) -> bytes | None:
        """The whole body, None when it is larger than the limit; announced sizes are refused unread."""
        announced = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if int(announced) > self._limit:
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

    def _add_middlewares(self, app: FastAPI) -> None:
        app.add_middleware(FrontDoor, limit=self.max_body_bytes, dataplane=self.dataplane)

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
    text = f"no verified model yet: the registry's alias {CHAMPION!r} names none; try again"
    return _on_request_error(RequestError(HTTPStatus.SERVICE_UNAVAILABLE, "not_ready", text, retry_after_seconds=2))


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
    Exception: _on_bug,
}


def _handler(answer: Callable[[Any], Response]) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def handle(_request: Request, error: Exception) -> Response:
        return answer(error)

    return handle


def _json(status: HTTPStatus, content: dict[str, str], headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(content), status, headers, "application/json")


def _request_id(headers: dict[str, str] | None) -> str:
    """The client's, when it is a plain word; else one that no other process makes."""
    given = headers.get(REQUEST_ID_HEADER) if headers else None
    return given if given and _REQUEST_ID.fullmatch(given) else f"{_PROCESS}-{next(_numbers):x}"


def _count_captured(outcome: str, rows: int) -> None:
    _captured.labels(outcome).inc(rows)


def build_server(port: int, host: str, settings: ServingSettings, model: LoanDefaultModel) -> ModelServer:
    """KServe's server with this model registered, whether or not it can answer yet."""
    QuietRESTServer.host = host
    QuietRESTServer.max_body_bytes = settings.max_body_bytes
    model_server.RESTServer = QuietRESTServer
    server = ModelServer(http_port=port, enable_grpc=False, workers=1, enable_latency_logging=False)
    quiet_logs()
    sys.setswitchinterval(_SWITCH_SECONDS)
    gc.freeze()
    gc.set_threshold(_GC_ALLOCATIONS)
    server.register_model(model)
    server.dataplane = QuietDataPlane(server.registered_models)
    server.model_repository_extension = ClosedRepository(server.registered_models)
    return server


def quiet_logs() -> None:
    """No line per request: KServe and uvicorn write five; what matters is in the metrics."""
    for name in ("kserve", "kserve.trace", "uvicorn.error", "httpx", "feast"):
        logging.getLogger(name).setLevel(logging.WARNING)
    access = logging.getLogger("uvicorn.access")
    access.handlers, access.propagate = [], False
    warnings.filterwarnings("ignore", category=FastAPIDeprecationWarning)  # of KServe's own endpoints


def serve(environment: Environment, port: int, host: str) -> None:
    """Serve until SIGTERM or SIGINT."""
    logging.basicConfig(
        level=logging.INFO,
        format='{"at":"%(asctime)s","level":"%(levelname)s","log":"%(name)s","text":"%(message)s"}',
    )
    settings = environment.settings.serving
    lookup = FeastLookup(environment)
    capture = Capture(Store.open(environment), settings, _count_captured) if settings.capture else None
    model = LoanDefaultModel(settings, lookup, capture)
    source = RegistrySource(environment.need("mlflow_tracking_uri"), environment.work / "models")
    Watcher(model, source, settings).start()
    threading.Thread(target=_connect, args=(lookup,), name="connect", daemon=True).start()
    if capture is not None:
        capture.start()
    build_server(port, host, settings, model).start([])


def _connect(lookup: FeastLookup) -> None:
    while True:
        try:
            lookup.connect()
        except Exception as error:  # noqa: BLE001  the registry's database may not be there yet, in any of its ways
            _log.warning("feature lookup: %s", error)
            time.sleep(1)
        else:
            _log.info("feature lookup is ready")
            return


def main() -> None:
    """Command: the model server."""
    parser = argparse.ArgumentParser(prog="python -m workloads.loan_default.serving", description=__doc__)
    environment = load()
    parser.add_argument(
        "--port",
        type=int,
        default=environment.port,
        required=environment.port is None,
        help="TCP port (default: $PORT)",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to bind (default: %(default)s)")
    arguments = parser.parse_args()
    serve(environment, arguments.port, arguments.host)


if __name__ == "__main__":
    run_command(main)
