"""Stage 6, online: the model server, on KServe's `Model` and `ModelServer`.

v1 and v2, vectors or join keys. Live from the start, ready once the alias `champion` names a verified model; follows
the aliases without losing a request. Leaves out how requests come and answers go: `transport`.
"""

import argparse
import hmac
import itertools
import logging
import re
import time
import uuid
from http import HTTPStatus
from typing import Any, NamedTuple

import numpy as np
from kserve import InferOutput, InferRequest, InferResponse, Model
from kserve.model import InferenceVerb
from prometheus_client import Counter, Gauge, Histogram

from workloads.lifecycle.base import metrics
from workloads.lifecycle.base.command import add_address
from workloads.lifecycle.base.environment import Environment, load
from workloads.lifecycle.base.errors import RequestError, run_command
from workloads.lifecycle.base.exposition import COUNTED, show
from workloads.lifecycle.base.loops import Loop, Loops
from workloads.lifecycle.base.names import PROBE_HEADER, SHADOWED, SMOKE
from workloads.lifecycle.base.settings import LATENCY_BUCKETS, ServingSettings
from workloads.lifecycle.base.store import Store
from workloads.lifecycle.features.online import FeastLookup, Lookup
from workloads.lifecycle.registry.challenge import Challenge
from workloads.lifecycle.registry.signature import Trust
from workloads.lifecycle.schema import Key, Outcome
from workloads.lifecycle.serving import challenger as challengers
from workloads.lifecycle.serving import explanation
from workloads.lifecycle.serving.capture import Capture, Scored
from workloads.lifecycle.serving.challenger import Challengers, Duel
from workloads.lifecycle.serving.explainer import Explained, Explainer
from workloads.lifecycle.serving.openapi import PREDICTION_ID_HEADER, REQUEST_ID_HEADER, VERSION_HEADER, document
from workloads.lifecycle.serving.payload import Requests, Rows
from workloads.lifecycle.serving.source import Loaded, RegistrySource
from workloads.lifecycle.serving.transport import build_server
from workloads.lifecycle.serving.watcher import CHALLENGER, CHAMPION, Watcher
from workloads.lifecycle.workload import Workload

VERSIONS_OUTPUT = "model_version"
"""Name of the v2 tensor that says which version answered each row, where two versions answered a request."""

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
_outside = Counter(
    metrics.OUT_OF_RANGE_ROWS.removesuffix("_total"), "Scored rows outside the bounds of features", registry=COUNTED
)
_latency = Histogram(
    metrics.PREDICTION_LATENCY,
    "Decoded request to answer",
    [metrics.LABEL_SOURCE],
    buckets=LATENCY_BUCKETS,
    registry=COUNTED,
)
_vector_latency, _online_latency = _latency.labels("vector"), _latency.labels("online")
_info = Gauge(metrics.MODEL_INFO, "Version that an alias serves", _VERSIONED, registry=COUNTED)
_trained = Gauge(
    metrics.MODEL_LOADED_TIMESTAMP, "When the champion was trained", [metrics.LABEL_VERSION], registry=COUNTED
)
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


class _Answer(NamedTuple):
    """What one version said about a request, or about a part of it."""

    served: _Served
    numbers: Any
    """What the model was given."""
    scores: Any
    seconds: float
    """Time that the model took."""
    places: tuple[int, ...] = ()
    """Places of the rows in the request; empty for a whole request."""


class PredictionModel(Model):  # type: ignore[misc]  # kserve is untyped
    """Scores vectors, or entities looked up in the online store, with what the aliases name."""

    def __init__(
        self,
        workload: Workload,
        settings: ServingSettings,
        lookup: Lookup,
        capture: Capture | None,
        challengers: Challengers | None = None,
        *,
        probe_token: str = "",
    ) -> None:
        """`challengers`: None lets the champion alone answer.

        `probe_token`: marks requests that only try the server; without one none does.
        """
        super().__init__(workload.name)
        self._probe_token = probe_token.encode()
        self._workload = workload
        self._requests = Requests(workload, settings.max_rows, scores_outside=settings.out_of_range == "score")
        self._has_strings = any(feature.type == "string" for feature in workload.inputs)
        self._scores = _scores(workload.outcome)
        self._output = "probability" if workload.problem == "binary" else "prediction"
        self._settings = settings
        self._lookup = lookup
        self._capture = capture
        self._challengers = challengers
        self._explainer = Explainer(settings)
        self._served: dict[str, _Served] = {}
        self._why_not_ready = "the registry was not asked yet"

    def load(self) -> bool:
        """KServe asks for this when a request comes before a model: the watcher loads, nothing else."""
        return bool(self.ready)

    def stop(self) -> None:
        """Keep answering while the server drains, and write the captured rest."""
        self._explainer.stop()
        if self._challengers is not None:
            self._challengers.stop()
        if self._capture is not None:
            self._capture.stop()

    def serve(self, loaded: dict[str, Loaded], challenge: Challenge | None = None) -> None:
        """Answer with these models from now on; requests under way end on the old ones.

        The challenger answers, or scores unseen, while the challenge lasts.
        """
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
        if self._challengers is not None:
            self._challengers.set(challenge, champion, loaded.get(CHALLENGER))

    def explain(self, why: str) -> None:
        """Why there is no model: part of the answers while there is none."""
        self._why_not_ready = why

    def check(self, body: bytes) -> None:
        """Refuse what holds too many values; raises RequestError."""
        self._requests.check(body)

    def document(self) -> dict[str, Any]:
        """The OpenAPI document of the server."""
        return document(
            self._workload,
            self._settings.max_rows,
            self.get_input_types(),
            self.get_output_types(),
            bounded=self._settings.out_of_range == "refuse",
        )

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
        duel = self._challengers.begun() if self._challengers is not None else None
        answers = self._answers(duel, rows.keys, vectors)
        contributions = await self._explanations(answers, len(vectors)) if explains else None
        answered = _merged([(answer.scores, answer.places) for answer in answers], len(vectors)).tolist()
        is_probe, client_id = self._is_probe(headers), _client_id(headers)
        prediction_id = f"{SMOKE if is_probe else ''}{_PROCESS}-{next(_numbers):x}"
        request_id = client_id or prediction_id
        if is_probe:
            _probed.inc(len(answered))
        if rows.outside:
            _outside.inc(len(rows.outside))
        self._note(answers, (prediction_id, client_id), rows, vectors, duel)
        seconds = time.perf_counter() - started
        (_vector_latency if rows.vectors is not None else _online_latency).observe(seconds)
        versions = ",".join(answer.served.loaded.version for answer in answers)
        return_headers = {
            REQUEST_ID_HEADER: request_id,
            PREDICTION_ID_HEADER: prediction_id,
            VERSION_HEADER: versions,
        }
        by_row = _versions(answers, len(vectors)) if len(answers) > 1 else None
        if v2:
            outputs = [InferOutput(self._output, [len(answered)], "FP64", data=answered)]
            if contributions is not None:
                outputs.append(explanation.v2(self._workload, contributions))
            if by_row is not None:
                outputs.append(InferOutput(VERSIONS_OUTPUT, [len(by_row)], "BYTES", data=by_row))
            return InferResponse(
                body.id or request_id,
                self.name,
                outputs,
                model_version=versions,
                use_binary_outputs=body.use_binary_outputs,
                requested_outputs=body.request_outputs,
            ), return_headers
        content: dict[str, Any] = {"predictions": answered}
        if contributions is not None:
            content["explanations"] = explanation.v1(self._workload, contributions)
        if by_row is not None:
            content["versions"] = by_row
        return content, return_headers

    def _answers(self, duel: Duel | None, keys: tuple[Key, ...], vectors: Any) -> list[_Answer]:
        """The champion's answer or, of entities during a canary, each version's; raises RequestError."""
        champion = self._champion()
        challenger = self._served.get(CHALLENGER)
        if duel is None or challenger is None or not keys or not duel.is_canary:
            return [self._scored(champion, vectors)]
        mine, others, marks = duel.divided(keys)
        found = self._challenged(duel, challenger, mine, marks, vectors)
        if found is not None and not others:
            return [found]
        # What the challenger failed to score, the champion answers; it is no sample of the champion's.
        rest = others if found is not None else list(range(len(keys)))
        try:
            answer = self._scored(champion, vectors if len(rest) == len(keys) else vectors[rest])
        except Exception:
            duel.arms[CHAMPION].fail()
            raise
        if others:
            scores = answer.scores if found is not None else answer.scores[others]
            took = answer.seconds * len(others) / len(rest)
            duel.count(CHAMPION, [marks[place] for place in others], scores, took)
        if found is None:
            return [answer]
        return [answer._replace(places=tuple(others)), found._replace(places=tuple(mine))]

    def _challenged(
        self, duel: Duel, challenger: _Served, mine: list[int], marks: list[int], vectors: Any
    ) -> _Answer | None:
        """The challenger's answer to its part of a request; None when that is empty, or it fails."""
        if not mine:
            return None
        begun = time.perf_counter()
        numbers = duel.given(self._numbers, vectors[mine], len(mine))
        scores = None if numbers is None else duel.score(numbers, [marks[place] for place in mine])
        if scores is None:
            return None
        challengers.answered(len(mine))
        return _Answer(challenger, numbers, scores, time.perf_counter() - begun)

    def _scored(self, served: _Served, vectors: Any) -> _Answer:
        numbers = self._numbers(served.loaded, vectors)
        begun = time.perf_counter()
        scores = served.loaded.scorer.score(numbers)
        return _Answer(served, numbers, scores, time.perf_counter() - begun)

    def _note(self, answers: list[_Answer], ids: tuple[str, str], rows: Rows, vectors: Any, duel: Duel | None) -> None:
        """Count and capture what was answered, and hand it to a shadow.

        `ids`: the server's of the request, and the client's.
        """
        now, keys = time.time(), rows.keys
        request_id, client_id = ids
        for answer in answers:
            served, places = answer.served, answer.places
            served.rows.inc(len(answer.scores))
            for score in answer.scores.tolist():
                served.scores.observe(score)
            asked = tuple(keys[place] for place in places) if places else keys
            some = vectors[list(places)] if places else vectors
            version = served.loaded.version
            scored = Scored(request_id, now, served.alias, version, asked, some, answer.scores, places, client_id)
            if rows.outside:
                scored = scored.without(rows.outside)
                if not len(scored.scores):
                    continue
            if self._capture is not None:
                self._capture.add(scored)
            if duel is not None and not duel.is_canary and self._challengers is not None:
                self._challengers.add(duel, scored, answer.seconds, self._numbers)

    async def _explanations(self, answers: list[_Answer], rows: int) -> Any:
        """Contributions of each row, by the version that answered it; raises RequestError."""
        found = [(await self._explain(each.served.loaded, each.numbers), each.places) for each in answers]
        return _merged(found, rows)

    def _is_probe(self, headers: dict[str, str] | None) -> bool:
        """Whether a request shows the probe token: a name that anybody can choose hides nothing."""
        given = headers.get(PROBE_HEADER) if headers else None
        if not given or not self._probe_token:
            return False
        return hmac.compare_digest(given.encode("latin-1"), self._probe_token)

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

    def _champion(self) -> _Served:
        champion = self._served.get(CHAMPION)
        if champion is None:
            text = f"no verified champion yet: {self._why_not_ready}; try again"
            raise RequestError(HTTPStatus.SERVICE_UNAVAILABLE, "not_ready", text, retry_after_seconds=2)
        return champion


def _merged(parts: list[tuple[Any, tuple[int, ...]]], rows: int) -> Any:
    """Rows of several versions in the order of the request."""
    if len(parts) == 1:
        return parts[0][0]
    first = parts[0][0]
    merged = np.empty((rows, *first.shape[1:]), dtype=first.dtype)
    for values, places in parts:
        merged[list(places)] = values
    return merged


def _versions(answers: list[_Answer], rows: int) -> list[str]:
    """The version that answered each row."""
    found = [""] * rows
    for answer in answers:
        for place in answer.places:
            found[place] = answer.served.loaded.version
    return found


def _client_id(headers: dict[str, str] | None) -> str:
    """The client's own name for its request, when it is a plain word; else empty."""
    given = headers.get(REQUEST_ID_HEADER) if headers else None
    return given if given and _REQUEST_ID.fullmatch(given) else ""


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
    store = Store.open(environment)
    capture = Capture(store, workload, settings, _count_captured) if settings.capture else None
    challenged = _challengers(environment, store)
    model = PredictionModel(workload, settings, lookup, capture, challenged, probe_token=environment.probe_token)
    source = RegistrySource(
        environment.need("mlflow_tracking_uri"),
        environment.work / "models",
        workload,
        Trust.of(environment),
        environment.mlflow_login,
    )
    watcher = Watcher(model, source, settings, challenged)
    loops = Loops()
    loops.add(Loop("watcher", watcher.look, pause_seconds=settings.poll_seconds, stuck_seconds=_LOOK_SECONDS)).start()
    loops.add(
        Loop("feature-lookup", lookup.connect, pause_seconds=0, stuck_seconds=_CONNECT_SECONDS, until_success=True)
    ).start()
    if capture is not None:
        capture.start()
        loops.add(capture.loop)
    if challenged is not None:
        challenged.start()
        for loop in challenged.loops:
            loops.add(loop)
    build_server(port, host, settings, model, loops).start([])


def _challengers(environment: Environment, store: Store) -> Challengers | None:
    """None where versions are promoted directly: nothing runs beside the champion then."""
    settings, takeover, workload = environment.settings.serving, environment.settings.release, environment.definition
    if takeover.mode == "direct":
        return None
    captures = takeover.mode == "shadow" and settings.capture
    shadowed = Capture(store, workload, settings, lambda *_: None, SHADOWED) if captures else None
    return Challengers(workload, takeover, store, shadowed)


def main() -> None:
    """Command: the model server."""
    parser = argparse.ArgumentParser(prog="python -m workloads.lifecycle.serving.model_server", description=__doc__)
    environment = load()
    add_address(parser, environment)
    arguments = parser.parse_args()
    serve(environment, arguments.port, arguments.host)


if __name__ == "__main__":
    run_command(main)
