"""`python -m workloads.lifecycle.operations.start_page`: serves the page, `status.json` and the form's predictions."""

import argparse
import json
import os
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode

import uvicorn
from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route

from workloads.lifecycle import discovery
from workloads.lifecycle.base.command import add_address
from workloads.lifecycle.base.environment import load
from workloads.lifecycle.base.errors import WorkloadError, run_command
from workloads.lifecycle.base.pages import OwnPagesOnly, names_of
from workloads.lifecycle.operations.start_page import runbooks, view
from workloads.lifecycle.operations.start_page.door import COOKIE, SESSION_SECONDS, Door
from workloads.lifecycle.operations.start_page.prediction import MAX_FORM_BYTES, FormError, ask, instance
from workloads.lifecycle.operations.start_page.status import Status
from workloads.lifecycle.operations.start_page.view import Rendered, Sent

CLOSED = "This page is for people who log in: `make credentials` prints a link that opens it once."
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Of every answer. Without a referrer within the page, a browser would send the form with `Origin: null`."""


class Site:
    """The start page of all workloads, and who may see it."""

    def __init__(self, statuses: Mapping[str, Status], default: str, door: Door | None) -> None:
        """`statuses`: by name of the workload; `default`: the one that an address without a name shows."""
        self._statuses, self._default, self._door = statuses, default, door

    async def page(self, request: Request) -> Response:
        """The page, as a document that needs no script."""
        return self._refused(request) or self._rendered(request)

    async def predict(self, request: Request) -> Response:
        """Send the form's prediction; the answer is the page with the score."""
        if answer := self._refused(request):
            return answer
        try:
            form = await _form(request)
        except FormError as error:
            return _error(str(error), 413)
        status = self._status(request)
        if not status.prediction_url:
            return self._rendered(request, Sent(form=form, error="this stack has no model server"), 503)
        try:
            given = instance(status.workload, form)
        except FormError as error:
            return self._rendered(request, Sent(form=form, error=str(error)), 400)
        found = await run_in_threadpool(ask, status.prediction_url, given, status.prediction_probe)
        return self._rendered(request, Sent(form=form, prediction=found))

    async def latest(self, request: Request) -> Response:
        """The state as JSON."""
        if answer := self._refused(request):
            return JSONResponse({"error": bytes(answer.body).decode().strip()}, answer.status_code, headers=HEADERS)
        found = self._status(request).latest()
        return JSONResponse({**found, "workloads": list(self._statuses)}, headers=HEADERS)

    async def runbook(self, request: Request) -> Response:
        """A runbook of the checkout."""
        if answer := self._refused(request):
            return answer
        name = request.path_params["name"]
        text = runbooks.page(name)
        if text is None:
            return _error(f"there is no runbook {name!r:.80}", 404)
        return _page(view.runbook(name, text))

    async def health(self, _request: Request) -> Response:
        """200 while no background loop is dead or stuck."""
        broken = [each for status in self._statuses.values() for each in status.loops.broken()]
        return JSONResponse({"status": "; ".join(broken) or "ok"}, 503 if broken else 200)

    def _status(self, request: Request) -> Status:
        return self._statuses[request.query_params.get("workload", self._default)]

    def _refused(self, request: Request) -> Response | None:
        """The answer to a request that may not see the page, or asks for a workload that is not there."""
        if self._door is not None and not self._door.admits(request.headers, request.cookies):
            return _error(CLOSED, 401)
        name = request.query_params.get("workload", self._default)
        if name not in self._statuses:
            return _error(f"workload is {name!r}, which is none of {', '.join(self._statuses)}", 404)
        return None

    def _rendered(self, request: Request, sent: Sent | None = None, status: int = 200) -> Response:
        chosen = "workload" in request.query_params
        return _page(view.page(self._status(request), list(self._statuses), chosen=chosen, sent=sent), status)


def app(statuses: Mapping[str, Status], default: str, door: Door | None = None) -> Starlette:
    """The ASGI application; `statuses` by name of the workload. Without a `door` it is open."""
    site = Site(statuses, default, door)
    shown = [
        Route("/", site.page),
        Route("/predict", site.predict, methods=["POST"]),
        Route("/status.json", site.latest),
        Route("/runbooks/{name}", site.runbook),
    ]
    if door is None:
        return Starlette(routes=[*shown, Route("/healthz", site.health)])

    async def login(request: Request) -> Response:
        if not door.admits_link(request.query_params.get("token", "")):
            return _error(f"This link was used, or is too old. {CLOSED}", 401)
        kept = urlencode([each for each in request.query_params.multi_items() if each[0] != "token"])
        answer = RedirectResponse(f"{door.folder}/?{kept}".rstrip("?"), 303, headers=HEADERS)
        answer.set_cookie(
            COOKIE, door.session(), max_age=SESSION_SECONDS, path=door.folder, httponly=True, samesite="strict"
        )
        return answer

    return Starlette(
        routes=[Route("/healthz", site.health), Route("/login", login), Mount(door.folder, routes=shown), *shown]
    )


def _page(rendered: Rendered, status: int = 200) -> Response:
    return HTMLResponse(rendered.html, status, headers=HEADERS | {"Content-Security-Policy": rendered.policy})


def _error(text: str, status: int) -> Response:
    return PlainTextResponse(f"{text}\n", status, headers=HEADERS)


async def _form(request: Request) -> dict[str, str]:
    """The fields of a form as a browser sends it, `application/x-www-form-urlencoded`; raises FormError."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_FORM_BYTES:
            raise FormError(f"the form holds more than {MAX_FORM_BYTES} bytes")
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True))
    except ValueError as error:
        raise FormError(f"the form cannot be read: {error}") from error


class _Shown(BaseModel):
    reference: str

    probed: dict[str, str]

    links: dict[str, str]


def _shown() -> dict[str, _Shown]:
    """What the component hands over, by workload."""
    try:
        return TypeAdapter(dict[str, _Shown]).validate_json(os.environ.get("SHOWN", "{}"))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise WorkloadError(
            f"SHOWN must be a JSON object of workloads: {where or 'the text'}: {first['msg']}"
        ) from error


def main() -> None:
    """Command: serve until SIGTERM or SIGINT."""
    environment = load()
    parser = argparse.ArgumentParser(prog="python -m workloads.lifecycle.operations.start_page", description=__doc__)
    add_address(parser, environment)
    arguments = parser.parse_args()
    logins = json.loads(os.environ.get("LOGINS", "{}"))
    readers = json.loads(os.environ.get("VIEW_TOKENS", "{}"))
    markers = json.loads(os.environ.get("PREDICTION_PROBES", "{}"))
    statuses = {
        name: Status(
            discovery.find(each.reference),
            each.probed | logins | {"prediction_probe": markers.get(name, "")},
            each.links,
            readers.get(name, ""),
        )
        for name, each in _shown().items()
    }
    token = os.environ.get("START_TOKEN", "")
    door = Door(token) if token else None
    served = OwnPagesOnly(app(statuses, environment.definition.name, door), names_of(arguments.host))
    uvicorn.run(served, host=arguments.host, port=arguments.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    run_command(main)
