"""The images as far as they can be judged without a builder, a registry and base images, none of which is here."""

import ast
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from typing import get_args

import pytest

from infra.base.images import CONTAINERFILE, Target
from infra.base.paths import CHECKOUT, cache_dir
from infra.kube.objects import USER
from tools import environments
from tools.images import PACKAGES, SOURCES
from tools.lock import IMAGES

TARGETS = get_args(Target)
REQUIREMENTS = CHECKOUT / "requirements"
PINNED = re.compile(r"[a-z0-9.-]+/[a-z0-9/_-]+:\d[\w.-]*@sha256:[0-9a-f]{64}")
LIBRARY = "workloads.lifecycle"
STAGES = (
    *("features.publication", "training.train", "validation.gate", "registry.versions", "pipelines.deployment"),
    *("retraining.__main__", "retraining.service", "retraining.worker", "operations.recovery"),
)
ENTRY = {
    "serve": ["serving.model_server", "serving.explainer"],
    "workload": [
        *(*STAGES, "serving.batch", "monitoring.check", "monitoring.outcomes", "registry.evidence"),
        *("pipelines.kubeflow", "pipelines.kubeflow_server", "retraining.scheduled", "operations.start_page.__main__"),
        "features.server",
        "pipelines.erasure",
    ],
    "ingest": [*STAGES, "retraining.release", "pipelines.nightly", "ingestion.ingest", "ingestion.executor"],
    "train-gpu": [*STAGES, "retraining.release", "ingestion.ingest", "ingestion.executor"],
}
"""What each image is started with."""

DISTRIBUTIONS = {"markdown_it": "markdown-it-py", "sklearn": "scikit-learn"}
"""Modules whose distribution has another name."""

CUDA_ONLY = {"xgboost", "nvidia-nccl-cu12"}


@dataclass
class Stage:
    base: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def all(self, name):
        return [text for instruction, text in self.instructions if instruction == name]


@pytest.fixture(scope="module")
def containerfile():
    """Arguments and stages of the Containerfile."""
    text = (CHECKOUT / CONTAINERFILE).read_text().replace("\\\n", " ")
    arguments, stages, current = {}, {}, None
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        instruction, _, rest = line.partition(" ")
        if instruction == "FROM":
            base, _, name = rest.partition(" AS ")
            current = stages[name] = Stage(base.strip())
        elif current is None:
            assert instruction == "ARG", line
            name, _, value = rest.partition("=")
            arguments[name] = value
        else:
            current.instructions.append((instruction, rest))
    return arguments, stages


def lineage(stages, name):
    """A stage and the project's stages that it is built on."""
    while name in stages:
        yield stages[name]
        name = stages[name].base


def test_there_is_a_stage_for_each_target_and_a_lock_for_it(containerfile):
    assert set(TARGETS) <= set(containerfile[1])
    assert set(IMAGES) == {"build", *TARGETS}
    assert [name for name in IMAGES if not (REQUIREMENTS / "images" / f"{name}.txt").is_file()] == []


def test_what_is_pulled_is_pinned_by_version_and_digest(containerfile):
    arguments, stages = containerfile
    pulled = {stage.base for stage in stages.values()} - set(stages)
    assert pulled == {f"${{{name}}}" for name in arguments}
    assert [image for image in arguments.values() if not PINNED.fullmatch(image)] == []


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_runs_as_the_user_that_pods_run_as_and_not_as_root(containerfile, target):
    (user,) = containerfile[1][target].all("USER")
    assert user == f"{USER}:{USER}"
    assert containerfile[1][target].instructions[-2][0] == "USER"


@pytest.mark.parametrize("target", TARGETS)
def test_packages_come_from_the_targets_own_hash_pinned_lock(containerfile, target):
    stages = containerfile[1]
    (copied,) = stages[target].all("COPY")
    assert copied == f"--from={target}-packages /packages /usr/local"
    packages = stages[f"{target}-packages"]
    assert packages.all("COPY") == [f"requirements/images/{target}.txt /requirements/"]
    (install,) = packages.all("RUN")
    assert "--require-hashes" in install
    assert "--only-binary :all:" in install
    assert install.endswith(f"--requirement /requirements/{target}.txt")


@pytest.mark.parametrize("target", TARGETS)
def test_no_installer_no_package_manager_and_no_cache_is_left(containerfile, target):
    runs = [text for stage in lineage(containerfile[1], target) for text in stage.all("RUN")]
    assert not [text for text in runs if re.search(r"\b(apt|apt-get|pip install|curl|wget|gcc)\b", text)]
    assert any("pip uninstall --yes --quiet setuptools wheel pip" in text for text in runs)


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_written_at_run_time_goes_below_tmp(containerfile, target):
    environment = dict(
        pair.split("=", 1)
        for stage in reversed(list(lineage(containerfile[1], target)))
        for text in stage.all("ENV")
        for pair in text.split()
    )
    assert {environment[name] for name in ("HOME", "MPLCONFIGDIR", "WORK_DIR")} == {
        "/tmp",
        "/tmp/matplotlib",
        "/tmp/work",
    }
    assert environment["PYTHONDONTWRITEBYTECODE"] == "1"


def test_what_is_copied_exists_and_is_part_of_the_build_context(containerfile):
    sources = [
        source
        for stage in containerfile[1].values()
        for text in stage.all("COPY")
        if not text.startswith("--from")
        for source in text.split()[:-1]
    ]
    assert PACKAGES in sources  # which `tools.images` makes
    for source in set(sources) - {PACKAGES}:
        assert (CHECKOUT / source).exists(), source
        assert any(source == known or source.startswith(f"{known}/") for known in SOURCES), source


@pytest.mark.parametrize("target", TARGETS)
def test_every_version_is_the_one_that_the_tests_run_with(target):
    known, own = versions(REQUIREMENTS / "workloads.txt"), versions(REQUIREMENTS / "images" / f"{target}.txt")
    strangers = {name for name, version in own.items() if known.get(name) != version}
    assert strangers == (CUDA_ONLY if target == "train-gpu" else set())
    assert own.get("xgboost", known["xgboost-cpu"]) == known["xgboost-cpu"]


def test_spark_is_where_ingestion_is_and_cuda_is_in_one_image_only():
    having = {
        package: {target for target in TARGETS if package in versions(REQUIREMENTS / "images" / f"{target}.txt")}
        for package in ("pyspark", "xgboost", "xgboost-cpu", "mlflow", "kserve")
    }
    assert having == {
        "pyspark": {"ingest", "train-gpu"},
        "xgboost": {"train-gpu"},
        "xgboost-cpu": {"serve", "workload", "ingest"},
        "mlflow": {"workload", "ingest", "train-gpu"},
        "kserve": {"serve"},
    }


def test_what_an_image_is_started_with_exists():
    named = {module for modules in ENTRY.values() for module in modules}
    files = {module: CHECKOUT.joinpath(*f"{LIBRARY}.{module}".split(".")).with_suffix(".py") for module in named}
    assert [module for module, file in files.items() if not file.is_file()] == []


@pytest.mark.parametrize("target", TARGETS)
def test_imports_of_an_images_entry_points_are_in_its_requirements(target):
    named = names(REQUIREMENTS / "images" / f"{target}.in")
    imported = {DISTRIBUTIONS.get(name, name.replace("_", "-")) for name in imports(ENTRY[target])}
    assert imported - named - {"infra"} == set()  # the images hold `infra.base` beside `workloads`


@pytest.mark.images
@pytest.mark.timeout(1800)  # a gigabyte to download the first time
@pytest.mark.parametrize("target", TARGETS)
def test_an_images_entry_points_import_with_its_packages_alone(target):
    """In an environment of uv's with exactly the image's lock; Linux and this Python stand in for the base image."""
    folder, uv = cache_dir() / "images" / target, environments.find_uv()
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([uv, "venv", "--quiet", folder], check=True)
    lock = REQUIREMENTS / "images" / f"{target}.txt"
    subprocess.run([uv, "pip", "sync", "--quiet", "--require-hashes", "--python", python, lock], check=True)
    lines = [f"import {LIBRARY}.{module}" for module in ENTRY[target]]
    lines += [f"import {name}" for name in sorted(imports(ENTRY[target]) | lazy(ENTRY[target], target))]
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(CHECKOUT), "HOME": os.environ["HOME"]}
    ended = subprocess.run(
        [python, "-W", "ignore", "-c", "\n".join(lines)], env=environ, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr[-2000:]


def versions(lock):
    return dict(re.findall(r"^([a-z0-9][a-z0-9._-]*)(?:\[[^\]]*\])?==([^\s;\\]+)", lock.read_text(), re.MULTILINE))


def names(requirements):
    """Distributions that an `.in` file names, with those of the files that it includes."""
    found = set()
    for line in requirements.read_text().splitlines():
        if line.startswith("-r "):
            found |= names(requirements.parent / line[3:])
        elif line and not line.startswith("#"):
            found.add(re.match(r"[a-z0-9-]+", line)[0])
    return found


def imports(modules, *, everywhere=False):
    """Foreign top-level modules that the project's modules import when imported, through each other too."""
    todo, seen, foreign = [f"{LIBRARY}.{module}" for module in modules], set(), set()
    while todo:
        module = todo.pop()
        path = CHECKOUT.joinpath(*module.split("."))
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if module in seen or not path.is_file():
            continue
        seen.add(module)
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree) if everywhere else at_import(tree):
            found = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                found = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            todo += [name for name in found if name.startswith("workloads")]
            foreign |= {name.split(".")[0] for name in found}
    return foreign - {"workloads", *sys.stdlib_module_names}


def at_import(tree):
    """Nodes outside functions and outside `if TYPE_CHECKING`."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield from at_import(node)
        elif not isinstance(node, ast.If | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def lazy(modules, target):
    """What functions import later; the model server calls few of those that it can reach."""
    if target == "serve":
        return {"feast", "onnxruntime", "psycopg", "xgboost"}
    later = imports(modules, everywhere=True)
    return later if target != "workload" else later - {"pyspark"}
