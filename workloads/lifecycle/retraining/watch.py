"""The watch window after a promotion: whether the new version is served, answers, and ranks as it did at the gate."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import httpx

from workloads.lifecycle.base import metrics
from workloads.lifecycle.base.environment import Environment
from workloads.lifecycle.base.errors import WorkloadError
from workloads.lifecycle.base.mlflow_api import MlflowApi
from workloads.lifecycle.base.prometheus import total
from workloads.lifecycle.base.servers import trust
from workloads.lifecycle.monitoring import outcomes
from workloads.lifecycle.monitoring.alerts import OUR_FAULT
from workloads.lifecycle.quality.measures import RANKING, RANKING_TITLES

_log = logging.getLogger(__name__)
_PAUSE_SECONDS = 1.0
_REQUEST_SECONDS = 2.0
_FAILURES = 3
"""Smoke predictions in a row that must fail before a release counts as failing."""

_MIN_REQUESTS = 20
"""Requests below which their share of errors says nothing."""

_LABELS_SECONDS = 30.0
"""Time between two looks at outcomes."""

_COUNT_SECONDS = 5.0
"""Time between two questions to Prometheus, which sees each server no more often."""


@dataclass(frozen=True)
class Counters:
    """Requests to all replicas of the model server; restarts and new replicas do not distort them."""

    answered: float
    failed: float

    @classmethod
    def read(cls, environment: Environment, seconds: float) -> "Counters":
        """Those of the last `seconds`, as Prometheus saw them; raises WorkloadError."""
        own = f'{metrics.LABEL_WORKLOAD}="{environment.definition.name}"'
        ours = f'{metrics.LABEL_REASON}=~"{OUR_FAULT}|not_ready"'
        answered, failed = (
            total(environment, f"sum(increase({series}[{max(seconds, 1):.0f}s]))")
            for series in (
                f"{metrics.PREDICTION_LATENCY}_count{{{own}}}",
                f"{metrics.PREDICTION_ERRORS}{{{own},{ours}}}",
            )
        )
        return cls(answered=answered, failed=failed)


class Watch:
    """Looks at one promoted version until the window is over; `reason` says why it must go back."""

    def __init__(self, environment: Environment, version: str) -> None:
        self._environment = environment
        self._settings = environment.settings.retraining
        self._version = version
        self._seen = False
        self._failures = 0
        self._labels_at = self._counted_at = 0.0

    def run(self, stopped: Callable[[], bool]) -> str | None:
        """Reason to go back, or None when the window passed (or the service stops: the next one watches again)."""
        begun = time.monotonic()
        while not stopped():
            elapsed = time.monotonic() - begun
            reason = self.look(elapsed)
            if reason is not None:
                return reason
            # A prediction that has just failed is looked at again, also when the window ends meanwhile.
            if self._seen and not self._failures and elapsed >= self._settings.watch_seconds:
                return self._erring(elapsed) or self._worse()
            time.sleep(_PAUSE_SECONDS)
        return None

    def look(self, elapsed: float) -> str | None:
        """One look, `elapsed` seconds after the promotion."""
        return self._not_answering(elapsed) or self._erring_now(elapsed) or self._worse_now(elapsed)

    def _not_answering(self, elapsed: float) -> str | None:
        answered = smoke(self._environment)
        if answered == self._version:
            self._seen, self._failures = True, 0
            return None
        wait = self._environment.settings.deployment.served_wait_seconds
        if not self._seen:
            return None if elapsed < wait else f"version {self._version} was not served within {wait:.0f} s"
        self._failures += 1
        if self._failures < _FAILURES:
            return None
        return f"{_FAILURES} predictions in a row failed or came from another version (last: {answered})"

    def _erring_now(self, elapsed: float) -> str | None:
        if elapsed - self._counted_at < _COUNT_SECONDS:
            return None
        self._counted_at = elapsed
        return self._erring(elapsed)

    def _erring(self, elapsed: float) -> str | None:
        """Whether requests since the promotion failed on our side; nothing while Prometheus is away."""
        try:
            counted = Counters.read(self._environment, elapsed)
        except WorkloadError as error:
            _log.warning("the requests to version %s are not counted: %s", self._version, error)
            return None  # the smoke prediction judges meanwhile
        requests = counted.failed + counted.answered
        if requests < _MIN_REQUESTS or counted.failed <= self._settings.watch_error_share * requests:
            return None
        return f"{counted.failed:.0f} of {requests:.0f} requests failed since the promotion"

    def _worse_now(self, elapsed: float) -> str | None:
        if elapsed - self._labels_at < _LABELS_SECONDS:
            return None
        self._labels_at = elapsed
        return self._worse()

    def _worse(self) -> str | None:
        """Compare the live ranking with the gate's; nothing without enough outcomes, or while a store is down."""
        try:
            found = outcomes.captured(self._environment, timedelta(seconds=self._settings.watch_seconds + 3600))
            live = outcomes.quality(self._environment, outcomes.labelled(self._environment, found), self._version)
            if live.auc is None:
                return None
            expected = ranking_at_gate(self._environment, self._version)
        except WorkloadError as error:
            _log.warning("the outcomes of version %s are not compared with the gate's: %s", self._version, error)
            return None
        if expected - live.auc <= self._settings.watch_auc_loss:
            return None
        name = RANKING_TITLES[self._environment.definition.problem]
        return f"live {name} {live.auc:.3f} on {live.rows} outcomes, {expected:.3f} at the gate"


def smoke(environment: Environment) -> str:
    """Version that answers the example, or what went wrong."""
    definition = environment.definition
    url = environment.need("model_url").rstrip("/") + ":predict"
    try:
        answer = httpx.post(
            url,
            json={"instances": [definition.example]},
            headers=environment.probe_headers,
            timeout=_REQUEST_SECONDS,
            verify=trust(),
        )
        predicted = answer.json()["predictions"][0] if answer.is_success else None
    except (httpx.HTTPError, ValueError, KeyError, IndexError) as error:
        return f"{type(error).__name__}: {error}"
    if not definition.is_answer(predicted):
        return f"status {answer.status_code}, prediction {predicted}"
    return str(answer.headers.get("x-model-version"))


def wait_until_served(environment: Environment, version: str, seconds: float) -> float:
    """Seconds until `version` answered; raises WorkloadError when it did not."""
    begun = time.monotonic()
    while (answered := smoke(environment)) != version:
        if time.monotonic() - begun > seconds:
            raise WorkloadError(f"version {version} did not answer within {seconds:.0f} s (last: {answered})")
        time.sleep(_PAUSE_SECONDS / 10)
    return time.monotonic() - begun


def ranking_at_gate(environment: Environment, version: str) -> float:
    """AUC or concordance of a version on its held-out rows, from its run; raises WorkloadError."""
    measure = f"test_{RANKING[environment.definition.problem]}"
    mlflow = MlflowApi.of(environment)
    made = mlflow.version(environment.definition.model_name, version)
    run = None if made is None else mlflow.run(made["run_id"])
    values = {item["key"]: float(item["value"]) for item in (run or {}).get("data", {}).get("metrics", ())}
    if measure not in values:
        raise WorkloadError(f"MLflow at {mlflow.url} has no {measure} of version {version}")
    return values[measure]
