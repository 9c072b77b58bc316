"""`python -m workloads.loan_default.start_page`: serves the page and `status.json`."""

import argparse
import json
import os
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from workloads.loan_default.errors import WorkloadError, run_command
from workloads.loan_default.settings import load
from workloads.loan_default.start_page.status import Status

PAGE = Path(__file__).with_name("index.html")
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def app(status: Status) -> Starlette:
    """The ASGI application."""

    async def page(_request: Request) -> Response:
        return FileResponse(PAGE, headers=HEADERS)

    async def latest(_request: Request) -> Response:
        return JSONResponse(status.latest(), headers=HEADERS)

    async def health(_request: Request) -> Response:
        broken = status.loops.broken()
        return JSONResponse({"status": "; ".join(broken) or "ok"}, 503 if broken else 200)

    return Starlette(routes=[Route("/", page), Route("/status.json", latest), Route("/healthz", health)])


def _endpoints(variable: str) -> dict[str, str]:
    try:
        return {str(name): str(value) for name, value in json.loads(os.environ.get(variable, "{}")).items()}
    except (ValueError, AttributeError) as error:
        raise WorkloadError(f"{variable} must be a JSON object of output names and URLs: {error}") from error


def main() -> None:
    """Command: serve until SIGTERM or SIGINT."""
    environment = load()
    parser = argparse.ArgumentParser(prog="python -m workloads.loan_default.start_page", description=__doc__)
    parser.add_argument("--port", type=int, default=environment.port, required=environment.port is None)
    parser.add_argument("--host", default=environment.listen_address, help="address to bind (default: %(default)s)")
    arguments = parser.parse_args()
    probed = _endpoints("ENDPOINTS")
    status = Status(probed, _endpoints("LINKS") or probed)
    uvicorn.run(app(status), host=arguments.host, port=arguments.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    run_command(main)
