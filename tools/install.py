"""`python3 -m tools.install [part ...]`: gets what the platform needs, outside the checkout, once.

Runs on a bare Python 3.11 or newer with its standard library. Parts: `infra` and `workloads` (Python environments),
`cloud` (adds the cloud SDKs to `infra`), `pulumi` (CLI), `tools` (OPA and versitygw), `system` (packages of the
operating system); `judges` and `checkov` for `make validate`; for images `supply_chain` (lists what is in them) and
`cosign`, which signs; `docs` (the site of the documents, and a kernel for the notebook); `airflow` (servers of the kind
`airflow-on-host`); for tests: `validators` (Envoy, axe-core), `clients` (of the prediction API), `coverage` (for
`make test COVERAGE=1`), and built from source `kubernetes` (control plane), `kubernetes-provider`, `gatekeeper`,
`kserve`, `helm`; `node`, `node-system` and `node-images`, a real Kubernetes node and what builds images for it, for
`make test-node` and `make soak-node` alone; and `actionlint`, which checks workflows.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.base import paths
from infra.base.kind_environments import ENVIRONMENTS
from tools import (
    environments,
    image_signing,
    inventory,
    provider_plugin,
    pulumi_cli,
    stack_files,
    stamps,
    system_packages,
)
from tools.console import exit_with_errors_in_one_line, say
from tools.go_tools import Module

KUBERNETES = "1.36.2"
"""Version of the test control plane and node; tools/kubernetes/go.mod and tools/node/go.mod name it too."""

_VERSION_FLAGS = " ".join(
    f"-X k8s.io/component-base/version.git{name}={value}"
    for name, value in zip(("Version", "Major", "Minor"), (f"v{KUBERNETES}", *KUBERNETES.split(".")[:2]), strict=True)
)
"""Without them kubelet and API server do not know their own version, and the API server refuses to start."""

GO_PARTS = {
    "tools": (Module("", ("opa", "versitygw")),),
    "actionlint": (Module("actionlint", ("actionlint",)),),
    "gatekeeper": (Module("gatekeeper", ("gatekeeper", "gator")),),
    "kubernetes": (
        Module("etcd", ("etcd",)),
        Module("kwok", ("kwok",)),
        Module(
            "kubernetes", ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl"), _VERSION_FLAGS
        ),
    ),
    "node": (Module("node", ("kube-proxy", "kubelet"), _VERSION_FLAGS), Module("coredns", ("coredns",))),
    "kserve": (Module("kserve", ("kserve",)),),
    "helm": (Module("helm", ("helm",)),),
}
"""Parts that are built from Go modules, each in the order of need."""

OF_A_CHECKOUT = (
    *("infra", "cloud", "workloads", "validators", "judges", "checkov", "clients", "supply_chain", "docs", "coverage"),
    *ENVIRONMENTS.values(),
)
"""Parts that are Python environments of one checkout."""

COSIGN = Module("cosign", ("cosign", "registry"))
"""Signs images; and a registry in memory, for tests."""


@dataclass(frozen=True)
class Part:
    """Something to install."""

    is_there: Callable[[], bool]
    """Quick: reads stamps, starts nothing."""

    get: Callable[[], object]


def _environment(name: str) -> Part:
    return _locked(name, lambda: environments.lock_of(name))


def _cloud() -> Part:
    return _locked("infra", lambda: environments.REQUIREMENTS / "cloud.txt")


def _locked(name: str, lock: Callable[[], Path]) -> Part:
    """An environment as a lock says; the one of the program has `.venv` pointing to it."""

    def get() -> None:
        environments.make(name, lock())
        if name == "infra":
            environments.link()

    return Part(lambda: environments.is_made(name, lock()) and _is_linked(name), get)


def _is_linked(name: str) -> bool:
    link = paths.CHECKOUT / ".venv"
    return name != "infra" or (link.is_symlink() and link.readlink() == paths.environment_dir("infra"))


def _built(modules: Sequence[Module]) -> Part:
    def get() -> None:
        for module in modules:
            module.build()

    return Part(lambda: all(module.is_built() for module in modules), get)


def parts() -> dict[str, Part]:
    """Every part by name, in the order in which they need one another."""
    return {
        "system": Part(system_packages.are_there, system_packages.install),
        "node-system": Part(
            lambda: system_packages.are_there(system_packages.NODE_PROGRAMS),
            lambda: system_packages.install(system_packages.NODE_PROGRAMS),
        ),
        "node-images": Part(
            lambda: system_packages.are_there(system_packages.IMAGE_PROGRAMS),
            lambda: system_packages.install(system_packages.IMAGE_PROGRAMS),
        ),
        "test-system": Part(
            lambda: system_packages.are_there(system_packages.TEST_PROGRAMS),
            lambda: system_packages.install(system_packages.TEST_PROGRAMS),
        ),
        "infra": _environment("infra"),
        "cloud": _cloud(),
        "workloads": _environment("workloads"),
        "validators": _environment("validators"),
        "judges": _environment("judges"),
        "checkov": _environment("checkov"),
        "clients": _environment("clients"),
        "supply_chain": _environment("supply_chain"),
        "docs": _environment("docs"),
        "coverage": _environment("coverage"),
        "kubernetes-provider": Part(provider_plugin.is_there, provider_plugin.build),
        "cosign": Part(lambda: image_signing.find() is not None, COSIGN.build),
        "pulumi": Part(lambda: pulumi_cli.chosen() is not None, pulumi_cli.install),
    } | {
        **{name: _environment(name) for name in ENVIRONMENTS.values()},
        **{name: _built(modules) for name, modules in GO_PARTS.items()},
    }


def needed(stack: str) -> list[str]:
    """The parts that a stack needs here: `local` runs everything on this machine, the others the engine and OPA.

    Servers with an environment of their own are installed where the stack file names their kind.
    """
    everywhere = ["infra", "pulumi", "tools"]
    everywhere += sorted(ENVIRONMENTS[kind] for kind in stack_files.kinds(stack) & set(ENVIRONMENTS))
    return ["system", "workloads", *everywhere] if stack == "local" else ["cloud", *everywhere]


def _lock(name: str) -> Path:
    """Environments are each checkout's own, and `cloud` extends `infra`; everything else is the machine's."""
    if name in OF_A_CHECKOUT:
        return paths.environment_dir("infra" if name == "cloud" else name).with_suffix(".lock")
    return paths.cache_dir() / "locks" / f"{name}.lock"


def install(names: Sequence[str]) -> None:
    """Get the parts that are not there; each is got by one installer at a time, others go on with other parts.

    Raises: ToolError for the first part that cannot be had.
    """
    known = parts()
    missing = [name for name in known if name in names and not known[name].is_there()]
    if not missing:
        return
    for name in missing:
        with stamps.only_one(_lock(name), name):
            if not known[name].is_there():
                known[name].get()
    say("everything is installed")


def main(arguments: Sequence[str] | None = None) -> int:
    """Install, or list what is installed."""
    everything = parts()
    parser = argparse.ArgumentParser(prog="python3 -m tools.install", description=__doc__)
    parser.add_argument("part", nargs="*", choices=[*everything, []], help="default: all that the stack needs")
    parser.add_argument("--stack", default="local", help="the stack to install for; default: local")
    parser.add_argument(
        "--check", action="store_true", help="list each tool and provider plugin, its version and where it came from"
    )
    given = parser.parse_args(arguments)
    stack_files.source(given.stack)
    if given.check:
        inventory.show(given.stack)
        return 0
    install(given.part or needed(given.stack))
    return 0


if __name__ == "__main__":
    exit_with_errors_in_one_line(main)
