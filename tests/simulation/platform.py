"""The platform under simulation: the real code of `workloads.lifecycle`, wired to the stand-ins."""

import asyncio
import hashlib
import itertools
import logging
import math
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
import numpy as np
import pandas as pd

from tests.simulation import servers
from tests.simulation.clock import Clock, VirtualLoop, installed
from tests.simulation.definition import NAMES, SIMULATED
from tests.simulation.population import BASE_ROWS
from tests.simulation.scenario import Scenario
from tests.simulation.servers import DriftAlert, Gateway, Http, Killed, ModelServers, OnlineStore, Registry, Version
from workloads.lifecycle.base import metrics, mlflow_api, prometheus, scrape
from workloads.lifecycle.base import servers as base_servers
from workloads.lifecycle.base.environment import Environment
from workloads.lifecycle.base.errors import GateError, InsufficientError, RequestError, UnchangedError, WorkloadError
from workloads.lifecycle.base.settings import WorkloadSettings
from workloads.lifecycle.base.store import Store
from workloads.lifecycle.features import windows
from workloads.lifecycle.features.online import FeastLookup
from workloads.lifecycle.features.publication import TrainingSet
from workloads.lifecycle.ingestion.ingest import Ingested
from workloads.lifecycle.monitoring import check
from workloads.lifecycle.registry import policy
from workloads.lifecycle.retraining import checks, lease, watch, worker
from workloads.lifecycle.retraining.bearer import tokens
from workloads.lifecycle.retraining.champion import ChampionAlias
from workloads.lifecycle.retraining.ledger import Ledger
from workloads.lifecycle.retraining.runner import Outcome
from workloads.lifecycle.retraining.service import Parts, Service
from workloads.lifecycle.retraining.watch import Watch
from workloads.lifecycle.retraining.worker import ChampionWatch, Worker
from workloads.lifecycle.serving.capture import Capture, Scored
from workloads.lifecycle.training import bundle, estimators, reference
from workloads.lifecycle.training.bundle import Manifest, Scorer, sha256
from workloads.lifecycle.training.train import fit, held_out, learnt, require_new, split
from workloads.lifecycle.validation import gate
from workloads.lifecycle.validation.bounds import Former

SETTINGS: dict[str, Any] = {
    "retention": {"requests_days": 90, "training_rows_days": 90},
    "training": {"trees": 30, "learning_rate": 0.2},
}
"""What differs from the defaults: retention, so that a run sees it, and smaller models, so that a day stays short."""

REPLICAS = 2
PIPELINE_SECONDS = 60.0
TICK_SECONDS = 20.0
"""Virtual time between two looks of a replica at the ledger while another one works."""

WATCH_PAUSE_SECONDS, BEAT_SECONDS = 30.0, 10.0
"""Virtual time between two looks of the watch window, and two renewals of a lease: the same ones, fewer of them."""

SUSPENDED_SECONDS = 90.0
TOKENS = {"retrain_token": "operator-" * 3, "alert_token": "alerts-" * 3, "schedule_token": "schedule-" * 3}


class Replica:
    """One process of the retraining service: its ledger connection, its alias, its worker."""

    def __init__(self, platform: "Platform") -> None:
        self.ledger = Ledger(platform.ledger_url)
        self.alias = ChampionAlias(platform.environment, self.ledger, platform.registry)
        self.checks = InProcessChecks(self.ledger, platform)
        self.worker = LocalWorker(platform.environment, self.ledger, Pipeline(platform), self.alias, self.checks.run)
        self.worker._stopping = NeverStops(platform.clock)  # type: ignore[assignment]
        self.is_busy = False
        self.is_stalled = False


class NeverStops:
    """Stands in for the worker's event, whose `wait` is a pause."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def is_set(self) -> bool:
        """No replica is told to stop; replicas die."""
        return False

    def wait(self, seconds: float) -> bool:
        """Let time pass."""
        self._clock.advance(seconds)
        return False


class LocalWorker(Worker):
    """The real worker; protected attributes, of which this workload has none, need no Feast."""

    def _attributes(self) -> pd.DataFrame:
        return pd.DataFrame()


class InProcessChecks(checks.Checks):
    """The real record of checks; the job runs in this process."""

    def __init__(self, ledger: Ledger, platform: "Platform") -> None:
        super().__init__(ledger, {})
        self._platform = platform

    def _outcome(self) -> tuple[int | None, str]:
        try:
            found = check.check(self._platform.environment)
        except WorkloadError as error:
            return 1, f"error: {error}"
        finally:
            self._platform.alert.evaluate()
        return 0, found.model_dump_json()


class Pipeline:
    """Stands in for the pipeline's processes: window, split, model, ONNX bundle and gate are real, MLflow is not."""

    def __init__(self, platform: "Platform") -> None:
        self._platform = platform

    def run(
        self,
        retrain: str,
        window: str,
        handle: str | None,
        noted: Callable[[str], None],
        stopped: Callable[[], bool],
        *,
        unless: str = "",
    ) -> Outcome:
        """Train on the window, judge, and register the candidate."""
        del handle, noted, stopped
        platform = self._platform
        platform.counts["pipeline runs"] += 1
        platform.clock.advance(PIPELINE_SECONDS)
        platform.befall("in the pipeline")
        platform.befall("suspended")
        try:
            platform.train(retrain.partition(".")[0], window, unless)
        except UnchangedError as error:
            return Outcome("unchanged", str(error))
        except InsufficientError as error:
            return Outcome("insufficient", str(error))
        except GateError as error:
            return Outcome("refused", str(error))
        except WorkloadError as error:
            return Outcome("refused" if error.is_final else "failed", str(error))
        return Outcome("succeeded", "")

    def clear(self, retrain: str) -> None:
        """Nothing runs outside this process."""
        del retrain


class Platform:
    """Everything that stands for one run."""

    def __init__(self, folder: Path, scenario: Scenario, clock: Clock, ledger_url: str, opa_url: str) -> None:
        self.clock = clock
        self.scenario = scenario
        self.ledger_url = ledger_url
        self.rng = np.random.default_rng((scenario.seed, 1))
        self.counts: Counter[str] = Counter()
        self.registry = Registry(clock, dies=self.befall)
        self.model = ModelServers(self.registry)
        self.gateway = Gateway()
        self.http = Http(self.registry, self.model)
        self.online = OnlineStore(clock)
        self.environment = Environment(
            workload="tests.simulation.definition:SIMULATED",
            stack="simulated",
            artifact_store_uri=f"file://{folder}/store",
            work_dir=folder / "work",
            mlflow_tracking_uri=servers.MLFLOW,
            model_url=servers.MODEL_URL,
            pushgateway_url=servers.GATEWAY,
            prometheus_url=servers.PROMETHEUS,
            feast_online_store=f"sqlite:///{folder}/online.db",
            opa_url=opa_url,
            settings=WorkloadSettings.model_validate(SETTINGS),
            **TOKENS,
        )
        self.alert = DriftAlert(clock, self.environment.settings.alerts, self.gateway)
        self.store = Store.open(self.environment)
        self.base = self._base()
        self._due: Counter[str] = Counter()
        self._broken_next = False
        self._names = itertools.count()
        self.acting: Replica | None = None

    def start(self) -> None:
        """Release the first version, and start the replicas."""
        self.replicas = [Replica(self) for _ in range(REPLICAS)]
        self.captures = [self._capture() for _ in range(REPLICAS)]
        first = self.replicas[0]
        number = self.train("", "", "")
        with first.ledger.release(60, lambda _text: None) as place:
            first.alias.promote(place, number)
        self.lookup = FeastLookup(self.environment)
        self.lookup._store = self.online
        self.lookup._references = [f"{SIMULATED.views[0].name}:{name}" for name in NAMES]
        watcher = ChampionWatch(self.environment)
        parts = Parts(
            environment=self.environment,
            ledger=first.ledger,
            champion=watcher,
            alias=first.alias,
            checks=first.checks,
            tokens=tokens(self.environment),
            sign=lambda run_id: run_id,
            stop=lambda: None,
        )
        self.watcher, self.app = watcher, Service(parts).app()

    def stop(self) -> None:
        """Give connections back."""
        for replica in self.replicas:
            replica.ledger.close()

    def ask(self, path: str, body: bytes, token: str) -> tuple[int, dict[str, Any]]:
        """One request to the retraining service."""
        try:
            self.watcher.look()
        except WorkloadError:
            self.counts["looks in vain at the registry"] += 1

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://retraining.simulated") as client:
                return await client.post(path, content=body, headers={"authorization": f"Bearer {TOKENS[token]}"})

        answer = asyncio.run(send())
        return answer.status_code, answer.json()

    def work(self) -> None:
        """One look of each replica at the ledger; a replica that dies is replaced by a new one."""
        for place, replica in enumerate(self.replicas):
            if replica.is_busy or replica.is_stalled:
                continue
            replica.is_busy, before, self.acting = True, self.acting, replica
            self.clock.every(TICK_SECONDS, self._others, lambda replica=replica: replica.is_busy)  # type: ignore[misc]
            try:
                replica.worker.step()
            except WorkloadError:
                self.counts["steps that servers ended"] += 1
            except Killed:
                self.counts["replicas died"] += 1
                replica.ledger.close()
                self.replicas[place] = Replica(self)
            finally:
                replica.is_busy, self.acting = False, before

    def _others(self) -> None:
        if any(not replica.is_busy for replica in self.replicas):
            self.work()

    def befall(self, moment: str) -> None:
        """Kill or suspend the acting replica where the plan says so."""
        if not self._due[moment] or self.acting is None:
            return
        self._due[moment] -= 1
        self.counts[f"befell {moment}"] += 1
        if moment != "suspended":
            raise Killed(moment)
        replica = self.acting
        replica.is_stalled = True
        self.clock.advance(SUSPENDED_SECONDS)
        replica.is_stalled = False

    def plan_death(self, how: str) -> None:
        """What befalls the next replica that comes to that moment."""
        self._due[how] += 1

    def break_next_release(self) -> None:
        """The next candidate will not answer once it is served."""
        self._broken_next = True

    def train(self, retrain: str, window: str, unless: str) -> str:
        """Fit, convert, judge by the real policy, and register; returns the version. Raises what the gate raises."""
        environment = self.environment.model_copy(update={"labelled_window": window})
        workload, settings = SIMULATED, environment.settings.training
        base_servers.wait_for_mlflow(environment)
        data = windows.training_set(environment)
        require_new(environment, data, unless)
        parts = split(workload, data.frame, settings)
        model = fit(workload, parts.train, settings)
        run_id = f"{next(self._names):032x}"
        scorer = self._bundle(run_id, estimators.to_onnx(model.estimator), data)
        champion_version = self.registry.champion()
        facts = gate.measure(
            workload,
            parts,
            data,
            scorer,
            None if champion_version is None else self.registry.versions[champion_version].scorer,
            known=None if data.known is None else split(workload, data.known, settings).test,
            champion_rows=None if champion_version is None else self.registry.versions[champion_version].learnt_rows,
            former=self._former(environment),
        )
        verdict = gate.decide(environment, facts | {"latency_p99_ms": 1.0})  # the wall clock is not simulated
        gate.require(verdict, run_id)
        labels = parts.test[workload.outcome.label].to_numpy()
        reference.save(environment, run_id, data.frame)
        version = Version(
            number=str(len(self.registry.versions) + 1),
            run_id=run_id,
            registered_at=self.clock.now,
            retrain=retrain,
            scorer=scorer,
            tests=held_out(workload, labels, scorer.score(scorer.inputs(parts.test)).astype(float)),
            learnt_rows=len(parts.train),
            learnt=learnt(environment, data),
            is_broken=self._broken_next,
        )
        self._broken_next = False
        self.registry.add(version)
        return version.number

    def _former(self, environment: Environment) -> list[Former]:
        """The champions that the window names."""
        window = windows.window_of(environment, environment.labelled_window) if environment.labelled_window else None
        named = window.champions if window is not None else {}
        return [Former(version, since, self.registry.versions[version].scorer) for version, since in named.items()]

    def _bundle(self, run_id: str, twin: bytes, data: TrainingSet) -> Scorer:
        folder = self.environment.work / "bundles" / run_id
        manifest = Manifest(
            model_sha256=sha256(twin),
            features=SIMULATED.features,
            data_hash=data.ingested.data_hash,
            ingestion_run=data.ingested.run,
            trained_at=datetime.fromtimestamp(self.clock.now, UTC),
            run_id=run_id,
        )
        return Scorer.load(folder, bundle.write(folder, twin, manifest), SIMULATED)

    def _base(self) -> TrainingSet:
        """What the ingestion of the first day gave; the raw file stays the same."""
        frame = self.scenario.population.draw(0, BASE_ROWS, self.rng)
        frame = frame.drop_duplicates(SIMULATED.keys[0]).sort_values(SIMULATED.keys[0], ignore_index=True)
        digest = hashlib.sha256(frame.to_csv().encode()).hexdigest()
        begun = datetime.fromtimestamp(self.clock.now, UTC)
        ingested = Ingested(
            run=f"{begun:%Y%m%dT%H%M%S%fZ}-{digest[:12]}",
            data_hash=digest,
            source="the simulator",
            rows=len(frame),
            quarantined={},
            event_timestamp=begun,
        )
        return TrainingSet(ingested, frame[list(SIMULATED.kept)])

    def _capture(self) -> Capture:
        def counted(outcome: str, rows: int) -> None:
            if outcome == "stored":
                self.model.count(metrics.CAPTURE_ROWS, rows)
            self.counts[f"rows {outcome}"] += rows

        self.clock.advance(0.001)  # the files of a server are named after the moment at which it starts
        return Capture(self.store, SIMULATED, self.environment.settings.serving, counted)

    def restart_model_server(self) -> None:
        """Replace one replica of the model server, which is told to end and writes what it holds."""
        self.captures[0].stop()
        self.captures[0].flush()
        self.captures[0] = self._capture()

    def serve(self, rows: pd.DataFrame) -> list[str]:
        """Score one request of each row's customer, capture it, and return the ids."""
        served = self.model.served
        if served.is_broken:
            self.model.count(metrics.PREDICTION_ERRORS, len(rows))
            self.counts["requests failed"] += len(rows)
            return []
        vectors = served.scorer.inputs(rows)
        scores = served.scorer.score(vectors)
        for counted in (metrics.PREDICTIONS, f"{metrics.PREDICTION_LATENCY}_count"):
            self.model.count(counted, len(rows))
        ids = [f"{int.from_bytes(self.rng.bytes(8)):016x}" for _ in range(len(rows))]
        for place, (request, key) in enumerate(zip(ids, rows[SIMULATED.keys[0]].tolist(), strict=True)):
            self.captures[place % len(self.captures)].add(
                Scored(
                    request_id=request,
                    at=self.clock.now,
                    alias="champion",
                    version=served.number,
                    keys=((key,),),
                    vectors=vectors[place : place + 1],
                    scores=scores[place : place + 1],
                )
            )
        for each in self.captures:
            each.flush()
        return ids

    def look_up(self) -> None:
        """One request by key, with the real check of the features' age."""
        try:
            self.lookup._checked(((1,),), self.lookup._read(((1,),)))
        except RequestError:
            self.counts["requests refused for stale features"] += 1
            return
        self.counts["requests answered by key"] += 1
        if self.online.age_days * 86_400 > SIMULATED.shortest_ttl.total_seconds():
            self.counts["stale answers"] += 1


@contextmanager
def simulated(platform: Platform) -> Iterator[None]:
    """Put clock and stand-ins in place."""
    with warnings.catch_warnings(action="ignore"):
        from evidently.core.report import Snapshot  # noqa: PLC0415  seconds of imports
        from evidently.metrics.column_statistics import ValueDriftCalculation  # noqa: PLC0415
        from evidently.presets import DataDriftPreset  # noqa: PLC0415

    written, looked = Store.write, Watch.look

    def look(window: Watch, elapsed: float) -> str | None:
        if elapsed > WATCH_PAUSE_SECONDS:
            platform.befall("in the watch window")
        return looked(window, elapsed)

    def write(store: Store, path: str, content: bytes) -> None:
        written(store, path, content)
        full = store.dataset(path)[0]
        os.utime(full, (platform.clock.now, platform.clock.now))

    def loop(_name: str, step: Callable[[], object], *, pause_seconds: float, **_: object) -> VirtualLoop:
        acting = platform.acting
        return VirtualLoop(platform.clock, lambda: acting is not None and acting.is_stalled, step, pause_seconds)

    logging.disable(logging.ERROR)  # outages and deaths are planned, and counted
    with ExitStack() as stack:
        put: Any = stack.enter_context
        stack.callback(logging.disable, logging.NOTSET)
        put(mock.patch.object(base_servers, "_TOLD_SECONDS", math.inf))
        put(installed(platform.clock))
        put(mock.patch.object(Store, "write", write))
        put(mock.patch.object(lease, "Loop", loop))
        put(mock.patch.object(lease, "BEAT_SECONDS", BEAT_SECONDS))
        put(mock.patch.object(check, "_handler", platform.gateway.handler))
        put(mock.patch.object(base_servers, "_answers", platform.http.answers))
        put(mock.patch.object(windows, "ingested_set", return_value=platform.base))
        put(mock.patch.object(worker, "preload", return_value=None))
        put(mock.patch.object(watch, "_PAUSE_SECONDS", WATCH_PAUSE_SECONDS))
        put(mock.patch.object(Watch, "look", look))
        put(mock.patch.object(ValueDriftCalculation, "_render", return_value=[]))
        put(mock.patch.object(DataDriftPreset, "render", return_value=[]))
        put(mock.patch.object(Snapshot, "save_html", lambda _snapshot, path: Path(path).write_text("no plots")))
        for module in (mlflow_api, prometheus, watch, policy, scrape):
            put(mock.patch.object(module, "httpx", platform.http))
        yield
