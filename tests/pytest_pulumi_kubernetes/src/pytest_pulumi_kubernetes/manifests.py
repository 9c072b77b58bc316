"""Objects out of YAML files, texts and kustomize overlays, for the components that the provider itself makes."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import TYPE_CHECKING

from simulated_pulumi.providers.base import RefusedError
from simulated_pulumi.providers.kubernetes_components import DIRECTORY, FILE

from pytest_pulumi_kubernetes.crds import kustomize, load
from pytest_pulumi_kubernetes.processes import ClusterError
from pytest_pulumi_kubernetes.tools import MissingToolError

if TYPE_CHECKING:
    from pytest_pulumi_kubernetes.client import Object
    from pytest_pulumi_kubernetes.tools import KubeTools


def read(token: str, inputs: Object, tools: KubeTools) -> list[Object]:
    """Give the objects that a component stands for; none for an overlay over the network, which is recorded, not built.

    Raises: RefusedError for a file that is not there, a text that is no YAML, an overlay that does not build.
    """
    if token == DIRECTORY:
        directory = str(inputs["directory"])
        return [] if is_remote(directory) else render(directory, tools)
    files = [inputs["file"]] if token == FILE else inputs.get("files") or ()
    found = [item for file in files for path in _paths(str(file)) for item in decode(path.read_text(), str(path))]
    return [*found, *decode(inputs.get("yaml") or "", "yaml"), *(inputs.get("objs") or ())]


def decode(text: str, name: str) -> list[Object]:
    """Read a YAML text.

    Raises: RefusedError.
    """
    try:
        found = list(load(text))
    except Exception as error:  # the YAML library has no common base for what both of its loaders raise
        raise RefusedError(f"{name} is no YAML: {error}") from error
    for item in found:
        if not item.get("apiVersion") or not item.get("kind"):
            raise RefusedError(f"{name} holds something without `apiVersion` or `kind`: {str(item)[:100]}")
    return found


def is_remote(directory: str) -> bool:
    """Whether an overlay builds upon something that must be fetched."""
    file = Path(directory) / "kustomization.yaml"
    found = load(file.read_text()) if file.is_file() else []
    return any("://" in str(each) for overlay in found for each in overlay.get("resources") or ())


def render(directory: str, tools: KubeTools) -> list[Object]:
    """Render a kustomize overlay.

    Raises: RefusedError with kustomize's words.
    """
    try:
        return kustomize(directory, tools)
    except (ClusterError, MissingToolError) as error:
        raise RefusedError(str(error)) from error


def _paths(pattern: str) -> list[Path]:
    found = sorted(glob.glob(pattern))  # noqa: PTH207  the pattern may be absolute
    if not found:
        raise RefusedError(f"there is no file {pattern!r}")
    return [Path(path) for path in found]
