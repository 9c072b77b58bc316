"""Asks one process whether it answers; standard library only, because the watchdog uses it too."""

import base64
import http.client
import os
import subprocess
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

INTERVAL_SECONDS, TIMEOUT_SECONDS, MISSES, GRACE_SECONDS = 10.0, 10.0, 6, 600.0
"""Defaults of `HealthCheck`: a server is restarted after a minute without any answer, never for being slow."""


def answers(check: Mapping[str, Any], environment: Mapping[str, str], timeout_seconds: float) -> bool:
    """Whether the process is up and says so: an HTTP 2xx answer, or a command that exits with 0."""
    if check["command"] is not None:
        return _exits_with_zero(check["command"], environment, timeout_seconds)
    status = http_status(check["http_url"], timeout_seconds, check.get("login"))
    return status is not None and status < HTTPStatus.MULTIPLE_CHOICES


def responds(check: Mapping[str, Any], environment: Mapping[str, str], timeout_seconds: float) -> bool:
    """Whether the process is not hung: as `answers`, but an HTTP answer below 500 is one whatever it says."""
    if check["command"] is not None:
        return _exits_with_zero(check["command"], environment, timeout_seconds)
    status = http_status(check["http_url"], timeout_seconds, check.get("login"))
    return status is not None and status < HTTPStatus.INTERNAL_SERVER_ERROR


def http_status(url: str, timeout_seconds: float, login: str | None = None) -> int | None:
    """Status of the answer to GET, without any proxy; None when there is no answer. `login`: `user:password`."""
    sent = {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"} if login else {}
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_seconds)
    try:
        connection.request("GET", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), headers=sent)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _exits_with_zero(command: list[str], environment: Mapping[str, str], timeout_seconds: float) -> bool:
    try:
        done = subprocess.run(
            command,
            env={"PATH": os.environ["PATH"], **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=timeout_seconds,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
