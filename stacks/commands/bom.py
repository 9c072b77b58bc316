"""`python -m stacks.commands.bom`: writes the bill of materials from the pins and the locks, for programs and people.

Programs read `docs/bom.json`, which is CycloneDX; people read `docs/bom.md`, the same as tables.
"""

import json
import re
from collections.abc import Iterator
from itertools import chain
from typing import Any

from infra.base import images, pins
from infra.base.kind_environments import ENVIRONMENTS
from infra.base.materials import Component, component, image
from infra.base.paths import CHECKOUT
from infra.cluster.eks_versions import ADDONS
from infra.kube import charts
from infra.kube.charts import Chart

FILE = CHECKOUT / "docs" / "bom.md"
PINS, CHARTS, EKS = "infra/base/pins.py", "infra/kube/charts.py", "infra/cluster/eks_versions.py"
HEAD = """\
# Bill of materials

Made by `python -m stacks.commands.bom` from the pins and the locks; a test fails when it is not renewed.
`docs/bom.json` holds the same as CycloneDX, for scanners. `docs/how-to/upgrade.md` says how a version is raised.
This page lists what was chosen; the locks in `requirements` and `tools` hold all transitive dependencies too, with
hashes.

Run by the tests in these versions: Pulumi, the Python packages, the Go modules. Named, and never run here: images,
charts, manifests and add-ons, whose versions were looked up; see "Honest limits" in `README.md`.
"""
_PACKAGE = re.compile(r"^([A-Za-z0-9][\w.-]*)", re.MULTILINE)
_ACTION = re.compile(r"uses: ([\w./-]+)@[0-9a-f]{40} # (v\S+)")


def _python(*names: str) -> Iterator[Component]:
    """The packages that environments ask for, in the versions of their locks."""
    for name in names:
        lock = f"requirements/{name}.txt"
        locked = dict(re.findall(r"^([a-z0-9][\w.-]*)==([^\s;\\]+)", (CHECKOUT / lock).read_text(), re.MULTILINE))
        for package in _PACKAGE.findall((CHECKOUT / "requirements" / f"{name}.in").read_text()):
            yield component("library", package, locked[package], f"pypi/{package}@{locked[package]}", lock)


def _go() -> Iterator[Component]:
    """The modules whose programs are built."""
    for file in sorted((CHECKOUT / "tools").rglob("go.mod")):
        text, path = file.read_text(), str(file.relative_to(CHECKOUT))
        required = dict(re.findall(r"^\s*(?:require )?(\S+\.\S+/\S+) (v\S+)", text, re.MULTILINE))
        tools = re.findall(r"^(?:tool |\t)(\S+\.\S+/\S+)$", text, re.MULTILINE)
        modules = {max((each for each in required if f"{tool}/".startswith(f"{each}/")), key=len) for tool in tools}
        for module in sorted(modules):
            yield component("library", module, required[module], f"golang/{module}@{required[module]}", path)


def _of_others() -> Iterator[Component]:
    """Images, charts and manifests."""
    for name, value in vars(pins).items():
        if name.endswith("_IMAGE"):
            yield image(value, PINS)
    yield _on_github("awslabs/amazon-eks-ami", pins.AL2023_AMI, PINS)
    yield _on_github("kubeflow/pipelines", pins.KUBEFLOW_PIPELINES, PINS)
    for chart in vars(charts).values():
        if isinstance(chart, Chart):
            yield _chart(chart)


def _chart(chart: Chart) -> Component:
    registry = chart.repository.removeprefix("oci://")
    if registry != chart.repository:
        return image(f"{registry}/{chart.name}:{chart.version}", CHARTS) | {"type": "application"}
    purl = f"helm/{chart.name}@{chart.version}?repository_url={chart.repository}"
    return component("application", chart.name, chart.version, purl, CHARTS)


def _on_github(name: str, version: str, file: str) -> Component:
    return component("application", name, version, f"github/{name}@{version}", file)


def _addons() -> Iterator[Component]:
    for kubernetes, addons in ADDONS.items():
        for name, version in addons.items():
            purl = f"generic/{name}@{version}?kubernetes={kubernetes}"
            yield component("application", f"{name} ({kubernetes})", version, purl, EKS)


def _actions() -> Iterator[Component]:
    """Actions of the workflows, each with the first workflow that uses it."""
    found: dict[tuple[str, str], str] = {}
    for file in sorted((CHECKOUT / ".github" / "workflows").glob("*.yml")):
        for used in _ACTION.findall(file.read_text()):
            found.setdefault(used, str(file.relative_to(CHECKOUT)))
    yield from (_on_github(name, version, file) for (name, version), file in found.items())


def sections() -> dict[str, list[Component]]:
    """Title to the components below it."""
    found = {
        "Python packages: the Pulumi program": _python("infra", "cloud"),
        "Python packages: the workload": _python("workloads"),
        "Python packages: servers of a kind": _python(*ENVIRONMENTS.values()),
        "Go modules": _go(),
        "Images, charts and manifests of others": _of_others(),
        "Base images": (image(each, images.CONTAINERFILE) for each in images.bases()),
        "Add-ons of EKS (by Kubernetes version)": _addons(),
        "Actions": _actions(),
    }
    return {title: sorted(each, key=lambda one: (one["name"], one["version"])) for title, each in found.items()}


def text() -> str:
    """The document for people."""
    lines = [HEAD.rstrip()]
    for title, components in sections().items():
        lines += ["", f"## {title}", "", "| what | version | pinned in |", "|---|---|---|"]
        lines += [f"| {each['name']} | {each['version']} | `{_file(each)}` |" for each in components]
    return "\n".join(lines) + "\n"


def _file(pinned: Component) -> str:
    return str(pinned["evidence"]["occurrences"][0]["location"])


def bill() -> str:
    """The document for programs."""
    found: dict[str, Any] = {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1}
    found["metadata"] = {"component": {"type": "application", "name": "mlplatform", "bom-ref": "mlplatform"}}
    found["components"] = list(chain.from_iterable(sections().values()))
    return json.dumps(found, indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
    FILE.with_suffix(".json").write_text(bill(), encoding="utf-8")
