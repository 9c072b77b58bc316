"""`python -m workloads.lifecycle.operations.start_page`: serves the page and `status.json`."""

import argparse
import json
import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlencode

import uvicorn
from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route

from workloads.lifecycle import discovery
from workloads.lifecycle.base.command import add_address
from workloads.lifecycle.base.environment import load
from workloads.lifecycle.base.errors import WorkloadError, run_command
from workloads.lifecycle.base.pages import OwnPagesOnly, names_of
from workloads.lifecycle.operations.start_page.door import COOKIE, SESSION_SECONDS, Door
from workloads.lifecycle.operations.start_page.status import Status

PAGE = Path(__file__).with_name("index.html")
CLOSED = "This page is for people who log in: `make credentials` prints a link that opens it once."
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def app(statuses: Mapping[str, Status], default: str, door: Door | None = None) -> Starlette:
    """The ASGI application; `statuses` by name of the workload. Without a `door` it is open."""

    async def page(request: Request) -> Response:
        if door is not None and not door.admits(request.headers, request.cookies):
            return PlainTextResponse(f"{CLOSED}\n", 401, headers=HEADERS)
        return FileResponse(PAGE, headers=HEADERS)

    async def latest(request: Request) -> Response:
        if door is not None and not door.admits(request.headers, request.cookies):
            return JSONResponse({"error": CLOSED}, 401, headers=HEADERS)
        name = request.query_params.get("workload", default)
        if name not in statuses:
            known = ", ".join(statuses)
            return JSONResponse({"error": f"workload is {name!r}, which is none of {known}"}, 404, headers=HEADERS)
        return JSONResponse({**statuses[name].latest(), "workloads": list(statuses)}, headers=HEADERS)

    async def health(_request: Request) -> Response:
        broken = [each for status in statuses.values() for each in status.loops.broken()]
        return JSONResponse({"status": "; ".join(broken) or "ok"}, 503 if broken else 200)

    shown = [Route("/", page), Route("/status.json", latest)]
    if door is None:
        return Starlette(routes=[*shown, Route("/healthz", health)])

    async def login(request: Request) -> Response:
        if not door.admits_link(request.query_params.get("token", "")):
            return PlainTextResponse(f"This link was used, or is too old. {CLOSED}\n", 401, headers=HEADERS)
        kept = urlencode([each for each in request.query_params.multi_items() if each[0] != "token"])
        answer = RedirectResponse(f"{door.folder}/?{kept}".rstrip("?"), 303, headers=HEADERS)
        answer.set_cookie(
            COOKIE, door.session(), max_age=SESSION_SECONDS, path=door.folder, httponly=True, samesite="strict"
        )
        return answer

    return Starlette(
        routes=[Route("/healthz", health), Route("/login", login), Mount(door.folder, routes=shown), *shown]
    )


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
    statuses = {
        name: Status(discovery.find(each.reference), each.probed | logins, each.links)
        for name, each in _shown().items()
    }
    token = os.environ.get("START_TOKEN", "")
    door = Door(token) if token else None
    served = OwnPagesOnly(app(statuses, environment.definition.name, door), names_of(arguments.host))
    uvicorn.run(served, host=arguments.host, port=arguments.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    run_command(main)
