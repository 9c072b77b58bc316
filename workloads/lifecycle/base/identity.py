"""Who acts, for the audit log and the evidence: who asked a server by a token, else who runs this process.

A process is named as the machine knows it, and not as a variable claims.
"""

import base64
import json
import os
import pwd
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

_TOKENS = (
    "/var/run/secrets/kubernetes.io/serviceaccount/token",
    "/var/run/secrets/eks.amazonaws.com/serviceaccount/token",
)


_asking: ContextVar[str] = ContextVar("asking", default="")


@contextmanager
def asked_by(caller: str) -> Iterator[None]:
    """Attribute to a caller what is done inside, in threads that this context starts too."""
    token = _asking.set(caller)
    try:
        yield
    finally:
        _asking.reset(token)


def acting() -> str:
    """Who is acting: the caller of `asked_by`, else `actor`."""
    return _asking.get() or actor()


def actor(environ: Mapping[str, str] = os.environ, tokens: tuple[str, ...] = _TOKENS) -> str:
    """`ci:…` in a workflow of GitHub, `serviceaccount:…` or `pod:…` in a pod, else `user:<name>@<host>`."""
    if environ.get("GITHUB_ACTIONS") == "true":
        parts = (environ.get(f"GITHUB_{name}", "") for name in ("REPOSITORY", "WORKFLOW", "RUN_ID", "ACTOR"))
        return f"ci:{'/'.join(parts)}"
    if "KUBERNETES_SERVICE_HOST" in environ:
        account = next((found for file in tokens if (found := _subject(Path(file)))), "")
        return f"serviceaccount:{account}" if account else f"pod:{socket.gethostname()}"
    return f"user:{_user()}@{socket.gethostname()}"


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # an account that the machine has no name for
        return str(os.getuid())


def _subject(token: Path) -> str:
    """The account that a mounted token names; empty where there is none."""
    try:
        payload = token.read_text().split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return str(claims["sub"]).removeprefix("system:serviceaccount:")
    except (OSError, ValueError, LookupError, TypeError):
        return ""
