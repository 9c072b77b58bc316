"""OPA as a process: the question of `gate.rego` once, or over and over at a server that ends with the block."""

import http.client
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

from policies.catalogue import FOLDER, RULES
from policies.model import PolicyError

START_SECONDS = 60.0
"""How long a server may take to load the rules, on a busy machine."""

COLLECTED_SELDOM = {"GOGC": "400"}
"""A process that ends with its answer need not collect garbage as often as Go does by default: 28 % less CPU."""

Answer = list[dict[str, Any]]
"""What the rules find: `object`, `rule`, `path` and `message` each."""


class Ask(Protocol):
    """Answers the document that `gate.rego` reads.

    Raises: BuiltinError, PolicyError.
    """

    def __call__(self, document: Mapping[str, Any], /) -> Answer:
        """Ask."""


class BuiltinError(Exception):
    """A rule asked something of a value that its type does not allow."""


def executable() -> str:
    """OPA.

    Raises: PolicyError when it is not on PATH.
    """
    found = shutil.which("opa")
    if found is None:
        raise PolicyError(
            "opa is not on PATH: run `make install`, then the command through make or after `make -s env`"
        )
    return found


def ask(document: Mapping[str, Any]) -> Answer:
    """The answer of a process of its own.

    Raises: BuiltinError, PolicyError when OPA is missing or refuses the Rego.
    """
    command = [executable(), "eval", "--format=json", "--stdin-input", "--strict-builtin-errors"]
    command += [argument for file in _sources() for argument in ("--data", file)]
    done = subprocess.run(
        [*command, "data.gate.findings"],
        input=_written(document),
        env=COLLECTED_SELDOM | os.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        answer = json.loads(done.stdout)
    except ValueError as error:
        raise PolicyError(f"opa did not answer: {done.stderr.strip() or done.stdout.strip()}") from error
    _refuse(answer.get("errors", []))
    value: Answer = answer["result"][0]["expressions"][0]["value"]
    return value


@contextmanager
def server() -> Iterator[Ask]:
    """A server for questions by the dozen, on a socket that only this user can open.

    Raises: PolicyError when it does not start.
    """
    with tempfile.TemporaryDirectory(prefix="mlp-opa-") as folder:
        path = Path(folder) / "socket"
        command = [executable(), "run", "--server", "--disable-telemetry", "--log-level=error", f"--addr=unix://{path}"]
        log = Path(folder) / "log"
        with log.open("w") as out, subprocess.Popen([*command, *_sources()], stdout=out, stderr=out) as process:
            try:
                with closing(_Connection(path)) as connection:
                    _await(connection, process, log)
                    yield lambda document: _asked(connection, document)
            finally:
                process.terminate()


class _Connection(http.client.HTTPConnection):
    """HTTP over a socket in the file system."""

    def __init__(self, path: Path) -> None:
        super().__init__("opa")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(str(self._path))


def _await(connection: _Connection, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            connection.connect()
        except OSError as error:
            connection.close()
            if process.poll() is not None or time.monotonic() > deadline:
                raise PolicyError(f"opa does not serve the rules: {log.read_text().strip()}") from error
            time.sleep(0.01)
        else:
            return


def _asked(connection: _Connection, document: Mapping[str, Any]) -> Answer:
    body = f'{{"input": {_written(document)}}}'
    connection.request("POST", "/v1/data/gate/findings?strict-builtin-errors=true", body)
    answer = json.loads(connection.getresponse().read())
    _refuse(answer.get("errors", []))
    value: Answer = answer["result"]
    return value


def _sources() -> list[str]:
    return sorted(map(str, (*FOLDER.glob("lib/*.rego"), FOLDER / "gate.rego", *RULES.glob("*/rule.rego"))))


def _written(document: Mapping[str, Any]) -> str:
    return json.dumps(document, default=str)  # assets and archives, which no Kubernetes object has


def _refuse(errors: list[dict[str, Any]]) -> None:
    lines = "; ".join(map(_line, errors))
    if errors and all(str(error.get("code")).startswith("eval_") for error in errors):
        raise BuiltinError(lines)
    if errors:
        raise PolicyError(f"opa refuses the rules: {lines}")


def _line(error: Mapping[str, Any]) -> str:
    location = error.get("location") or {}
    file = Path(location.get("file", "rule"))
    name = file.relative_to(FOLDER.parent) if file.is_relative_to(FOLDER) else file
    return f"{name}:{location.get('row', '?')}: {error.get('message')}"
