"""A real node on which the workload's own images run, and the whole of the dev stack that needs no chart."""

import json
import os
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pytest_pulumi.command import NoEngineError, find_cli
from pytest_pulumi.engine import Stack
from pytest_pulumi_kubernetes import KServe, KubernetesApi, KubeTools, MissingToolError
from pytest_pulumi_kubernetes.real_node import NodeOptions, RealNode
from pytest_pulumi_kubernetes.stand_ins import Image
from simulated_pulumi.backend import TemporaryBackend
from simulated_pulumi.providers import Random

from infra.base import paths, pins
from stacks.commands import forward
from tests import stand_in_charts
from tests.node import built, images, pods
from tests.node.workload import program, watching
from tests.node.workload.sizes import Sizes
from tools import install, provider_plugin

PARTS = ("kubernetes", "node", "tools", "kserve")
UP_SECONDS = 3000


@pytest.fixture(scope="session")
def kube_tools() -> KubeTools:
    """The control plane, the node and KServe that the installer builds."""
    modules = [module for part in PARTS for module in install.GO_PARTS[part]]
    return KubeTools(
        folders=(*(module.folder / "bin" for module in modules), *images.SYSTEM),
        modules=tuple(paths.CHECKOUT / "tools" / module.name for module in modules),
        hint=f"run `python3 -m tools.install {' '.join(PARTS)} node-system node-images`",
    )


@pytest.fixture(scope="session")
def built_images() -> Path:
    """Folder of the images that the real Containerfile gives."""
    try:
        return built.folder()
    except MissingToolError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def kube_node_options(request: pytest.FixtureRequest, kube_tools: KubeTools, built_images: Path) -> NodeOptions:
    """Stand-ins for the images of others, and the stack's own images."""
    try:
        pushgateway = Image(
            reference=pins.PUSHGATEWAY_IMAGE,
            stands_for="Debian's Pushgateway",
            files={"/bin/pushgateway": kube_tools.find("prometheus-pushgateway")},
            entrypoint=["/bin/pushgateway"],
        )
        made = [*images.stand_ins(kube_tools), pushgateway, *watching.images(kube_tools.find)]
    except MissingToolError as error:
        pytest.skip(str(error))
    workload = built.digests(built_images)["workload"].partition("@")[2]
    named = [f"{each.reference}: {each.stands_for}" for each in made if each.stands_for]
    named += [
        f"{pins.MLFLOW_IMAGE}: the image `workload`, which has the same MLflow",
        "serve, workload, ingest: the real Containerfile on a Debian with this machine's Python and Java",
    ]
    request.config.stash[images.NAMED] = named
    return NodeOptions(
        images=made,
        built=built_images,
        aliases={pins.MLFLOW_IMAGE: workload},
        cache=paths.cache_dir() / "stand-ins",
    )


@dataclass
class Platform:
    """The stack, up on the node."""

    node: RealNode

    stack: Stack

    outputs: dict[str, Any]

    folder: Path

    sizes: Sizes


SIZES = pytest.StashKey[Sizes]()


def pytest_terminal_summary(terminalreporter, config) -> None:
    """Print how much memory was used."""
    measured = config.stash.get(SIZES, None)
    if measured is not None and measured.peaks:
        terminalreporter.section("peak of each component's memory, and its limit")
        terminalreporter.write_line(measured.table())


@pytest.fixture(scope="session")
def platform(
    request: pytest.FixtureRequest,
    kube_node: RealNode,
    built_images: Path,
    tmp_path_factory: pytest.TempPathFactory,
):
    """The stack with its first release."""
    folder = tmp_path_factory.mktemp("stack")
    kube_node.cluster.install_definitions("prometheus-operator")
    program.reserve_little(kube_node.cluster.client)
    official, charts = provider_plugin.find(), None
    if official:
        charts = tmp_path_factory.mktemp("charts")
        stand_in_charts.write(charts)
    providers = [Random()] if official else [Random(), KubernetesApi(tools=kube_node.tools)]
    environment = {"PATH": f"{official.parent}{os.pathsep}{os.environ['PATH']}"} if official else {}
    with KServe(
        kube_node.cluster, namespace="kserve-real", gateway="kserve/models", domain="models.internal", runtimes=False
    ):
        try:
            stack = Stack(
                find_cli(),
                TemporaryBackend(tmp_path_factory.mktemp("pulumi")),
                program=program.of(kube_node, folder, built.digests(built_images), charts),
                project="mlplatform",
                providers=providers,
                environment=environment,
                timeout_seconds=UP_SECONDS,
            )
        except NoEngineError as error:
            pytest.skip(str(error))
        measured = request.config.stash[SIZES] = Sizes(kube_node.cluster.client).start()
        try:
            up = stack.up(parallel=32)
            yield Platform(kube_node, stack, dict(up.outputs), folder, measured)
        finally:
            measured.close()
            stack.close()


@pytest.fixture(scope="session")
def watched(platform: Platform) -> Platform:
    """The stack with Prometheus and Alertmanager."""
    watching.start(platform.node)
    return platform


@pytest.fixture(scope="session")
def forwarded(platform: Platform, tmp_path_factory: pytest.TempPathFactory):
    """The stack's outputs as the commands of people read them, by the ports that `make forward` opens meanwhile."""
    kubectl = platform.node.tools.find("kubectl").parent
    environment = os.environ | {"PATH": f"{kubectl}{os.pathsep}{os.environ['PATH']}"}
    file = tmp_path_factory.mktemp("outputs") / "outputs.json"
    file.touch(mode=0o600)
    file.write_text(json.dumps(platform.outputs))
    log = file.with_name("forward.log")
    with file.open() as given, log.open("w") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "stacks.commands.forward"],
            stdin=given,
            stdout=said,
            stderr=subprocess.STDOUT,
            cwd=paths.CHECKOUT,
            env=environment,
        )
    try:
        url = f"http://127.0.0.1:{platform.outputs['forwards']['model']['local_port']}/v2/health/live"
        pods.await_(lambda: _answers(url), "no forwarded port answers", log.read_text, 60)
        yield forward.led(platform.outputs)
    finally:
        process.terminate()
        process.wait()


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except OSError:
        return False
    return True
