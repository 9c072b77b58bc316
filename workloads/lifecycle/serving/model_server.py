"""Stage 6, online: the model server, on KServe's `Model` and `ModelServer`.

v1 and v2, vectors or join keys. Live from the start, ready once the alias `champion` names a verified model; follows
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

from workloads.lifecycle.base import metrics
from workloads.lifecycle.base.command import add_address
from workloads.lifecycle.base.environment import Environment, load
from workloads.lifecycle.base.errors import RequestError, run_command
from workloads.lifecycle.base.exposition import COUNTED, show
from workloads.lifecycle.base.loops import Loop, Loops
from workloads.lifecycle.base.names import SMOKE
from workloads.lifecycle.base.settings import LATENCY_BUCKETS, ServingSettings
from workloads.lifecycle.base.store import Store
from workloads.lifecycle.features.online import FeastLookup, Lookup
from workloads.lifecycle.registry.signature import Trust
from workloads.lifecycle.schema import Outcome
from workloads.lifecycle.serving import explanation
from workloads.lifecycle.serving.capture import Capture, Scored
from workloads.lifecycle.serving.explainer import Explained, Explainer
from workloads.lifecycle.serving.openapi import REQUEST_ID_HEADER, VERSION_HEADER, document
from workloads.lifecycle.serving.payload import Requests
from workloads.lifecycle.serving.source import Loaded, NoCopyError, RegistryDownError, RegistrySource
from workloads.lifecycle.serving.transport import build_server
from workloads.lifecycle.workload import Workload

CHAMPION, CHALLENGER = "champion", "challenger"
EXPLAIN = explanation.PARAMETER
"""Header by which the front door says that a v1 request's query asked for explanations."""

_PROCESS = uuid.uuid4().hex
_numbers = itertools.count(1)
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_LOOK_SECONDS = 300.0
_CONNECT_SECONDS = 600.0
"""Durations of one look at the registry, a download included, and of one connection beyond which they are stuck."""

_SCORE_BUCKETS = 10

_log = logging.getLogger(__name__)
_VERSIONED = [metrics.LABEL_ALIAS, metrics.LABEL_VERSION]
_predictions = Counter(metrics.PREDICTIONS.removesuffix("_total"), "Scored rows", _VERSIONED, registry=COUNTED)
_probed = Counter(metrics.PROBE_ROWS.removesuffix("_total"), "Scored rows of tries", registry=COUNTED)
_latency = Histogram(
    metrics.PREDICTION_LATENCY,
    "Decoded request to answer",
    [metrics.LABEL_SOURCE],
    buckets=LATENCY_BUCKETS,
    registry=COUNTED,
)
_vector_latency, _online_latency = _latency.labels("vector"), _latency.labels("online")
_info = Gauge(metrics.MODEL_INFO, "Version that an alias serves", _VERSIONED, registry=COUNTED)
_wanted = Gauge(metrics.MODEL_WANTED, "Version that the registry wants an alias to serve", _VERSIONED, registry=COUNTED)
_missing = Gauge(metrics.CHAMPION_MISSING, "A model serves and the registry has no champion", registry=COUNTED)
_pinned = Gauge(metrics.MODEL_PINNED, "Version that the settings pin", [metrics.LABEL_VERSION], registry=COUNTED)
_trained = Gauge(
    metrics.MODEL_LOADED_TIMESTAMP, "When the champion was trained", [metrics.LABEL_VERSION], registry=COUNTED
)
_cached = Gauge(metrics.MODEL_FROM_CACHE, "A verified copy from the cache answers", registry=COUNTED)
_captured = Counter(
    metrics.CAPTURE_ROWS.removesuffix("_total"), "Captured rows", [metrics.LABEL_OUTCOME], registry=COUNTED
)
_histograms: dict[tuple[float, float], Histogram] = {}
"""The histogram of answers between two bounds; one at a time, as a process has one workload."""


def _scores(outcome: Outcome) -> Histogram:
    """The histogram of a workload's answers: ten equal steps between the bounds of its outcome."""
    bounds = outcome.lowest, outcome.highest
    if bounds not in _histograms:
        while _histograms:
            COUNTED.unregister(_histograms.popitem()[1])
        width = outcome.highest - outcome.lowest
        edges = [outcome.lowest + width * step / _SCORE_BUCKETS for step in range(1, _SCORE_BUCKETS + 1)]
        _histograms[bounds] = Histogram(
            metrics.SCORE, "Answers", [metrics.LABEL_ALIAS], buckets=edges, registry=COUNTED
        )
    return _histograms[bounds]


class _Served(NamedTuple):
    """What an alias answers with, and the metrics of its answers."""

    alias: str
    loaded: Loaded
    rows: Counter
    scores: Histogram


class PredictionModel(Model):  # type: ignore[misc]  # kserve is untyped
    """Scores vectors, or entities looked up in the online store, with what the aliases name."""

    def __init__(self, workload: Workload, settings: ServingSettings, lookup: Lookup, capture: Capture | None) -> None:
        super().__init__(workload.name)
        self._workload = workload
        self._requests = Requests(workload, settings.max_rows)
        self._has_strings = any(feature.type == "string" for feature in workload.inputs)
        self._scores = _scores(workload.outcome)
        self._output = "probability" if workload.problem == "binary" else "prediction"
        self._settings = settings
        self._lookup = lookup
        self._capture = capture
        self._explainer = Explainer(settings)
        self._served: dict[str, _Served] = {}
        self._why_not_ready = "the registry was not asked yet"

    def load(self) -> bool:
        """KServe asks for this when a request comes before a model: the watcher loads, nothing else."""
        return bool(self.ready)

    def stop(self) -> None:
        """Keep answering while the server drains, and write the captured rest."""
        self._explainer.stop()
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
            alias: _Served(alias, new, _predictions.labels(alias, new.version), self._scores.labels(alias))
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

    def check(self, body: bytes) -> None:
        """Refuse what holds too many values; raises RequestError."""
        self._requests.check(body)

    def document(self) -> dict[str, Any]:
        """The OpenAPI document of the server."""
        return document(self._workload, self._settings.max_rows, self.get_input_types(), self.get_output_types())

    def get_input_types(self) -> list[dict[str, Any]]:
        """v2 metadata of the input: one matrix of numbers, or, where a feature is a string, a tensor per feature."""
        inputs = self._workload.inputs
        if all(feature.type != "string" for feature in inputs):
            return [{"name": "features", "datatype": "FP64", "shape": [-1, len(inputs)]}]
        return [
            {"name": feature.name, "datatype": "BYTES" if feature.type == "string" else "FP64", "shape": [-1]}
            for feature in inputs
        ]

    def get_output_types(self) -> list[dict[str, Any]]:
        """v2 metadata of the output."""
        return [{"name": self._output, "datatype": "FP64", "shape": [-1]}]

    async def __call__(
        self, body: Any, headers: dict[str, str] | None = None, verb: InferenceVerb = InferenceVerb.PREDICT
    ) -> tuple[Any, dict[str, str]]:
        """Answer one request; raises RequestError."""
        started = time.perf_counter()
        if verb is not InferenceVerb.PREDICT:
            raise RequestError(HTTPStatus.NOT_FOUND, "malformed", "use :predict?explain=true")
        v2 = isinstance(body, InferRequest)
        explains = explanation.asked_v2(body.parameters) if v2 else EXPLAIN in (headers or {})
        rows = self._requests.v2(body.inputs) if v2 else self._requests.v1(body)
        vectors = rows.vectors if rows.vectors is not None else await self._lookup.fetch(rows.keys)
        served = self._pick()
        loaded = served.loaded
        numbers = self._numbers(loaded, vectors)
        contributions = await self._explain(loaded, numbers) if explains else None
        scores = loaded.scorer.score(numbers)
        answered = scores.tolist()
        request_id = _request_id(headers)
        served.rows.inc(len(answered))
        if request_id.startswith(SMOKE):
            _probed.inc(len(answered))
        for score in answered:
            served.scores.observe(score)
        if self._capture is not None:
            self._capture.add(Scored(request_id, time.time(), served.alias, loaded.version, rows.keys, vectors, scores))
        latency = _vector_latency if rows.vectors is not None else _online_latency
        latency.observe(time.perf_counter() - started)
        return_headers = {REQUEST_ID_HEADER: request_id, VERSION_HEADER: loaded.version}
        if v2:
            outputs = [InferOutput(self._output, [len(answered)], "FP64", data=answered)]
            if contributions is not None:
                outputs.append(explanation.v2(self._workload, contributions))
            return InferResponse(
                body.id or request_id,
                self.name,
                outputs,
                model_version=loaded.version,
                use_binary_outputs=body.use_binary_outputs,
                requested_outputs=body.request_outputs,
            ), return_headers
        if contributions is not None:
            explained = explanation.v1(self._workload, contributions)
            return {"predictions": answered, "explanations": explained}, return_headers
        return {"predictions": answered}, return_headers

    async def _explain(self, loaded: Loaded, numbers: Any) -> Any:
        """Contributions of each row; raises RequestError where there are none, or too many rows."""
        if len(numbers) > self._settings.explain_rows:
            text = f"{len(numbers)} rows are too many to explain at once, the limit is {self._settings.explain_rows}"
            raise RequestError(HTTPStatus.BAD_REQUEST, "malformed", f"{text}; split the request")
        bundle = loaded.bundle
        if bundle is None or not bundle.booster:
            text = (
                f"version {loaded.version} was trained before models could be explained; retrain, or leave explain out"
            )
            raise RequestError(HTTPStatus.CONFLICT, metrics.NOT_EXPLAINED, text)
        return await self._explainer.explain(Explained(bundle.manifest.booster_sha256, bundle.booster), numbers)

    def _numbers(self, loaded: Loaded, vectors: Any) -> Any:
        """What the model takes: vectors with categories as the codes of its training."""
        if not self._has_strings:
            return vectors
        return loaded.scorer.inputs(dict(zip(self._workload.features, vectors.T, strict=True)))

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

    def __init__(self, model: PredictionModel, source: RegistrySource, settings: ServingSettings) -> None:
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
    settings, workload = environment.settings.serving, environment.definition
    show(workload)
    lookup = FeastLookup(environment)
    capture = Capture(Store.open(environment), workload, settings, _count_captured) if settings.capture else None
    model = PredictionModel(workload, settings, lookup, capture)
    source = RegistrySource(
        environment.need("mlflow_tracking_uri"),
        environment.work / "models",
        workload,
        Trust.of(environment),
        environment.mlflow_login,
    )
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
    parser = argparse.ArgumentParser(prog="python -m workloads.lifecycle.serving.model_server", description=__doc__)
    environment = load()
    add_address(parser, environment)
    arguments = parser.parse_args()
    serve(environment, arguments.port, arguments.host)


if __name__ == "__main__":
    run_command(main)
