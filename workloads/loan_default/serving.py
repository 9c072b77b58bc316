"""Stage 6, online: the model server, on KServe's `Model` and `ModelServer`.

v1 and v2, vectors or `CustomerID`. Live from the start, ready once the alias `champion` names a verified model; follows
the aliases without losing a request. Leaves out how requests come and answers go: `transport`.
"""

import argparse
import itertools
import logging
import random
import re
import time
import uuid
from http import HTTPStatus
from typing import Any, NamedTuple

from kserve import InferOutput, InferRequest, InferResponse, Model
from kserve.model import InferenceVerb
from prometheus_client import Counter, Gauge, Histogram

from workloads.loan_default import FEATURES, SERVED_NAME, metrics
from workloads.loan_default.capture import Capture, Scored
from workloads.loan_default.errors import run_command
from workloads.loan_default.loops import Loop, Loops
from workloads.loan_default.online import FeastLookup, Lookup
from workloads.loan_default.payload import RequestError, parse_v1, parse_v2
from workloads.loan_default.settings import LATENCY_BUCKETS, Environment, ServingSettings, load
from workloads.loan_default.source import Loaded, NoCopyError, RegistryDownError, RegistrySource
from workloads.loan_default.store import Store
from workloads.loan_default.transport import REQUEST_ID_HEADER, build_server

CHAMPION, CHALLENGER = "champion", "challenger"
VERSION_HEADER = "x-model-version"
_PROCESS = uuid.uuid4().hex
_numbers = itertools.count(1)
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_LOOK_SECONDS = 300.0
_CONNECT_SECONDS = 600.0
"""Durations of one look at the registry, a download included, and of one connection beyond which they are stuck."""

_SCORE_BUCKETS = tuple(step / 10 for step in range(1, 11))

_log = logging.getLogger("loan_default")
_predictions = Counter(
    metrics.PREDICTIONS.removesuffix("_total"), "Scored rows", [metrics.LABEL_ALIAS, metrics.LABEL_VERSION]
)
_latency = Histogram(
    metrics.PREDICTION_LATENCY, "Decoded request to answer", [metrics.LABEL_SOURCE], buckets=LATENCY_BUCKETS
)
_vector_latency, _online_latency = _latency.labels("vector"), _latency.labels("online")
_scores = Histogram(metrics.SCORE, "Predicted default probability", [metrics.LABEL_ALIAS], buckets=_SCORE_BUCKETS)
_info = Gauge(metrics.MODEL_INFO, "Version that an alias serves", [metrics.LABEL_ALIAS, metrics.LABEL_VERSION])
_wanted = Gauge(
    metrics.MODEL_WANTED,
    "Version that the registry wants an alias to serve",
    [metrics.LABEL_ALIAS, metrics.LABEL_VERSION],
)
_missing = Gauge(metrics.CHAMPION_MISSING, "A model serves and the registry has no champion")
_pinned = Gauge(metrics.MODEL_PINNED, "Version that the settings pin", [metrics.LABEL_VERSION])
_trained = Gauge(metrics.MODEL_LOADED_TIMESTAMP, "When the champion was trained", [metrics.LABEL_VERSION])
_cached = Gauge(metrics.MODEL_FROM_CACHE, "A verified copy from the cache answers")
_captured = Counter(metrics.CAPTURE_ROWS.removesuffix("_total"), "Captured rows", [metrics.LABEL_OUTCOME])


class _Served(NamedTuple):
    """What an alias answers with, and the metrics of its answers."""

    alias: str
    loaded: Loaded
    rows: Counter
    scores: Histogram


class LoanDefaultModel(Model):  # type: ignore[misc]  # kserve is untyped
    """Scores vectors, or customers looked up in the online store, with what the aliases name."""

    def __init__(self, settings: ServingSettings, lookup: Lookup, capture: Capture | None) -> None:
        super().__init__(SERVED_NAME)
        self._settings = settings
        self._lookup = lookup
        self._capture = capture
        self._served: dict[str, _Served] = {}
        self._why_not_ready = "the registry was not asked yet"

    def load(self) -> bool:
        """KServe asks for this when a request comes before a model: the watcher loads, nothing else."""
        return bool(self.ready)

    def stop(self) -> None:
        """Keep answering while the server drains, and write the captured rest."""
        if self._capture is not None:
            self._capture.stop()

    def serve(self, loaded: dict[str, Loaded]) -> None:
        """Answer with these models from now on; requests under way end on the old ones."""
        for alias, old in self._served.items():
            if loaded.get(alias) != old.loaded:
                _info.remove(alias, old.loaded.version)
        for alias, new in loaded.items():
            _info.labels(alias, new.version).set(1)
        self._served = {
            alias: _Served(alias, new, _predictions.labels(alias, new.version), _scores.labels(alias))
            for alias, new in loaded.items()
        }
        champion = loaded.get(CHAMPION)
        if champion is not None:
            _trained.clear()
            _trained.labels(champion.version).set(champion.scorer.manifest.trained_at.timestamp())
        self.ready = champion is not None

    def explain(self, why: str) -> None:
        """Why there is no model: part of the answers while there is none."""
        self._why_not_ready = why

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
        served = self._pick()
        loaded = served.loaded
        scores = loaded.scorer.score(vectors)
        answered = scores.tolist()
        request_id = _request_id(headers)
        served.rows.inc(len(answered))
        for score in answered:
            served.scores.observe(score)
        if self._capture is not None:
            self._capture.add(
                Scored(request_id, time.time(), served.alias, loaded.version, rows.customers, vectors, scores)
            )
        latency = _vector_latency if rows.vectors is not None else _online_latency
        latency.observe(time.perf_counter() - started)
        return_headers = {REQUEST_ID_HEADER: request_id, VERSION_HEADER: loaded.version}
        if v2:
            output = InferOutput("probability", [len(answered)], "FP64", data=answered)
            return InferResponse(
                body.id or request_id, self.name, [output], model_version=loaded.version
            ), return_headers
        return {"predictions": answered}, return_headers

    def _pick(self) -> _Served:
        served = self._served
        challenger = served.get(CHALLENGER)
        share = self._settings.challenger_share
        if challenger is not None and share and random.random() < share:  # noqa: S311  no secret
            return challenger
        champion = served.get(CHAMPION)
        if champion is None:
            text = f"no verified champion yet: {self._why_not_ready}; try again"
            raise RequestError(HTTPStatus.SERVICE_UNAVAILABLE, "not_ready", text, retry_after_seconds=2)
        return champion


class Watcher:
    """Follows the registry's aliases, unless one version is pinned; what cannot be verified never replaces what was.

    A model that serves without the registry's word (from the cache, or after its champion was deleted) is unconfirmed:
    it serves on, and is loaded anew once the registry names a champion, also under the same version.
    """

    def __init__(self, model: LoanDefaultModel, source: RegistrySource, settings: ServingSettings) -> None:
        self._model = model
        self._source = source
        self._pinned = settings.model_version
        _pinned.clear()
        if self._pinned is not None:
            _pinned.labels(self._pinned).set(1)
        self._loaded: dict[str, Loaded] = {}
        self._remembered: dict[str, Loaded] = {}
        self._wanted: dict[str, str] = {}
        self._unconfirmed: set[str] = set()
        self._from_cache = False
        self._no_copy = ""  # why the cache gave no champion, once it was asked

    def look(self) -> None:
        """Look once; without a champion from the registry, serve the last verified copy.

        Raises RegistryDownError when the registry does not answer, OSError when a served model cannot be cached.
        """
        try:
            wanted = {CHAMPION: self._pinned} if self._pinned else self._source.aliases()
        except RegistryDownError as error:
            self._bridge(str(error))
            raise
        loaded, outage = self._load(wanted)
        if loaded != self._loaded:
            self._from_cache &= loaded.get(CHAMPION) is self._loaded.get(CHAMPION)
            self._serve(loaded)
        if CHAMPION not in loaded:
            self._bridge(self._why_no_champion(wanted, outage))
        self._note_wanted(wanted)
        if outage is not None:
            raise outage
        if self._loaded and self._loaded != self._remembered:
            self._source.remember(self._loaded)
            self._remembered = self._loaded

    def _load(self, wanted: dict[str, str]) -> tuple[dict[str, Loaded], RegistryDownError | None]:
        """What each alias shall serve now; a version that cannot be had yet leaves what is served."""
        loaded: dict[str, Loaded] = {}
        outage = None
        for alias in (CHAMPION, CHALLENGER):
            served = self._loaded.get(alias)
            try:
                found = self._model_for(alias, wanted.get(alias), served)
            except RegistryDownError as error:
                found, outage = served, error
            if found is not None:
                loaded[alias] = found
        return loaded, outage

    def _model_for(self, alias: str, version: str | None, served: Loaded | None) -> Loaded | None:
        if version is None:
            self._unconfirmed.add(alias)
            return served if alias == CHAMPION else None
        if served is not None and served.version == version and alias not in self._unconfirmed:
            return served
        found = self._source.load(version)
        if found is not None:
            self._unconfirmed.discard(alias)
        return found if found is not None or alias != CHAMPION else served

    def _bridge(self, why: str) -> None:
        """Without a champion, serve the copy that was verified last; the cache is asked once."""
        if CHAMPION in self._loaded:
            return
        if not self._no_copy:
            try:
                copies = self._source.recall(CHAMPION, self._pinned)
            except NoCopyError as error:
                self._no_copy = str(error)
                _log.warning("no model can be served: %s; %s", why, error)
            else:
                self._unconfirmed, self._from_cache = set(copies), True
                _log.warning("%s; serving the last verified copies from the cache", why)
                self._serve(copies | self._loaded)
                return
        self._model.explain(f"{why}; {self._no_copy}")

    def _why_no_champion(self, wanted: dict[str, str], outage: RegistryDownError | None) -> str:
        if CHAMPION not in wanted:
            return "the registry names no champion"
        version = wanted[CHAMPION]
        return str(outage or f"version {version} is refused: {self._source.why_refused(version)}")

    def _serve(self, loaded: dict[str, Loaded]) -> None:
        self._loaded = loaded
        self._model.serve(loaded)
        self._no_copy = ""
        _cached.set(int(self._from_cache))
        _log.info(
            "serving %s", ", ".join(f"{alias} version {item.version}" for alias, item in loaded.items()) or "nothing"
        )

    def _note_wanted(self, wanted: dict[str, str]) -> None:
        """Show what the registry wants beside what is served, and a champion that it does not have any more."""
        wanted = {alias: version for alias, version in wanted.items() if alias in (CHAMPION, CHALLENGER)}
        for alias, version in self._wanted.items() - wanted.items():
            _wanted.remove(alias, version)
        for alias, version in wanted.items():
            _wanted.labels(alias, version).set(1)
        missing = CHAMPION not in wanted and CHAMPION in self._loaded
        if missing and CHAMPION in self._wanted:
            version = self._loaded[CHAMPION].version
            _log.error("the registry has no champion any more; version %s keeps serving", version)
        _missing.set(int(missing))
        self._wanted = wanted


def _request_id(headers: dict[str, str] | None) -> str:
    """The client's, when it is a plain word; else one that no other process makes."""
    given = headers.get(REQUEST_ID_HEADER) if headers else None
    return given if given and _REQUEST_ID.fullmatch(given) else f"{_PROCESS}-{next(_numbers):x}"


def _count_captured(outcome: str, rows: int) -> None:
    _captured.labels(outcome).inc(rows)


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
    watcher = Watcher(model, source, settings)
    loops = Loops()
    loops.add(Loop("watcher", watcher.look, pause_seconds=settings.poll_seconds, stuck_seconds=_LOOK_SECONDS)).start()
    loops.add(
        Loop("feature-lookup", lookup.connect, pause_seconds=0, stuck_seconds=_CONNECT_SECONDS, until_success=True)
    ).start()
    if capture is not None:
        capture.start()
        loops.add(capture.loop)
    build_server(port, host, settings, model, loops).start([])


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
    parser.add_argument("--host", default=environment.listen_address, help="address to bind (default: %(default)s)")
    arguments = parser.parse_args()
    serve(environment, arguments.port, arguments.host)


if __name__ == "__main__":
    run_command(main)
