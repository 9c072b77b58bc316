"""Definitions of custom resources, taken at test time from the Go modules of their projects; nothing is vendored."""

from __future__ import annotations

import fnmatch
import functools
import subprocess
import time
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import yaml

from pytest_pulumi_kubernetes.processes import ClusterError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_pulumi_kubernetes.client import Client, Object
    from pytest_pulumi_kubernetes.tools import KubeTools

_ESTABLISHED_SECONDS = 60.0
_PAUSE_SECONDS = 0.2


@dataclass(frozen=True)
class Archived:
    """Manifests in the archive of a Go module."""

    module: str
    version: str
    sum: str
    """The module's checksum, as in a go.sum."""

    files: str
    """Pattern of paths inside the module."""


@dataclass(frozen=True)
class Pinned:
    """Manifests of a module which a go.mod of the tools pins, because its controller is built from it."""

    module: str
    files: tuple[str, ...]
    """Patterns of paths inside the module."""


Source = Archived | Pinned

CRDS: Final[Mapping[str, Source]] = {
    "argo-workflows": Archived(
        "github.com/argoproj/argo-workflows/v3",
        "v3.7.0",
        "h1:TDijZztm6dLruB7yZLH+Ps4OJKRwu0YSAJ4/NvceON0=",
        "manifests/base/crds/minimal/argoproj.io_*.yaml",
    ),
    "cert-manager": Archived(
        "github.com/cert-manager/cert-manager",
        "v1.21.1",
        "h1:0LttV37Q5c2CBNoHkjuI8sLKTXWZDC2SwQkxrBMKV9w=",
        "deploy/crds/*.yaml",
    ),
    "envoy-gateway": Archived(
        "github.com/envoyproxy/gateway",
        "v1.8.1",
        "h1:i8POtrPtel3n0iGP55MNy6U1rTW4msyhkEWjXAF09ts=",
        "charts/gateway-helm/charts/crds/crds/generated/*.yaml",
    ),
    "gatekeeper": Pinned("github.com/open-policy-agent/gatekeeper/v3", ("deploy/gatekeeper.yaml",)),
    "gateway-api": Archived(
        "sigs.k8s.io/gateway-api",
        "v1.5.1",
        "h1:RqVRIlkhLhUO8wOHKTLnTJA6o/1un4po4/6M1nRzdd0=",
        "config/crd/standard/gateway.networking.k8s.io_*.yaml",
    ),
    "karpenter": Archived(
        "github.com/aws/karpenter-provider-aws",
        "v1.14.1",
        "h1:WGtIQTQcxpElYMdWfWuPwaF2+9muR+hYhPZsTtoY8Gs=",
        "pkg/apis/crds/karpenter*.yaml",
    ),
    "kserve": Pinned(
        "github.com/kserve/kserve",
        ("config/crd/full/serving.kserve.io_*.yaml", "config/crd/full/clusterstoragecontainer/serving*.yaml"),
    ),
    "prometheus-operator": Archived(
        "github.com/prometheus-operator/prometheus-operator",
        "v0.85.0",
        "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=",
        "example/prometheus-operator-crd/*.yaml",
    ),
    "spark-operator": Archived(
        "github.com/kubeflow/spark-operator/v2",
        "v2.5.0",
        "h1:NNgTHgQMbrGZSFJtprjssdtCaL/qlYYQY1EyXuRaP78=",
        "config/crd/bases/*.yaml",
    ),
}
"""What could be had, by name. Kubeflow Pipelines' own definitions (`scheduledworkflows`, `viewers`) could not: its Go
module is not published."""


@functools.cache
def definitions(name: str, tools: KubeTools) -> tuple[Object, ...]:
    """Give the CustomResourceDefinitions of a project, without their descriptions.

    Raises: LookupError for a name that is not in `CRDS`; MissingToolError when the sources cannot be had.
    """
    if name not in CRDS:
        raise LookupError(f"there are no definitions called {name!r}; known: {', '.join(CRDS)}")
    found = [item for item in _documents(CRDS[name], tools) if item.get("kind") == "CustomResourceDefinition"]
    return tuple(_without_descriptions(item) for item in found)


def install(client: Client, tools: KubeTools, *names: str) -> list[Object]:
    """Apply the definitions of projects, wait until the API server serves them, and give them.

    Raises: as `definitions`; ApiError, TimeoutError.
    """
    applied = [client.apply(item) for name in names for item in definitions(name, tools)]
    for item in applied:
        wait_until_served(client, item["metadata"]["name"], _ESTABLISHED_SECONDS)
    return applied


def wait_until_served(client: Client, name: str, seconds: float) -> None:
    """Wait until the API server has established a definition and also names its kind, which it does a moment later.

    Raises: TimeoutError.
    """
    deadline = time.monotonic() + seconds
    target = ("apiextensions.k8s.io/v1", "CustomResourceDefinition", name, None)
    spec = (client.wait(target, is_established, seconds) or {})["spec"]
    for version in spec["versions"]:
        while version["served"] and not client.knows(f"{spec['group']}/{version['name']}", spec["names"]["kind"]):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{name} is established, but {version['name']} is not served within {seconds:g} s")
            time.sleep(_PAUSE_SECONDS)


def kustomize(folder: str, tools: KubeTools) -> list[Object]:
    """Render a folder with `kubectl kustomize`.

    Raises: ClusterError with kustomize's words; MissingToolError.
    """
    command = [str(tools.find("kubectl")), "kustomize", folder]
    answer = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        raise ClusterError(f"kubectl kustomize {folder}: {answer.stderr.strip()}")
    return list(load(answer.stdout))


def load(text: str) -> Iterator[Object]:
    """Give the objects of a YAML text, with the items of lists one by one."""
    for found in yaml.load_all(text, Loader=_Loader):
        if isinstance(found, dict) and found.get("kind") == "List":
            yield from found.get("items") or ()
        elif isinstance(found, dict) and found:
            yield found


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # chosen when it is run
    """YAML as Kubernetes reads it, by the C loader where there is one: definitions are megabytes."""


_Loader.add_constructor("tag:yaml.org,2002:value", lambda loader, node: str(loader.construct_scalar(node)))
"""A lone `=` is a text, and not what YAML 1.1 once meant by it."""


def _documents(source: Source, tools: KubeTools) -> Iterator[Object]:
    if isinstance(source, Archived):
        prefix = f"{source.module}@{source.version}/"
        with zipfile.ZipFile(tools.archive(source.module, source.version, source.sum)) as archive:
            for name in sorted(archive.namelist()):
                if fnmatch.fnmatchcase(name, prefix + source.files):
                    yield from load(archive.read(name).decode())
        return
    home = tools.source(source.module)
    for pattern in source.files:
        for path in sorted(home.glob(pattern)):
            yield from load(path.read_text())


def _without_descriptions(schema: Any) -> Any:
    """Leave texts for people out: they are most of a definition, and cost the API server memory and time."""
    if isinstance(schema, dict):
        return {
            key: _without_descriptions(value)
            for key, value in schema.items()
            if not (key == "description" and isinstance(value, str))
        }
    return [_without_descriptions(item) for item in schema] if isinstance(schema, list) else schema


def is_established(found: Object | None) -> bool:
    """Say whether the API server serves a definition."""
    conditions = ((found or {}).get("status") or {}).get("conditions") or []
    return any(item["type"] == "Established" and item["status"] == "True" for item in conditions)
