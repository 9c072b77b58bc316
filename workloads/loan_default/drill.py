"""Fire drill on a running stack: drifted requests go in, and every hop of the loop must follow within its time.

Drives only what anybody can reach: the model server, the retraining service, Prometheus, Alertmanager, MLflow. The
rules, routes and steps are the stack's own; with `--poisoned` a third of the outcomes lie and nothing may be promoted.
Afterwards the drill's requests no longer count and the version before the drill serves again.
"""

import argparse
import contextlib
import io
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from workloads.loan_default import ENTITY, FEATURES, LABEL, MODEL_NAME, metrics
from workloads.loan_default.errors import WorkloadError, run_command
from workloads.loan_default.retraining.client import OVER, Client, add_arguments, connect, need

if TYPE_CHECKING:
    import pandas as pd

ROWS = 30_000
REQUEST_ROWS = 1_000
OUTCOME_ROWS = 10_000
INCOME_FACTOR, MORE_ACCOUNTS = 1.6, 1
"""The drift: an inflation, and one more account for everybody. Rankings stay, so that a retrain can learn it."""

POISONED_SHARE = 0.3
"""Outcomes that lie: too few for the plausibility check of a labelled window, enough for the gate."""

LONGEST_FOR_SECONDS = 60
ROLLBACK_SECONDS = 10.0
_SEED = 42
_POLL_SECONDS = 0.5
_REQUEST_SECONDS = 30.0

CAPTURED, COMPUTED, METRIC, FIRING = "captured", "drift computed", "metric", "alert firing"
WEBHOOK, PIPELINE, GATE, PROMOTED, SERVED = "webhook", "pipeline", "gate", "promoted", "served"
RESOLVED, BACK = "alert resolved", "rolled back"
LIMITS = {
    CAPTURED: 90.0,
    COMPUTED: 150.0,
    METRIC: 45.0,
    FIRING: 120.0,
    WEBHOOK: 60.0,
    PIPELINE: 300.0,
    GATE: 5.0,
    PROMOTED: 10.0,
    SERVED: 30.0,
    RESOLVED: 150.0,
    BACK: ROLLBACK_SECONDS,
}
"""Seconds that each hop may take."""


class HopBrokenError(WorkloadError):
    """A hop did not follow in time; the text begins with its name."""


@dataclass
class Timeline:
    """What happened when, printed as it happens."""

    begun: float = field(default_factory=time.monotonic)
    hops: dict[str, float] = field(default_factory=dict)
    """Seconds since the start, by hop."""

    def say(self, hop: str, text: str) -> None:
        """Note the end of a hop."""
        at = time.monotonic() - self.begun
        self.hops[hop] = at
        print(f"{at:7.1f} s  {hop:<15} {text}", flush=True)


class Drill:
    """One drill; `run` raises HopBrokenError at the first hop that breaks."""

    def __init__(self, outputs: dict[str, str], client: Client, *, poisoned: bool, rows: int = ROWS) -> None:
        self._outputs = outputs
        self._client = client
        self._poisoned = poisoned
        self._rows = rows
        self._prefix = f"drill-{uuid.uuid4().hex[:12]}"
        self._http = httpx.Client(timeout=_REQUEST_SECONDS)
        self._limits = LIMITS
        self.timeline = Timeline()

    def run(self) -> None:
        """Every hop, then everything back as it was; raises HopBrokenError."""
        before = self._ready()
        try:
            self._drill(before)
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
        kind = "poisoned outcomes, nothing may be promoted" if self._poisoned else "drift that a retrain can learn"
        self.timeline.say("start", f"{self._prefix}: {kind}; champion is version {champion}")
        return champion

    def _rule(self) -> dict[str, Any]:
        groups = self._prometheus("/api/v1/rules")["groups"]
        for group in groups:
            for rule in group["rules"]:
                if rule["name"] == metrics.ALERT_DATA_DRIFT:
                    return dict(rule)
        raise HopBrokenError(f"{FIRING}: Prometheus has no rule {metrics.ALERT_DATA_DRIFT}")

    def _drill(self, before: str) -> None:
        begun = time.time()
        rows = self._reference()
        self._capture(drifted(rows))
        share = self._compute()
        self._metric(share)
        self._fire()
        retrain = self._webhook(begun)
        ended = self._pipeline(retrain)
        if self._poisoned:
            self._refused(ended, before)
            self._send(rows.head(REQUEST_ROWS * 2), "calm")
            self._client.post("/strike", {"prefix": f"{self._prefix}-d"})
            self._check("calm requests again")
        else:
            self._promoted(ended, before)
        self._resolved()

    def _reference(self) -> "pd.DataFrame":
        import pandas as pd  # noqa: PLC0415

        frame = pd.read_parquet(io.BytesIO(self._client.get("/reference").content))
        return frame.sample(min(self._rows, len(frame)), random_state=_SEED).reset_index(drop=True)

    def _capture(self, rows: "pd.DataFrame") -> None:
        self._send(rows, "d")
        self._label(rows)
        self.timeline.say(CAPTURED, f"{len(rows)} drifted rows, with outcomes")

    def _send(self, rows: "pd.DataFrame", part: str) -> None:
        """Ask for predictions, and wait until they are in the store."""
        stored = self._stored()
        self._ask(rows, part)
        text = f"of {len(rows)} rows are in the store; is capture on, does the server reach it?"
        with self._within(CAPTURED, lambda: f"{self._stored() - stored:.0f} {text}") as wait:
            wait(lambda: self._stored() - stored >= len(rows))

    def _ask(self, rows: "pd.DataFrame", part: str) -> None:
        url = need(self._outputs, "prediction_url")
        for number, start in enumerate(range(0, len(rows), REQUEST_ROWS)):
            body = {"instances": rows[list(FEATURES)].iloc[start : start + REQUEST_ROWS].to_numpy(float).tolist()}
            try:
                answer = self._http.post(url, json=body, headers={"x-request-id": f"{self._prefix}-{part}{number}"})
            except httpx.HTTPError as error:
                raise HopBrokenError(f"{CAPTURED}: the model server does not answer: {error}") from error
            if answer.is_error:
                raise HopBrokenError(f"{CAPTURED}: a request got {answer.status_code}: {answer.text[:200]}")

    def _label(self, rows: "pd.DataFrame") -> None:
        labels = poisoned(rows) if self._poisoned else rows[LABEL]
        outcomes = [
            {
                "request_id": f"{self._prefix}-d{index // REQUEST_ROWS}",
                "row": index % REQUEST_ROWS,
                "outcome": int(label),
                ENTITY: int(customer),
            }
            for index, (label, customer) in enumerate(zip(labels, rows[ENTITY], strict=True))
        ]
        for start in range(0, len(outcomes), OUTCOME_ROWS):
            self._client.post("/outcomes", {"outcomes": outcomes[start : start + OUTCOME_ROWS]})

    def _stored(self) -> float:
        url = httpx.URL(need(self._outputs, "model_url")).copy_with(path="/metrics")
        text = self._http.get(url).text
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == metrics.CAPTURE_ROWS and sample.labels.get(metrics.LABEL_OUTCOME) == "stored"
        )

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
            wait(lambda: self._value(metrics.DATA_DRIFT_SCORE) == share)
            wait(lambda: (self._value(metrics.DRIFT_CHECKS_IN_A_ROW) or 0) >= 1)
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

        with self._within(WEBHOOK, self._why_no_webhook) as wait:
            wait(came)
        self.timeline.say(WEBHOOK, f"retrain {found['id']}: {found['reason']}")
        return str(found["id"])

    def _why_no_webhook(self) -> str:
        """What became of the alert between Alertmanager and the ledger."""
        url = need(self._outputs, "alertmanager_url").rstrip("/")
        try:
            groups = self._http.get(f"{url}/api/v2/alerts/groups").json()
        except (httpx.HTTPError, ValueError) as error:
            return f"Alertmanager at {url} does not answer: {error}"
        receivers = {
            group["receiver"]["name"]
            for group in groups
            for alert in group["alerts"]
            if alert["labels"]["alertname"] == metrics.ALERT_DATA_DRIFT
        }
        if not receivers:
            return "Prometheus fires, Alertmanager knows nothing of it"
        where = f"Alertmanager sends it to {', '.join(sorted(receivers))}"
        return f"{where}; the retraining service counted {self._received() or 'no alert at all'}"

    def _received(self) -> str:
        url = need(self._outputs, "retrain_url").removesuffix("/retrain") + "/metrics"
        counted = {
            sample.labels[metrics.LABEL_OUTCOME]: sample.value
            for family in text_string_to_metric_families(self._http.get(url).text)
            for sample in family.samples
            if sample.name == metrics.ALERTS_RECEIVED and sample.value
        }
        return ", ".join(f"{outcome} {count:.0f}" for outcome, count in sorted(counted.items()))

    def _pipeline(self, retrain: str) -> dict[str, Any]:
        """The retrain once the pipeline is through: watched, or over."""
        found: dict[str, Any] = {}

        def through() -> bool:
            found.update(next(item for item in self._client.status()["recent"] if item["id"] == retrain))
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
        with self._within(PROMOTED, lambda: f"champion is version {self._champion()}, expected {version}") as wait:
            wait(lambda: self._champion() == version != before)
        self.timeline.say(PROMOTED, f"version {version}, trained on the drifted requests")
        with self._within(SERVED, lambda: f"version {self._served()} answers, expected {version}") as wait:
            wait(lambda: self._served() == version)
        self.timeline.say(SERVED, f"version {version} answers")

    def _refused(self, found: dict[str, Any], before: str) -> None:
        if found["status"] != "refused":
            raise HopBrokenError(f"{GATE}: poisoned data was not refused: {found['status']} {found['detail']}")
        self.timeline.say(GATE, found["detail"].partition(" (log: ")[0])
        if self._champion() != before or self._served() != before:
            raise HopBrokenError(f"{PROMOTED}: version {self._champion()} was promoted on poisoned data")
        self.timeline.say(PROMOTED, f"nothing: version {before} is champion and answers")

    def _resolved(self) -> None:
        def quiet() -> bool:
            return bool(self._rule()["state"] == "inactive")

        with self._within(RESOLVED, lambda: f"{metrics.ALERT_DATA_DRIFT} is {self._rule()['state']}") as wait:
            wait(quiet)
            wait(lambda: not self._client.status()["running"])
        self.timeline.say(RESOLVED, f"drift is {self._value(metrics.DATA_DRIFT_SCORE)}")

    def _clean_what_can_be(self, before: str) -> None:
        """After a broken hop: what cannot be put back is said, and does not hide the hop."""
        try:
            self._clean(before)
        except WorkloadError as error:
            print(f"the drill's traces are not all gone: {error}", flush=True)

    def _clean(self, before: str) -> None:
        """The drill's requests no longer count, and the version before it serves."""
        self._client.post("/strike", {"prefix": self._prefix})
        if self._champion() == before:
            return
        begun = time.monotonic()
        done = self._client.post("/rollback")
        seconds = time.monotonic() - begun
        if str(done.get("version")) != before or seconds > ROLLBACK_SECONDS:
            raise HopBrokenError(f"{BACK}: version {done.get('version')} after {seconds:.1f} s, expected {before}")
        self.timeline.say(BACK, f"version {before} answered {seconds:.1f} s after the request")

    def _champion(self) -> str:
        url = need(self._outputs, "mlflow_url").rstrip("/") + "/api/2.0/mlflow/registered-models/alias"
        found = self._http.get(url, params={"name": MODEL_NAME, "alias": "champion"}).json()
        return str(found.get("model_version", {}).get("version"))

    def _served(self) -> str:
        answer = self._http.post(
            need(self._outputs, "prediction_url"),
            json={"instances": [[45, 72000, 680, 3]]},
            headers={"x-request-id": f"{self._prefix}-served"},
        )
        return str(answer.headers.get("x-model-version"))

    def _value(self, name: str) -> float | None:
        found = self._prometheus("/api/v1/query", query=name)["result"]
        return float(found[0]["value"][1]) if found else None

    def _prometheus(self, path: str, **query: str) -> dict[str, Any]:
        url = need(self._outputs, "prometheus_url").rstrip("/") + path
        return dict(self._http.get(url, params=query).raise_for_status().json()["data"])

    @contextlib.contextmanager
    def _within(self, hop: str, why: Callable[[], str]) -> Iterator[Callable[[Callable[[], bool]], None]]:
        """A way to wait that ends with the hop's name and `why()` once its time is over."""
        deadline = time.monotonic() + self._limits[hop]

        def wait(reached: Callable[[], bool]) -> None:
            while not reached():
                if time.monotonic() > deadline:
                    raise HopBrokenError(f"{hop}: not within {self._limits[hop]:.0f} s; {why()}")
                time.sleep(_POLL_SECONDS)

        try:
            yield wait
        except (httpx.HTTPError, ValueError, KeyError) as error:
            raise HopBrokenError(f"{hop}: {type(error).__name__}: {error}") from error


def drifted(rows: "pd.DataFrame") -> "pd.DataFrame":
    """The same customers in a world with other numbers."""
    return rows.assign(Income=rows["Income"] * INCOME_FACTOR, NumOpenAccounts=rows["NumOpenAccounts"] + MORE_ACCOUNTS)


def poisoned(rows: "pd.DataFrame") -> "pd.Series[int]":
    """Outcomes of which a seeded share is turned around."""
    lies = rows[LABEL].sample(frac=POISONED_SHARE, random_state=_SEED).index
    truth: pd.Series[int] = rows[LABEL].copy()
    truth.loc[lies] = 1 - truth.loc[lies]
    return truth


def main() -> None:
    """Command: one drill; exit status 1 and the broken hop's name when the loop does not close."""
    parser = argparse.ArgumentParser(prog="python -m workloads.loan_default.drill", description=__doc__)
    parser.add_argument("--poisoned", action="store_true", help="lie about outcomes; nothing may be promoted")
    parser.add_argument("--rows", type=int, default=ROWS, help="drifted rows to send (default: %(default)s)")
    add_arguments(parser)
    arguments = parser.parse_args()
    outputs, client = connect(arguments)
    drill = Drill(outputs, client, poisoned=arguments.poisoned, rows=arguments.rows)
    drill.run()
    print(f"the loop closed in {time.monotonic() - drill.timeline.begun:.0f} s")


if __name__ == "__main__":
    run_command(main)
