"""A kubeconfig file with one context of it chosen by name."""

from pathlib import Path
from typing import Any

import yaml


class KubeconfigError(ValueError):
    """The cluster that the stack file names cannot be found; the text is one line that names the fix."""


def only(path: Path, context: str) -> dict[str, Any]:
    """The kubeconfig with the given context alone, which becomes the current one.

    Raises: KubeconfigError when there is no such file or no such context in it.
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
        "clusters": [_named(known, "clusters", wanted.get("cluster"), path, context)],
        "users": [_named(known, "users", wanted.get("user"), path, context)],
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
