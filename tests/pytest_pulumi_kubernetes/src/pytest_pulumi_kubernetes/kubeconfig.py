"""Kubeconfigs: what is read from one, and how one is written."""

from __future__ import annotations

import base64
import json
import os
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_EXEC_SECONDS = 60.0


class KubeconfigError(Exception):
    """A kubeconfig names no usable cluster; the message says what is wrong."""


@dataclass(frozen=True)
class Connection:
    """How to reach one API server as one user."""

    server: str
    """`https://host:port`."""

    authority: str
    """Certificate of the authority that the server's certificate must come from; PEM."""

    token: str
    namespace: str = "default"


def connect(kubeconfig: str, context: str = "") -> Connection:
    """Read the connection of a context (default: the current one) from a kubeconfig, given as text or as a path.

    An authority is needed, and a bearer token or a command that gives one (`exec`), as clouds' kubeconfigs have it.
    Raises: KubeconfigError.
    """
    config = _parse(kubeconfig)
    name = context or config.get("current-context") or ""
    contexts = _by_name(config.get("contexts"), "context")
    if name not in contexts:
        raise KubeconfigError(
            f"the kubeconfig has no context {name!r}; there are: {', '.join(sorted(contexts)) or 'none'}"
        )
    chosen = contexts[name]
    cluster = _by_name(config.get("clusters"), "cluster").get(chosen.get("cluster", ""))
    user = _by_name(config.get("users"), "user").get(chosen.get("user", ""))
    if cluster is None or user is None:
        raise KubeconfigError(f"context {name!r} names a cluster or a user that the kubeconfig does not have")
    if not {"token", "exec"} & set(user) or "certificate-authority-data" not in cluster:
        raise KubeconfigError(
            f"context {name!r} needs certificate-authority-data and a user with a token or an `exec` that gives one; "
            "the simulated provider knows no other way to log in"
        )
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    token = user.get("token") or _asked(user["exec"])
    return Connection(cluster["server"], authority, token, chosen.get("namespace") or "default")


def names_a_cluster(kubeconfig: str) -> bool:
    """Say whether a kubeconfig (text or path) holds any cluster; one that cannot be read holds none."""
    try:
        return bool(_parse(kubeconfig).get("clusters"))
    except KubeconfigError:
        return False


def write(server: str, authority: str, tokens: Mapping[str, str], current: str) -> str:
    """Write a kubeconfig with one context per user, named as the user; JSON, which is YAML too."""
    data = base64.b64encode(authority.encode()).decode()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": server, "certificate-authority-data": data}}],
        "users": [{"name": user, "user": {"token": token}} for user, token in tokens.items()],
        "contexts": [{"name": user, "context": {"cluster": "test", "user": user}} for user in tokens],
        "current-context": current,
    }
    return json.dumps(config, indent=1)


def tls(authority: str) -> ssl.SSLContext:
    """Give a TLS context that trusts one authority."""
    return ssl.create_default_context(cadata=authority)


def _asked(command: Mapping[str, Any]) -> str:
    """Run a credential plugin and give the token that it prints.

    Source: https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins
    """
    words = [str(command.get("command")), *(str(word) for word in command.get("args") or ())]
    variables = {each["name"]: each["value"] for each in command.get("env") or ()}
    asked = {"apiVersion": command.get("apiVersion"), "kind": "ExecCredential", "spec": {"interactive": False}}
    variables["KUBERNETES_EXEC_INFO"] = json.dumps(asked)
    try:
        answer = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
            timeout=_EXEC_SECONDS,
            env={**os.environ, **variables},
        )
        return str(json.loads(answer.stdout)["status"]["token"])
    except subprocess.CalledProcessError as error:
        raise KubeconfigError(f"`{' '.join(words)}` gave no token: {error.stderr.strip()}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise KubeconfigError(f"`{' '.join(words)}` gave no token: {error}") from error
    except (ValueError, LookupError, TypeError) as error:
        raise KubeconfigError(f"`{' '.join(words)}` printed no ExecCredential with a token") from error


def _parse(kubeconfig: str) -> dict[str, Any]:
    text = kubeconfig
    if "\n" not in kubeconfig and not kubeconfig.lstrip().startswith("{"):
        try:
            text = Path(kubeconfig).expanduser().read_text()
        except OSError as error:
            raise KubeconfigError(f"the kubeconfig {kubeconfig!r} cannot be read: {error.strerror}") from error
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise KubeconfigError(f"the kubeconfig is no YAML: {error}") from error
    if not isinstance(found, dict):
        raise KubeconfigError("the kubeconfig holds no mapping")
    return found


def _by_name(items: Iterable[Any] | None, key: str) -> dict[str, Any]:
    return {item["name"]: item.get(key) or {} for item in items or ()}
