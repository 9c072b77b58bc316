"""`python -m stacks.commands.bom`: writes `docs/bom.md`, the bill of materials, from the pins and the locks."""

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.base.kind_environments import ENVIRONMENTS
from infra.base.paths import CHECKOUT

FILE = CHECKOUT / "docs" / "bom.md"
RENOVATE = CHECKOUT / "renovate.json"
HEAD = """\
# Bill of materials

Made by `python -m stacks.commands.bom` from the pins and the locks; a test fails when it is not renewed.
`docs/how-to/upgrade.md` says how a version is raised. This page lists what was chosen; the locks in `requirements` and
`tools` hold all transitive dependencies too, with hashes.

Run by the tests in these versions: Pulumi, the Python packages, the Go modules. Named, and never run here: images,
charts, manifests and add-ons, whose versions were looked up; see "Honest limits" in `README.md`.
"""
_PACKAGE = re.compile(r"^(?P<name>[A-Za-z0-9][\w.-]*)(?:\[[\w,]+\])?(?P<wanted>[=<>!~][^\s#]*)?", re.MULTILINE)
_ACTION = re.compile(r"uses: (?P<name>[\w./-]+)@(?P<digest>[0-9a-f]{40}) # (?P<version>v\S+)")
_BASE_IMAGE = re.compile(
    r"^ARG \w+_IMAGE=(?P<name>[^:\s]+):(?P<version>[^@\s]+)@(?P<digest>sha256:[0-9a-f]{64})$", re.MULTILINE
)


@dataclass(frozen=True, kw_only=True, order=True)
class Pin:
    """A version that was chosen."""

    name: str

    version: str

    file: str
    """Path in the checkout of what says so."""


def custom_managers() -> list[dict[str, Any]]:
    """What Renovate is told to look for, besides what it knows by itself."""
    found: list[dict[str, Any]] = json.loads(RENOVATE.read_text())["customManagers"]
    return found


def seen(manager: Mapping[str, Any]) -> Iterator[Pin]:
    """What Renovate finds by one of its custom managers in the checkout."""
    expressions = [_python(each) for each in manager["matchStrings"]]
    for path in _files(manager):
        text = path.read_text()
        if manager.get("matchStringsStrategy") == "recursive":
            outer, inner = expressions
            for block in outer.finditer(text):
                for each in inner.finditer(block[0]):
                    values = block.groupdict() | each.groupdict()
                    kubernetes = f" ({values['kubernetes']})" if "kubernetes" in values else ""
                    yield _pin(f"{values['depName']}{kubernetes}", values["currentValue"], path)
        else:
            for expression in expressions:
                for found in expression.finditer(text):
                    yield _pin(found["depName"], found["currentValue"], path)


def _files(manager: Mapping[str, Any]) -> list[Path]:
    patterns = [re.compile(each.strip("/")) for each in manager["managerFilePatterns"]]
    candidates = sorted((CHECKOUT / "infra").rglob("*.py"))
    return [path for path in candidates if any(each.search(str(path.relative_to(CHECKOUT))) for each in patterns)]


def _python(expression: str) -> re.Pattern[str]:
    """A JavaScript regular expression's named groups as Python spells them."""
    return re.compile(re.sub(r"\(\?<(?=\w)", "(?P<", expression))


def _pin(name: str, version: str, path: Path) -> Pin:
    return Pin(name=name, version=version, file=str(path.relative_to(CHECKOUT)))


def python_packages(name: str) -> Iterator[Pin]:
    """The packages that an environment asks for, in the versions of its lock."""
    source = CHECKOUT / "requirements" / f"{name}.in"
    lock = source.with_suffix(".txt")
    locked = dict(re.findall(r"^([a-z0-9][\w.-]*)==([^\s;\\]+)", lock.read_text(), re.MULTILINE))
    for found in _PACKAGE.finditer(source.read_text()):
        yield _pin(found["name"], locked[found["name"]], lock)


def go_modules() -> Iterator[Pin]:
    """The modules whose programs are built."""
    for file in sorted((CHECKOUT / "tools").rglob("go.mod")):
        text = file.read_text()
        required = dict(re.findall(r"^\s*(?:require )?(\S+\.\S+/\S+) (v\S+)", text, re.MULTILINE))
        tools = re.findall(r"^(?:tool |\t)(\S+\.\S+/\S+)$", text, re.MULTILINE)
        modules = {max((each for each in required if f"{tool}/".startswith(f"{each}/")), key=len) for tool in tools}
        yield from (_pin(module, required[module], file) for module in sorted(modules))


def matches(expression: re.Pattern[str], *files: Path) -> Iterator[Pin]:
    """What an expression with the groups `name` and `version` finds, once each."""
    found = {
        _pin(each["name"], each["version"], path) for path in files for each in expression.finditer(path.read_text())
    }
    names = {(pin.name, pin.version): pin for pin in sorted(found, reverse=True)}
    yield from sorted(names.values())


def sections() -> dict[str, list[Pin]]:
    """Title to the pins below it."""
    workflows = sorted((CHECKOUT / ".github" / "workflows").glob("*.yml"))
    *others, addons = (sorted(seen(manager)) for manager in custom_managers())
    return {
        "Python packages: the Pulumi program": sorted({*python_packages("infra"), *python_packages("cloud")}),
        "Python packages: the workload": sorted(python_packages("workloads")),
        "Python packages: servers of a kind": sorted(
            pin for name in ENVIRONMENTS.values() for pin in python_packages(name)
        ),
        "Go modules": list(go_modules()),
        "Images, charts and manifests of others": sorted(itertools.chain.from_iterable(others)),
        "Base images": list(matches(_BASE_IMAGE, CHECKOUT / "workloads" / "lifecycle" / "images" / "Containerfile")),
        "Add-ons of EKS (by Kubernetes version)": addons,
        "Actions": list(matches(_ACTION, *workflows)),
    }


def text() -> str:
    """The document."""
    lines = [HEAD.rstrip()]
    for title, pins in sections().items():
        lines += ["", f"## {title}", "", "| what | version | pinned in |", "|---|---|---|"]
        lines += [f"| {pin.name} | {pin.version} | `{pin.file}` |" for pin in pins]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
