"""Commands for people: `retrain`, `rollback`, `status`, against a running stack's retraining service."""

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import httpx

from workloads.lifecycle.base import identity
from workloads.lifecycle.base.errors import WorkloadError, run_command

OVER = ("promoted", "refused", "insufficient", "unchanged", "failed", "rolled_back", "superseded")
_SECONDS = 90.0
_POLL_SECONDS = 2.0


class Client:
    """The service, with the stack's token."""

    def __init__(self, outputs: dict[str, str], token: str) -> None:
        self._url = need(outputs, "retrain_url").removesuffix("/retrain")
        self._http = httpx.Client(
            timeout=_SECONDS, headers={"authorization": f"Bearer {token}", "x-actor": identity.actor()}
        )

    def get(self, path: str) -> httpx.Response:
        """Answer of the service; raises WorkloadError with its sentence."""
        return self._ask("GET", path)

    def post(self, path: str, body: Any = None) -> dict[str, Any]:
        """Answer of the service; raises WorkloadError with its sentence."""
        return dict(self._ask("POST", path, body).json())

    def status(self) -> dict[str, Any]:
        """The ledger."""
        return dict(self.get("/status").json())

    def _ask(self, method: str, path: str, body: Any = None) -> httpx.Response:
        try:
            answer = self._http.request(method, self._url + path, json=body)
        except httpx.HTTPError as error:
            raise WorkloadError(f"the retraining service at {self._url} does not answer: {error}") from error
        if answer.is_error:
            raise WorkloadError(f"{self._url}{path}: {answer.status_code}: {answer.text[:300]}")
        return answer


def need(outputs: dict[str, str], name: str) -> str:
    """A stack output; raises WorkloadError when the stack has none such."""
    value = outputs.get(name)
    if not value:
        raise WorkloadError(f"the stack has no output {name}; is it up? (`make up`)")
    return value


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How a command learns of the stack."""
    parser.add_argument(
        "--outputs",
        default="-",
        metavar="FILE",
        help="JSON of `pulumi stack output --json --show-secrets` (default: standard input)",
    )
    parser.add_argument("--token-file", type=Path, default=None, help="file with the bearer token")


def connect(arguments: argparse.Namespace) -> tuple[dict[str, str], Client]:
    """The stack's outputs and a client; raises WorkloadError that says what is missing."""
    try:
        text = sys.stdin.read() if arguments.outputs == "-" else Path(arguments.outputs).read_text(encoding="utf-8")
        if not text:
            sys.exit(1)  # the command that should have given the outputs said why it did not
        outputs = {str(name): str(value) for name, value in json.loads(text).items()}
        file = arguments.token_file or os.environ.get("RETRAIN_TOKEN_FILE")
        token = Path(file).read_text(encoding="utf-8").strip() if file else ""
    except (OSError, ValueError, AttributeError) as error:
        raise WorkloadError(f"--outputs or --token-file cannot be read: {error}") from error
    token = token or os.environ.get("RETRAIN_TOKEN", "") or outputs.get("retrain_token", "")
    if not token:
        raise WorkloadError(
            "no token: give --token-file, RETRAIN_TOKEN, or outputs with retrain_token (--show-secrets)"
        )
    return outputs, Client(outputs, token)


def wait(client: Client, retrain: str) -> dict[str, Any]:
    """The retrain once it is over."""
    while True:
        found = next((item for item in client.status()["recent"] if item["id"] == retrain), None)
        if found is None:
            raise WorkloadError(f"the service knows no retrain {retrain}")
        if found["status"] in OVER:
            return dict(found)
        time.sleep(_POLL_SECONDS)


def main() -> None:
    """Command: one request, its answer as JSON; exit status 1 when a retrain that was waited for promoted nothing."""
    parser = argparse.ArgumentParser(prog="python -m workloads.lifecycle.retraining.client", description=__doc__)
    parser.add_argument("action", choices=["retrain", "rollback", "status"])
    parser.add_argument("--reason", default="asked for by hand")
    parser.add_argument("--wait", action="store_true", help="wait until the retrain is over")
    add_arguments(parser)
    arguments = parser.parse_args()
    _, client = connect(arguments)
    if arguments.action == "status":
        answer = client.status()
    elif arguments.action == "rollback":
        answer = client.post("/rollback")
    else:
        answer = client.post("/retrain", {"reason": arguments.reason})
        if arguments.wait:
            answer = wait(client, answer["retrain"])
    print(json.dumps(answer, indent=1))
    if arguments.wait and answer.get("status") != "promoted":
        raise WorkloadError(f"nothing was promoted: {answer.get('detail')}")


if __name__ == "__main__":
    run_command(main)
