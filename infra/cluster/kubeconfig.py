"""A kubeconfig file with one context of it chosen by name."""

import shutil
from pathlib import Path
from typing import Any

import yaml

FILES = {
    "clusters": ("cluster", ("certificate-authority",)),
    "users": ("user", ("client-certificate", "client-key", "tokenFile")),
}
"""Part of a kubeconfig -> the key below which it names files, and the names of those keys."""


class KubeconfigError(ValueError):
    """The cluster that the stack file names cannot be found; the text is one line that names the fix."""


def only(path: Path, context: str) -> dict[str, Any]:
    """The kubeconfig with the given context alone, which becomes the current one; files are named by absolute paths.

    Raises: KubeconfigError when there is no such file, no such context in it, or not the program that logs in.
    """
    known = _read(path)
    contexts = {str(each.get("name")): each for each in known.get("contexts") or []}
    if context not in contexts:
        there = ", ".join(sorted(contexts)) or "none"
        raise KubeconfigError(f"{path} has no context {context!r} (it has: {there}): correct `cluster.context`")
    wanted = contexts[context].get("context") or {}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": context,
        "contexts": [contexts[context]],
        "clusters": [_placed(_named(known, "clusters", wanted.get("cluster"), path, context), "clusters", path)],
        "users": [_logging_in(_placed(_named(known, "users", wanted.get("user"), path, context), "users", path), path)],
    }


def server(kubeconfig: dict[str, Any]) -> str:
    """URL of the API server, by which a cluster is told from another."""
    return str(kubeconfig["clusters"][0]["cluster"]["server"])


def _read(path: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise KubeconfigError(
            f"the kubeconfig {path} cannot be read ({error.strerror}): correct `cluster.kubeconfig`"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise KubeconfigError(f"the kubeconfig {path} is no YAML: correct `cluster.kubeconfig`") from error
    if not isinstance(found, dict):
        raise KubeconfigError(f"the kubeconfig {path} is no object: correct `cluster.kubeconfig`")
    return found


def _named(known: dict[str, Any], part: str, name: object, path: Path, context: str) -> dict[str, Any]:
    for each in known.get(part) or []:
        if each.get("name") == name:
            return dict(each)
    raise KubeconfigError(f"{path} has no {part[:-1]} {name!r}, which its context {context!r} names")


def _placed(entry: dict[str, Any], part: str, path: Path) -> dict[str, Any]:
    """An entry whose files are found wherever the kubeconfig is read: they are named relative to its folder.

    Source: https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/#file-references
    """
    key, names = FILES[part]
    said = dict(entry.get(key) or {})
    said |= {name: str(path.resolve().parent / said[name]) for name in names if said.get(name)}
    return entry | {key: said}


def _logging_in(user: dict[str, Any], path: Path) -> dict[str, Any]:
    """A user whose login program, such as those of GKE and AKS, is there; raises KubeconfigError with its own hint.

    Source: https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins
    """
    asked = user["user"].get("exec")
    if not asked:
        return user
    command = str(asked.get("command", ""))
    if "/" in command:
        command = str(path.resolve().parent / command)
    if shutil.which(command) is None:
        hint = " ".join(str(asked.get("installHint") or "install it, or put it on PATH").split())
        raise KubeconfigError(f"{path} logs in by the program {asked.get('command')!r}, which is not here: {hint}")
    return user | {"user": user["user"] | {"exec": asked | {"command": command}}}
