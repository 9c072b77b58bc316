"""The HTTP side: Alertmanager's webhook, a person's requests, outcomes, and the latest drift report.

Any replica answers any request: what an answer says is in the ledger, the registry or the artifact store. Only two
things are a replica's own: the champion's version, which each asks for every second, and the counter of alerts, which
Prometheus sums up.
Everything that changes something asks for a bearer token of the right scope, compared in constant time before a byte
of the body is read. Taking an alert costs one look into the ledger: the champion's version is known before it comes.
"""

import hmac
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Literal

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, generate_latest
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from workloads.lifecycle.base import metrics
from workloads.lifecycle.base.environment import Environment
from workloads.lifecycle.base.errors import DataError, GateError, WorkloadError
from workloads.lifecycle.base.exposition import shown
from workloads.lifecycle.base.loops import COLLECTORS, Loops
from workloads.lifecycle.base.store import Store
from workloads.lifecycle.monitoring import check, outcomes
from workloads.lifecycle.registry.audit_entry import Action
from workloads.lifecycle.retraining.audited import Audited, Told
from workloads.lifecycle.retraining.bearer import Former, Scope
from workloads.lifecycle.retraining.bodies import Refusal, json_of, read_body, valid
from workloads.lifecycle.retraining.ledger import STATUSES, Ledger
from workloads.lifecycle.retraining.signer import SIGNATURES
from workloads.lifecycle.training import reference
from workloads.lifecycle.training.bundle import BundleError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from workloads.lifecycle.retraining.challenges import Challenges
    from workloads.lifecycle.retraining.champion import ChampionAlias
    from workloads.lifecycle.retraining.checks import Checks
    from workloads.lifecycle.retraining.worker import ChampionWatch

MAX_BODY_BYTES = 65_536
MAX_OUTCOMES_BYTES = 8 * 1_048_576
_AHEAD_SECONDS = 300.0
"""How far another machine's clock may be ahead."""

OPERATORS: tuple[Scope, ...] = ("operator",)
FEEDERS: tuple[Scope, ...] = ("operator", "outcomes")
RELEASES: tuple[Scope, ...] = ("release",)
READERS: tuple[Scope, ...] = ("operator", "viewer")
_SHOWN = 20
_log = logging.getLogger(__name__)

ALERT_OUTCOMES = (
    *("accepted", "duplicate", "cooldown", "queue_full", "resolved", "past", "other_alert", "alert_only"),
    *("unknown_model", "malformed", "unauthorized"),
)
"""Every value of the label `outcome`, counted from 0 on."""


class Alert(BaseModel):
    """The part of one alert that decides; Alertmanager sends more."""

    model_config = ConfigDict(extra="ignore", frozen=True, use_attribute_docstrings=True)

    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    fingerprint: Annotated[str, Field(pattern=r"^[0-9a-f]{1,64}$")]
    """Alertmanager's hash of the labels."""

    started: Annotated[AwareDatetime, Field(alias="startsAt")]
    ended: Annotated[AwareDatetime | None, Field(alias="endsAt")] = None


class Delivery(BaseModel):
    """Alertmanager's webhook body, version 4."""

    model_config = ConfigDict(extra="ignore", frozen=True, use_attribute_docstrings=True)

    version: Literal["4"]
    alerts: Annotated[list[Alert], Field(min_length=1, max_length=1_000)]


class ByHand(BaseModel):
    """A person's request."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    reason: Annotated[str, Field(min_length=1, max_length=400)]
    """Why; kept in the ledger."""


class Strike(BaseModel):
    """Requests that shall not count."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    prefix: Annotated[str, Field(min_length=outcomes.MIN_PREFIX, max_length=64)]
    """Beginning of their ids."""


class ToSign(BaseModel):
    """A run whose version is to be judged and signed."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    run_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$")]


@dataclass(frozen=True)
class Parts:
    """What the service is made of."""

    environment: Environment
    ledger: Ledger
    champion: "ChampionWatch"
    alias: "ChampionAlias"
    checks: "Checks"
    tokens: Mapping[str, Scope]
    """As `bearer.tokens` gives them."""
    sign: Callable[[str], str]
    """Judges and signs a run's version; returns the version."""
    stop: Callable[[], None]
    """Called when the server shuts down."""

    former: Former = field(default_factory=Former)
    """Tokens before a rotation, which count for a time."""

    challenges: "Challenges | None" = None
    """Of candidates; None where each is promoted directly."""

    loops: Loops = field(default_factory=Loops)
    """The loops without which the service does nothing: it is live while none of them is broken."""


class Service:
    """The endpoints, and what this replica counts."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._settings = parts.environment.settings.retraining
        self.audited = Audited(parts.environment)
        self.registry = CollectorRegistry()
        self._received = Counter(
            metrics.ALERTS_RECEIVED.removesuffix("_total"), "Alerts", [metrics.LABEL_OUTCOME], registry=self.registry
        )
        for outcome in ALERT_OUTCOMES:
            self._received.labels(outcome)
        for collector in (*COLLECTORS, SIGNATURES):
            self.registry.register(collector)
        self._of_ledger = CollectorRegistry()
        self._retrains = Gauge(metrics.RETRAINS, "Retrains", [metrics.LABEL_STATUS], registry=self._of_ledger)
        self._failed = Gauge(metrics.LAST_RETRAIN_FAILED, "Last retrain failed", registry=self._of_ledger)

    def app(self) -> Starlette:
        """The ASGI application."""

        @asynccontextmanager
        async def lifespan(_app: Starlette) -> "AsyncIterator[None]":
            yield
            self._parts.stop()

        noting = self.audited.noting
        routes = [
            Route("/healthz", self.health),
            Route("/readyz", self.ready),
            Route("/metrics", self.metrics),
            Route("/drift_report.html", self.report),
            Route("/status", self._guarded(self.status, scopes=READERS), methods=["GET"]),
            Route("/drift", self._guarded(self.drift, scopes=READERS), methods=["GET"]),
            Route("/reference", self._guarded(self.snapshot), methods=["GET"]),
            Route("/audit", self._guarded(self.audited.log), methods=["GET"]),
            Route("/audit", self._guarded(self.tell), methods=["POST"]),
            Route(
                "/retrain",
                self._guarded(noting(Action.RETRAIN, self.retrain), scopes=("operator", "alerts", "schedule")),
                methods=["POST"],
            ),
            Route("/rollback", self._guarded(noting(Action.ROLLBACK, self.rollback)), methods=["POST"]),
            Route("/sign", self._guarded(self.sign, scopes=RELEASES), methods=["POST"]),
            Route("/check", self._guarded(self.check), methods=["POST"]),
            Route(
                "/outcomes",
                self._guarded(noting(Action.OUTCOMES_FED, self.outcomes), MAX_OUTCOMES_BYTES, FEEDERS),
                methods=["POST"],
            ),
            Route("/strike", self._guarded(noting(Action.OUTCOMES_STRUCK, self.strike)), methods=["POST"]),
        ]
        return Starlette(routes=routes, lifespan=lifespan)

    async def health(self, _request: Request) -> Response:
        """200 while no loop is dead or stuck: only then a restart helps."""
        if broken := self._parts.loops.broken():
            return _error(HTTPStatus.SERVICE_UNAVAILABLE, "; ".join(broken))
        return JSONResponse({"status": "ok"})

    async def ready(self, _request: Request) -> Response:
        """200 while the ledger's database answers."""
        if await run_in_threadpool(self._parts.ledger.answers):
            return JSONResponse({"status": "ok"})
        return _error(HTTPStatus.SERVICE_UNAVAILABLE, "the ledger (RETRAIN_DATABASE) does not answer")

    async def metrics(self, _request: Request) -> Response:
        """Prometheus text; what the ledger counts is absent while its database does not answer."""
        workload = self._parts.environment.definition
        text = generate_latest(shown(self.registry, workload))
        try:
            counts = await run_in_threadpool(self._parts.ledger.counts)
            failed = await run_in_threadpool(self._parts.ledger.last_failed)
        except WorkloadError as error:
            _log.warning("%s", error)
        else:
            for status in STATUSES:
                self._retrains.labels(status).set(counts[status])
            self._failed.set(int(failed))
            text += generate_latest(shown(self._of_ledger, workload))
        return Response(text, media_type=CONTENT_TYPE_LATEST)

    async def report(self, _request: Request) -> Response:
        """The latest drift report."""
        try:
            content = await run_in_threadpool(self._report)
        except WorkloadError as error:
            return _error(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
        if content is None:
            return _error(HTTPStatus.NOT_FOUND, "no drift was measured yet; POST /check measures it now")
        return HTMLResponse(content)

    def _report(self) -> bytes | None:
        found = check.latest(self._parts.environment)
        if found is None or found.report is None:
            return None
        return Store.open(self._parts.environment).read(found.report)

    async def status(self, _request: Request, _body: bytes) -> Response:
        """The ledger, for people."""
        return JSONResponse(await run_in_threadpool(self._status))

    def _status(self) -> dict[str, Any]:
        ledger = self._parts.ledger
        running, queued = ledger.running(), ledger.queued()
        found, trouble = None, None
        try:
            found = check.latest(self._parts.environment)
        except WorkloadError as error:  # a store that is down is when people ask
            trouble = str(error)
        return {
            "champion": self._parts.champion.version,
            "enabled": self._settings.enabled,
            "drift_checks": self._parts.environment.settings.alerts.drift_checks,
            "running": asdict(running) if running else None,
            "queued": asdict(queued) if queued else None,
            "recent": [asdict(item) for item in ledger.recent(_SHOWN)],
            "checks": self._parts.checks.status(),
            "latest_check": found.model_dump(mode="json") if found else None,
            "trouble": trouble,
        }

    async def drift(self, _request: Request, _body: bytes) -> Response:
        """The latest check and the distributions of each feature, reference beside current; both null before it."""

        def read() -> dict[str, Any]:
            checked = check.latest(self._parts.environment)
            found = None if checked is None else check.latest_distributions(self._parts.environment, checked)
            return {
                "check": None if checked is None else checked.model_dump(mode="json"),
                "features": {} if found is None else found.model_dump(mode="json")["features"],
            }

        return JSONResponse(await run_in_threadpool(read))

    async def snapshot(self, _request: Request, _body: bytes) -> Response:
        """The champion's training rows, the drift reference, as Parquet."""
        environment = self._parts.environment

        def read() -> bytes | None:
            run = reference.champion(environment).run_id
            return Store.open(environment).read(reference.key(run))

        content = await run_in_threadpool(read)
        if content is None:
            raise Refusal(HTTPStatus.NOT_FOUND, "the champion's training rows were not kept; retrain")
        return Response(content, media_type="application/vnd.apache.parquet")

    async def retrain(self, request: Request, body: bytes) -> Response:
        """Alertmanager's delivery, or the reason of a person or a timer."""
        given = json_of(body)
        by_hand = isinstance(given, dict) and set(given) == {"reason"}
        _require(request, ("operator", "schedule" if by_hand else "alerts"))
        version = self._parts.champion.version
        if version is None:
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "the registry has not answered yet; try again")
        if by_hand:
            return await self._by_hand(valid(ByHand, given), version, request.state.scope == "schedule")
        alerts = valid(Delivery, given).alerts
        self._known_model(alerts)
        taken = [{"fingerprint": alert.fingerprint, **await self._take(alert, version)} for alert in alerts]
        return JSONResponse({"alerts": taken})

    async def _by_hand(self, request: ByHand, version: str, is_scheduled: bool) -> Response:
        outcome, retrain = await run_in_threadpool(
            self._parts.ledger.submit,
            alert="",
            reason=request.reason,
            version=version,
            cooldown_seconds=0,
            is_scheduled=is_scheduled,
        )
        status = HTTPStatus.ACCEPTED if outcome == "accepted" else HTTPStatus.CONFLICT
        return JSONResponse({"outcome": outcome, "retrain": retrain}, status)

    def _known_model(self, alerts: list[Alert]) -> None:
        model = self._parts.environment.definition.model_name
        wrong = [found for alert in alerts if (found := alert.labels.get(metrics.LABEL_MODEL, "")) != model]
        if wrong:
            raise Refusal(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                f"label model={wrong[0]!r:.80} is not {model!r}: no alert of this delivery was taken",
                "unknown_model",
            )

    async def _take(self, alert: Alert, version: str) -> dict[str, str | None]:
        outcome: str | None = self._not_for_us(alert)
        retrain = None
        if outcome is None:
            name = alert.labels["alertname"]
            outcome, retrain = await run_in_threadpool(
                self._parts.ledger.submit,
                alert=f"{alert.fingerprint}:{alert.started.astimezone(UTC).isoformat()}",
                reason=f"{name} since {alert.started:%Y-%m-%dT%H:%M:%SZ}",
                version=version,
                cooldown_seconds=self._settings.cooldown_seconds,
            )
        self._received.labels(outcome).inc()
        return {"outcome": outcome, "retrain": retrain}

    def _not_for_us(self, alert: Alert) -> str | None:
        now = datetime.now(UTC)
        if alert.labels.get("alertname") not in metrics.ALERTS_THAT_RETRAIN:
            return "other_alert"
        if alert.status == "resolved":
            return "resolved"
        # A firing alert has no end, which Alertmanager writes as the year 1.
        ended = alert.ended is not None and alert.ended.year > 1 and alert.ended < now
        age = (now - alert.started).total_seconds()
        if ended or not -_AHEAD_SECONDS <= age <= self._settings.max_alert_age_seconds:
            return "past"
        return None if self._settings.enabled else "alert_only"

    async def rollback(self, _request: Request, _body: bytes) -> Response:
        """Back to `previous`, now; simultaneous requests, at whichever replicas, are one rollback.

        A challenge that runs ends instead, and the champion stays: what changed last is undone first.
        """
        try:
            return JSONResponse(await run_in_threadpool(self._roll_back))
        except WorkloadError as error:
            raise Refusal(HTTPStatus.CONFLICT, str(error)) from error

    def _roll_back(self) -> dict[str, Any]:
        challenges = self._parts.challenges
        ended = None if challenges is None else challenges.stop("rolled back by hand")
        if ended is not None:
            text = "its challenge has ended, the champion stays; roll back again to leave the champion"
            return {"challenger": ended, "detail": text}
        done = self._parts.alias.go_back()
        return asdict(done) if done else {}

    async def sign(self, _request: Request, body: bytes) -> Response:
        """Judge a run's version, and sign it; moves no alias."""
        run_id = valid(ToSign, json_of(body)).run_id
        try:
            version = await run_in_threadpool(self._parts.sign, run_id)
        except (GateError, BundleError) as error:
            raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from error
        return JSONResponse({"version": version})

    async def check(self, _request: Request, _body: bytes) -> Response:
        """Measure drift now."""
        started = await run_in_threadpool(self._parts.checks.start)
        return JSONResponse({"started": started}, HTTPStatus.ACCEPTED)

    async def outcomes(self, _request: Request, body: bytes) -> Response:
        """Store labels."""
        environment = self._parts.environment
        try:
            stored = await run_in_threadpool(
                lambda: outcomes.add(environment, outcomes.parse(body, environment.definition))
            )
        except DataError as error:
            raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from error
        return JSONResponse({"stored": stored})

    async def strike(self, _request: Request, body: bytes) -> Response:
        """Leave requests out."""
        prefix = valid(Strike, json_of(body)).prefix
        await run_in_threadpool(outcomes.strike, self._parts.environment, prefix)
        return JSONResponse({"struck": prefix})

    async def tell(self, request: Request, body: bytes) -> Response:
        """Note what a command did to the stack."""
        return await self.audited.tell(request, valid(Told, json_of(body)))

    def _guarded(
        self,
        endpoint: Callable[[Request, bytes], Awaitable[Response]],
        limit: int = MAX_BODY_BYTES,
        scopes: Collection[Scope] = OPERATORS,
    ) -> Callable[[Request], Awaitable[Response]]:
        """The endpoint behind a token of these scopes and a body limit; what goes wrong becomes one sentence."""

        async def handle(request: Request) -> Response:
            try:
                request.state.scope = self._scope(request)
                _require(request, scopes)
                return await endpoint(request, await read_body(request, limit))
            except Refusal as refusal:
                if refusal.outcome is not None:
                    self._received.labels(refusal.outcome).inc()
                return _error(refusal.status, str(refusal))
            except WorkloadError as error:
                return _error(HTTPStatus.SERVICE_UNAVAILABLE, str(error))

        return handle

    def _scope(self, request: Request) -> Scope:
        given = request.headers.get("authorization", "").encode("latin-1")
        known = {**self._parts.former.counting(datetime.now(UTC)), **self._parts.tokens}
        found = [scope for token, scope in known.items() if hmac.compare_digest(given, f"Bearer {token}".encode())]
        if not found:
            raise Refusal(HTTPStatus.UNAUTHORIZED, "give the bearer token of this stack", "unauthorized")
        return found[0]


def _require(request: Request, scopes: Collection[Scope]) -> None:
    if request.state.scope not in scopes:
        raise Refusal(
            HTTPStatus.FORBIDDEN,
            f"this needs a token of the scope {' or '.join(scopes)}; the scope of the one that was given is "
            f"{request.state.scope}",
            "unauthorized",
        )


def _error(status: HTTPStatus, text: str) -> Response:
    headers = {"www-authenticate": "Bearer"} if status is HTTPStatus.UNAUTHORIZED else {}
    if status is HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        headers["connection"] = "close"
    return JSONResponse({"error": text}, status, headers)
