"""What the retraining service notes in the audit log: who asked it for what, and what it answered; and the log itself.

Leaves out requests without a valid token: they do nothing, and are counted.
"""

import json
import re
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from workloads.lifecycle.base import identity
from workloads.lifecycle.base.environment import Environment
from workloads.lifecycle.base.errors import WorkloadError
from workloads.lifecycle.registry import audit
from workloads.lifecycle.registry.audit_entry import Action, Event

ACTOR_HEADER = "x-actor"
"""What a client says of who runs it; kept beside the token that it gave, and never instead of it."""

DELIVERY_SECONDS = 2.0
"""Time between two looks for events to deliver."""

_CLAIMED = re.compile(r"[\w:@./ -]{1,200}", re.ASCII)
_Endpoint = Callable[[Request, bytes], Awaitable[Response]]


class Told(BaseModel):
    """What a command did to the stack, which no stage sees."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    """Makes a note that is told again the same one."""

    time: AwareDatetime
    """When it was done; a note may wait for a service to tell it to."""

    action: Literal[Action.UP, Action.DOWN, Action.EXEMPTION, Action.ROTATION]
    object: Annotated[str, Field(max_length=500)]
    outcome: Annotated[str, Field(min_length=1, max_length=500)]
    reason: Annotated[str, Field(max_length=500)] = ""


class Audited:
    """The audit log behind the service's endpoints."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._journal = audit.Journal(environment)
        self.deliver = self._journal.deliver
        """Step of the loop that writes to the store; an outage is that loop's failure, counted and alerted as such."""

    def noting(self, action: Action, endpoint: _Endpoint) -> _Endpoint:
        """The endpoint, with a note of what it did or why it refused."""

        async def handle(request: Request, body: bytes) -> Response:
            reason = _reason(body)
            try:
                with identity.asked_by(_caller(request)):
                    answer = await endpoint(request, body)
            except Exception as error:
                await self._note(request, action, "", "refused", reason=f"{reason}: {error}" if reason else str(error))
                raise
            for what, outcome in _done(json.loads(bytes(answer.body))):
                await self._note(request, action, what, outcome, reason=reason)
            return answer

        return handle

    async def log(self, request: Request, _body: bytes) -> Response:
        """The log, with the names of what is older than `since`."""
        given = request.query_params.get("since")
        try:
            since = datetime.fromisoformat(given) if given else None
        except ValueError:
            since = None
        if given and (since is None or since.tzinfo is None):
            return JSONResponse({"error": "since must be a time with a zone"}, HTTPStatus.BAD_REQUEST)
        try:
            await run_in_threadpool(self.deliver)
        except WorkloadError as error:
            return JSONResponse({"error": str(error)}, HTTPStatus.SERVICE_UNAVAILABLE)
        return JSONResponse(await run_in_threadpool(audit.read, self._environment, since))

    async def tell(self, request: Request, told: Told) -> Response:
        """Note what a command did to the whole stack."""
        event = Event(**told.model_dump(), actor=_caller(request), stack=self._environment.stack, workload="")
        await run_in_threadpool(self._journal.keep, event)
        return JSONResponse({"noted": told.action})

    async def _note(self, request: Request, action: Action, what: str, outcome: str, *, reason: str) -> None:
        def note() -> None:
            self._journal.note(action, what, outcome, reason, actor=_caller(request))

        await run_in_threadpool(note)


def _caller(request: Request) -> str:
    """The token's scope, and who the client says runs it."""
    claimed = request.headers.get(ACTOR_HEADER, "")
    token = f"token:{request.state.scope}"
    return f"{token} by {claimed}" if _CLAIMED.fullmatch(claimed) else token


def _reason(body: bytes) -> str:
    """The reason that a request gives, or the alerts that it brings."""
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(given, dict):
        return ""
    alerts = given.get("alerts")
    if isinstance(alerts, list):
        labels = [each.get("labels") for each in alerts if isinstance(each, dict)]
        return ", ".join(str(each.get("alertname")) for each in labels if isinstance(each, dict))
    return str(given.get("reason", given.get("prefix", "")))


def _done(answer: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Object and outcome of what an answer tells; of alerts, those that started a retrain."""
    if "alerts" in answer:
        started = (each for each in answer["alerts"] if each["outcome"] == "accepted")
        yield from ((f"retrain {each['retrain']}", "accepted") for each in started)
    elif "stored" in answer:
        yield "outcomes", f"{answer['stored']} stored"
    elif "struck" in answer:
        yield str(answer["struck"]), "done"
    elif "retrain" in answer:
        yield f"retrain {answer['retrain']}", str(answer["outcome"])
    else:
        yield json.dumps(answer, sort_keys=True), "done"
