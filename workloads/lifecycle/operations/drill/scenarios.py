"""What is done to the stack and asserted of it, hop by hop."""

import contextlib
import io
import math
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import httpx

from workloads.lifecycle.base import metrics
from workloads.lifecycle.base.errors import WorkloadError
from workloads.lifecycle.base.mlflow_api import RegistryDownError
from workloads.lifecycle.base.prometheus import PrometheusDownError
from workloads.lifecycle.operations.drill.hops import (
    BACK,
    CAPTURED,
    COMPUTED,
    DETECTED,
    FIRING,
    GATE,
    LIMITS,
    METRIC,
    PIPELINE,
    PROMOTED,
    RESOLVED,
    ROLLBACK_SECONDS,
    SERVED,
    WEBHOOK,
    HopBrokenError,
    Timeline,
    Wait,
)
from workloads.lifecycle.operations.drill.replay import Replay, replayed
from workloads.lifecycle.operations.drill.view import View
from workloads.lifecycle.retraining.client import OVER, Client
from workloads.lifecycle.schema import Shift
from workloads.lifecycle.workload import Workload

if TYPE_CHECKING:
    import pandas as pd

ROWS = 30_000
REQUEST_ROWS = 1_000
OUTCOME_ROWS = 10_000
BAD_RELEASE_ROWS = 1_000
POISONED_SHARE = 0.6
"""Requests that get each other's outcomes: their distribution stays and the champion still ranks them better than
chance, so that the plausibility checks of a labelled window pass them on and the gate must refuse."""

STEP = 0.25
"""Standard deviations by which numbers drift where the definition names no shift: a tenth is drift to Evidently, and a
half moves a champion's mean prediction so far that the labelled window is not believed (`retraining.max_rate_gap`)."""

Scenario = Literal["drift", "poisoned", "bad-release"]
SCENARIOS: dict[Scenario, str] = {
    "drift": "drift that a retrain can learn",
    "poisoned": "poisoned outcomes, nothing may be promoted",
    "bad-release": "a release that ranks live requests wrong, it must go back by itself",
}
LONGEST_FOR_SECONDS = 60
_SEED = 42
_POLL_SECONDS = 0.5
_QUICK_POLL_SECONDS = 0.1


class Drill:
    """One drill; `run` raises HopBrokenError at the first hop that breaks."""

    def __init__(
        self, workload: Workload, outputs: dict[str, str], client: Client, scenario: Scenario, *, rows: int = ROWS
    ) -> None:
        self._workload = workload
        self._client = client
        self._scenario = scenario
        self._rows = rows
        self._prefix = f"drill-{uuid.uuid4().hex[:12]}"
        self._view = View(workload, outputs, f"{self._prefix}-served")
        self._limits = LIMITS
        self.timeline = Timeline()

    def run(self) -> None:
        """Every hop, then everything back as it was; raises HopBrokenError."""
        before = self._ready()
        try:
            if self._scenario == "bad-release":
                self._bad_release(before)
            else:
                self._drift(before)
        except WorkloadError:
            self._clean_what_can_be(before)
            raise
        self._clean(before)

    def _ready(self) -> str:
        """The champion before the drill; raises WorkloadError when a drill cannot start here."""
        status = self._client.status()
        if not status["enabled"]:
            raise WorkloadError("this stack pins its model version (retraining.enabled is false): there is no loop")
        if status["running"] or status["queued"]:
            raise WorkloadError("a retrain runs or waits already; drill again when it is over")
        rule = self._rule()
        if rule["state"] != "inactive":
            raise WorkloadError(f"{metrics.ALERT_DATA_DRIFT} is {rule['state']} already: that is no drill")
        if rule["duration"] > LONGEST_FOR_SECONDS:
            raise WorkloadError(
                f"{metrics.ALERT_DATA_DRIFT} waits {rule['duration']:.0f} s on this stack, a drill at most "
                f"{LONGEST_FOR_SECONDS} s: bring the stack up with the short profile (`make drill` does)"
            )
        champion = str(status["champion"])
        self.timeline.say("start", f"{self._prefix}: {SCENARIOS[self._scenario]}; champion is version {champion}")
        return champion

    def _rule(self, alert: str = metrics.ALERT_DATA_DRIFT) -> dict[str, Any]:
        rule = self._view.rule(alert)
        if rule is None:
            raise HopBrokenError(f"{FIRING}: Prometheus has no rule {alert}")
        return rule

    def _drift(self, before: str) -> None:
        begun = time.time()
        known = self._reference()
        replay = replayed(known, self._workload, self._rows, _SEED)
        self._capture(replace(replay, rows=drifted(replay.rows, self._workload)))
        share = self._compute()
        self._metric(share)
        self._fire()
        retrain = self._webhook(begun)
        ended = self._pipeline(retrain)
        if self._scenario == "poisoned":
            self._refused(ended, before)
            self._send(_sampled(known, REQUEST_ROWS * 2), "calm")
            self._client.post("/strike", {"prefix": f"{self._prefix}-d"})
            self._check("calm requests again")
        else:
            self._promoted(ended, before)
        self._resolved()

    def _bad_release(self, before: str) -> None:
        rows = _sampled(self._reference(), BAD_RELEASE_ROWS)
        retrain = str(self._client.post("/retrain", {"reason": f"{self._prefix}: a bad release"})["retrain"])
        ended = self._pipeline(retrain)
        self._promoted(ended, before)
        self._ask(rows, "d")  # no wait until they are captured: the watch window has begun
        self._label(rows, mirrored(rows[self._workload.outcome.label]))
        self.timeline.say(CAPTURED, f"{len(rows)} rows, with outcomes that are the opposite of what was learnt")
        self._went_back(retrain, before)

    def _went_back(self, retrain: str, before: str) -> None:
        """The watch window must see the release for what it is, and bring the version before it back."""
        with self._within(DETECTED, lambda: f"retrain {retrain} is {self._retrain(retrain)['status']}") as wait:
            wait(lambda: bool(self._retrain(retrain)["detail"]), _QUICK_POLL_SECONDS)
        found = self._retrain(retrain)
        if found["status"] not in {"watching", "rolled_back"}:
            raise HopBrokenError(f"{DETECTED}: {found['status']}: {found['detail']}")
        self.timeline.say(DETECTED, found["detail"])
        with self._within(BACK, lambda: f"version {self._view.served()} answers, expected {before}") as wait:
            wait(lambda: self._view.served() == before, _QUICK_POLL_SECONDS)
        self.timeline.say(BACK, f"version {before} answers")
        alert = metrics.ALERT_RETRAIN_FAILED
        with self._within(FIRING, lambda: f"{alert} is {self._rule(alert)['state']}") as wait:
            wait(lambda: self._retrain(retrain)["status"] in OVER)
            wait(lambda: self._rule(alert)["state"] == "firing")
        self.timeline.say(FIRING, alert)
        ended = self._retrain(retrain)
        if ended["status"] != "rolled_back" or self._view.champion() != before:
            raise HopBrokenError(f"{BACK}: {ended['status']}: {ended['detail']}")

    def _retrain(self, retrain: str) -> dict[str, Any]:
        return dict(next(item for item in self._client.status()["recent"] if item["id"] == retrain))

    def _reference(self) -> "pd.DataFrame":
        """The champion's training rows."""
        import pandas as pd  # noqa: PLC0415

        frame = pd.read_parquet(io.BytesIO(self._client.get("/reference").content))
        return frame[frame[self._workload.outcome.label].notna()].reset_index(drop=True)

    def _capture(self, replay: Replay) -> None:
        """Send the rows of a replay, and report each outcome as soon as it is known there."""
        truth = replay.rows[self._workload.outcome.label]
        told = poisoned(truth) if self._scenario == "poisoned" else truth

        def report(start: int, stop: int) -> None:
            due = replay.due(start, stop)
            self._label(due, told[due.index])

        self._send(replay.rows, "d", report)
        self.timeline.say(CAPTURED, f"{replay.says}, drifted, with the outcomes that are known")

    def _send(self, rows: "pd.DataFrame", part: str, sent: Callable[[int, int], None] | None = None) -> None:
        """Ask for predictions, and wait until they are in the store."""
        stored = self._view.stored()
        self._ask(rows, part, sent)
        text = f"of {len(rows)} rows are in the store; is capture on, does the server reach it?"
        with self._within(CAPTURED, lambda: f"{self._view.stored() - stored:.0f} {text}") as wait:
            wait(lambda: self._view.stored() - stored >= len(rows))

    def _ask(self, rows: "pd.DataFrame", part: str, sent: Callable[[int, int], None] | None = None) -> None:
        """Ask for predictions of rows; `sent` is called after each request with the places of its rows."""
        for number, start in enumerate(range(0, len(rows), REQUEST_ROWS)):
            instances = vectors(rows.iloc[start : start + REQUEST_ROWS], self._workload)
            try:
                answer = self._view.predict(instances, f"{self._prefix}-{part}{number}")
            except httpx.HTTPError as error:
                raise HopBrokenError(f"{CAPTURED}: the model server does not answer: {error}") from error
            if answer.is_error:
                raise HopBrokenError(f"{CAPTURED}: a request got {answer.status_code}: {answer.text[:200]}")
            if sent is not None:
                sent(start, start + REQUEST_ROWS)

    def _label(self, rows: "pd.DataFrame", labels: "pd.Series[Any]") -> None:
        """Report outcomes of the requests of part `d`, whose rows the index numbers."""
        keys = rows[list(self._workload.keys)].astype(object).to_dict("records")
        number = int if self._workload.problem == "binary" else float
        outcomes = [
            {
                "request_id": f"{self._prefix}-d{index // REQUEST_ROWS}",
                "row": int(index % REQUEST_ROWS),
                "outcome": number(label),
                **of,
            }
            for index, label, of in zip(rows.index, labels, keys, strict=True)
        ]
        for start in range(0, len(outcomes), OUTCOME_ROWS):
            self._client.post("/outcomes", {"outcomes": outcomes[start : start + OUTCOME_ROWS]})

    def _compute(self) -> float:
        """As many checks as the rule asks for; returns the share of drifted columns."""
        wanted = int(self._client.status()["drift_checks"])
        with self._within(COMPUTED, lambda: f"last check: {self._client.status()['checks']['last']}"):
            for number in range(1, wanted + 1):
                found = self._check(f"check {number} of {wanted}")
                if found["drift"] is None:
                    raise HopBrokenError(f"{COMPUTED}: {found['rows']} captured rows are too few to measure drift")
        share = float(found["drift"]["share"])
        self.timeline.say(COMPUTED, f"{share:.0%} of the columns, {found['in_a_row']} checks in a row")
        if found["in_a_row"] < wanted:
            raise HopBrokenError(f"{COMPUTED}: drifted rows gave {found['drift']}, which is no drift")
        return share

    def _check(self, what: str) -> dict[str, Any]:
        """Run the drift job once; returns what it found."""
        finished = int(self._client.status()["checks"]["finished"])
        with self._within(COMPUTED, lambda: f"{what}: the drift job did not end") as wait:
            wait(lambda: bool(self._client.post("/check")["started"]))
            wait(lambda: self._client.status()["checks"]["finished"] > finished)
        status = self._client.status()
        if status["checks"]["last"]["exit_status"] != 0:
            raise HopBrokenError(f"{COMPUTED}: the drift job failed: {status['checks']['last']['line']}")
        return dict(status["latest_check"])

    def _metric(self, share: float) -> None:
        text = f"Prometheus has no {metrics.DATA_DRIFT_SCORE} of {share}: is the name right, is the gateway scraped?"
        with self._within(METRIC, lambda: text) as wait:
            wait(lambda: self._view.value(metrics.DATA_DRIFT_SCORE) == share)
            wait(lambda: (self._view.value(metrics.DRIFT_CHECKS_IN_A_ROW) or 0) >= 1)
        query = str(self._rule()["query"])
        for name in (metrics.DATA_DRIFT_SCORE, metrics.DRIFT_CHECKS_IN_A_ROW):
            if name not in query:
                raise HopBrokenError(f"{METRIC}: the rule {metrics.ALERT_DATA_DRIFT} does not ask for {name}: {query}")
        self.timeline.say(METRIC, f"{metrics.DATA_DRIFT_SCORE} {share} in Prometheus")

    def _fire(self) -> None:
        with self._within(FIRING, lambda: f"{metrics.ALERT_DATA_DRIFT} is {self._rule()['state']}") as wait:
            wait(lambda: self._rule()["state"] == "firing")
        self.timeline.say(FIRING, metrics.ALERT_DATA_DRIFT)

    def _webhook(self, begun: float) -> str:
        """Id of the retrain that the alert started."""
        found: dict[str, Any] = {}

        def came() -> bool:
            found.update(
                next(
                    (
                        item
                        for item in self._client.status()["recent"]
                        if item["from_alert"] and item["created_at"] >= begun
                    ),
                    {},
                )
            )
            return bool(found)

        with self._within(WEBHOOK, self._view.why_no_webhook) as wait:
            wait(came)
        self.timeline.say(WEBHOOK, f"retrain {found['id']}: {found['reason']}")
        return str(found["id"])

    def _pipeline(self, retrain: str) -> dict[str, Any]:
        """The retrain once the pipeline is through: watched, or over."""
        found: dict[str, Any] = {}

        def through() -> bool:
            found.update(self._retrain(retrain))
            return found["status"] in {*OVER, "watching"}

        with self._within(PIPELINE, lambda: f"retrain {retrain} is {found.get('status')}") as wait:
            wait(through)
        if found["status"] in {"failed", "superseded"}:
            raise HopBrokenError(f"{PIPELINE}: {found['status']}: {found['detail']}")
        learnt = (
            f"on labelled window {found['labelled_window'][:12]}" if found["labelled_window"] else "on ingested data"
        )
        self.timeline.say(PIPELINE, f"attempt {found['attempts']}, {learnt}")
        return found

    def _promoted(self, found: dict[str, Any], before: str) -> None:
        if found["status"] == "refused":
            raise HopBrokenError(f"{GATE}: {found['detail']}")
        self.timeline.say(GATE, "allowed by the release policy")
        version = str(found["version_after"])
        with self._within(PROMOTED, lambda: f"champion is version {self._view.champion()}, expected {version}") as wait:
            wait(lambda: self._view.champion() == version != before)
        self.timeline.say(PROMOTED, f"version {version}")
        with self._within(SERVED, lambda: f"version {self._view.served()} answers, expected {version}") as wait:
            wait(lambda: self._view.served() == version)
        self.timeline.say(SERVED, f"version {version} answers")

    def _refused(self, found: dict[str, Any], before: str) -> None:
        if found["status"] != "refused":
            raise HopBrokenError(f"{GATE}: poisoned data was not refused: {found['status']} {found['detail']}")
        self.timeline.say(GATE, found["detail"].partition(" (log: ")[0])
        if self._view.champion() != before or self._view.served() != before:
            raise HopBrokenError(f"{PROMOTED}: version {self._view.champion()} was promoted on poisoned data")
        self.timeline.say(PROMOTED, f"nothing: version {before} is champion and answers")

    def _resolved(self) -> None:
        def quiet() -> bool:
            return bool(self._rule()["state"] == "inactive")

        with self._within(RESOLVED, lambda: f"{metrics.ALERT_DATA_DRIFT} is {self._rule()['state']}") as wait:
            wait(quiet)
            wait(lambda: not self._client.status()["running"])
        self.timeline.say(RESOLVED, f"drift is {self._view.value(metrics.DATA_DRIFT_SCORE)}")

    def _clean_what_can_be(self, before: str) -> None:
        """After a broken hop: what cannot be put back is said, and does not hide the hop."""
        try:
            self._clean(before)
            if COMPUTED in self.timeline.hops:
                self._check("without the drill's requests")
                self._resolved()
        except (WorkloadError, httpx.HTTPError) as error:
            print(f"the drill's traces are not all gone: {error}", flush=True)

    def _clean(self, before: str) -> None:
        """The drill's requests no longer count, and the version before it serves."""
        self._client.post("/strike", {"prefix": self._prefix})
        if self._view.champion() == before:
            return
        begun = time.monotonic()
        done = self._client.post("/rollback")
        seconds = time.monotonic() - begun
        if str(done.get("version")) != before or seconds > ROLLBACK_SECONDS:
            raise HopBrokenError(f"{BACK}: version {done.get('version')} after {seconds:.1f} s, expected {before}")
        self.timeline.say(BACK, f"version {before} answered {seconds:.1f} s after the request")

    @contextlib.contextmanager
    def _within(self, hop: str, why: Callable[[], str]) -> Iterator[Wait]:
        """A way to wait that ends with the hop's name and `why()` once its time is over."""
        deadline = time.monotonic() + self._limits[hop]

        def wait(reached: Callable[[], bool], pause: float = 0.0) -> None:
            while not reached():
                if time.monotonic() > deadline:
                    raise HopBrokenError(f"{hop}: not within {self._limits[hop]:.0f} s; {why()}")
                time.sleep(pause or _POLL_SECONDS)

        try:
            yield wait
        except (PrometheusDownError, RegistryDownError, httpx.HTTPError, ValueError, KeyError) as error:
            raise HopBrokenError(f"{hop}: {type(error).__name__}: {error}") from error


def _sampled(known: "pd.DataFrame", count: int) -> "pd.DataFrame":
    return known.sample(min(count, len(known)), random_state=_SEED).reset_index(drop=True)


def drifted(rows: "pd.DataFrame", workload: Workload) -> "pd.DataFrame":
    """The same entities in a world with other numbers, in the same order, so that a retrain can learn it."""
    shifts = workload.drill or [
        Shift(feature=feature.name, offset=_step(rows[feature.name], whole=feature.type == "integer"))
        for feature in workload.inputs
        if feature.type != "string"
    ]
    known = {feature.name: feature for feature in workload.inputs}
    return rows.assign(
        **{
            # The server refuses what is outside the bounds.
            shift.feature: _moved(rows[shift.feature], shift).clip(
                known[shift.feature].lowest, known[shift.feature].highest
            )
            for shift in shifts
        }
    )


def _moved(values: "pd.Series[Any]", shift: Shift) -> "pd.Series[Any]":
    offset = int(shift.offset) if shift.offset == int(shift.offset) else shift.offset  # an integer stays one
    return (values if shift.factor == 1 else values * shift.factor) + offset


def _step(values: "pd.Series[Any]", *, whole: bool) -> float:
    """`STEP` standard deviations of the known values; rounded up for integers."""
    step = STEP * float(values.std())
    return 0.0 if math.isnan(step) else float(math.ceil(step)) if whole else step


def vectors(rows: "pd.DataFrame", workload: Workload) -> list[list[Any]]:
    """The rows as vectors of requests; a missing value is null."""
    if workload.is_numeric:
        numbers: list[list[Any]] = rows[list(workload.features)].to_numpy(float).tolist()
        return numbers
    found = rows[list(workload.features)]
    known = found.notna().to_numpy()
    return [
        [value if there else None for value, there in zip(row, which, strict=True)]
        for row, which in zip(found.astype(object).to_numpy().tolist(), known.tolist(), strict=True)
    ]


def mirrored(truth: "pd.Series[Any]") -> "pd.Series[Any]":
    """Outcomes in the opposite order: the least becomes the greatest."""
    opposite: pd.Series[Any] = truth.max() + truth.min() - truth
    return opposite


def poisoned(truth: "pd.Series[Any]") -> "pd.Series[Any]":
    """Outcomes of which a seeded share belongs to somebody else."""
    lies = truth.sample(frac=POISONED_SHARE, random_state=_SEED)
    mixed: pd.Series[Any] = truth.copy()
    mixed.loc[lies.index] = lies.sample(frac=1, random_state=_SEED + 1).to_numpy()
    return mixed
