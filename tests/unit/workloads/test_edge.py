"""A model that left the platform answers as the served one."""

import json
import shutil
import subprocess
import sys

import pytest

from workloads.lifecycle.base.environment import Environment
from workloads.lifecycle.base.errors import WorkloadError
from workloads.lifecycle.operations.edge import __main__ as edge
from workloads.lifecycle.registry.signature import UnsignedError
from workloads.lifecycle.training.bundle import MANIFEST_FILE, MODEL_FILE, sha256

from .keys import TRUSTED
from .registry_stand_in import tree

FILES = {MODEL_FILE, edge.ORT_FILE, MANIFEST_FILE, edge.VERDICT_FILE, edge.CARD_FILE, *edge.RUNNERS}
RUNTIME = "onnxruntime-web@1.30.0"


@pytest.fixture
def environment(registry):
    return Environment(
        workload="workloads.loan_default.definition:LOAN_DEFAULT", mlflow_tracking_uri=registry.url, **TRUSTED
    )


@pytest.fixture
def exported(environment, tmp_path):
    folder = tmp_path / "edge"
    return folder, edge.export(edge.fetch(environment), environment, folder)


def run(folder, program, values, *words):
    command = [*program, json.dumps(values), *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return float(done.stdout)


def test_folder_holds_model_verdict_and_runners_of_the_champion(exported, registry):
    folder, card = exported
    assert {path.name for path in folder.iterdir()} == FILES
    assert card == json.loads((folder / edge.CARD_FILE).read_text())
    assert (card["version"], card["verifying_key"]) == ("1", TRUSTED["verifying_key"])
    assert sha256((folder / MANIFEST_FILE).read_bytes()) == registry.versions["1"]["bundle_sha256"]


def test_runner_gives_the_answer_of_the_served_model(exported):
    folder, card = exported
    assert run(folder, [sys.executable, "run.py"], card["example"]) == pytest.approx(card["answer"], abs=1e-6)


@pytest.mark.soak
def test_node_runner_gives_the_answer_of_the_served_model(exported):
    folder, card = exported
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        pytest.skip("node is not installed")
    subprocess.run([npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", RUNTIME], cwd=folder, check=True)
    for model in (MODEL_FILE, edge.ORT_FILE):
        assert run(folder, [node, "run.mjs"], card["example"], model) == pytest.approx(card["answer"], abs=1e-6)


def test_missing_value_is_unknown_to_the_runner_too(exported, environment):
    folder, card = exported
    values = card["example"] | {card["features"][0]: None}
    scorer = edge.fetch(environment).scorer
    served = float(scorer.score(scorer.inputs({name: [value] for name, value in values.items()}))[0])
    assert run(folder, [sys.executable, "run.py"], values) == pytest.approx(served, abs=1e-6)


def test_version_is_chosen_by_its_number(environment, tmp_path):
    assert edge.export(edge.fetch(environment, "2"), environment, tmp_path / "edge")["version"] == "2"


def test_folder_that_holds_something_is_left_alone(environment, tmp_path):
    (tmp_path / "kept.txt").write_text("kept")
    before = tree(tmp_path)
    with pytest.raises(WorkloadError, match="is there already: give a folder that is new or empty"):
        edge.export(edge.fetch(environment), environment, tmp_path)
    assert tree(tmp_path) == before


def test_version_without_a_signed_verdict_is_not_exported(environment, registry):
    del registry.versions["1"]["signed_verdict"]
    with pytest.raises(UnsignedError, match="it has no signed verdict"):
        edge.fetch(environment)


def test_registry_without_a_champion_is_told_how_to_get_one(environment, registry):
    registry.aliases = {}
    with pytest.raises(WorkloadError, match="has no champion: release one with `make up`"):
        edge.fetch(environment)


def test_file_that_answers_otherwise_is_not_written(environment, registry, tmp_path, monkeypatch):
    other = registry.files["1/2/serving/" + MODEL_FILE]
    convert = edge._convert
    monkeypatch.setattr(edge, "_convert", lambda _, path: convert(flipped(other), path))
    with pytest.raises(WorkloadError, match=r"model\.ort answers up to .* beside the served version 1, allowed 1e-06"):
        edge.export(edge.fetch(environment), environment, tmp_path / "edge")
    assert not (tmp_path / "edge").exists()


def flipped(model):
    """The model with other leaves."""
    import onnx  # noqa: PLC0415

    graph = onnx.load_from_string(model)
    for node in graph.graph.node:
        for attribute in node.attribute:
            if attribute.name in {"class_weights", "target_weights"}:
                attribute.floats[:] = [-value for value in attribute.floats]
    return graph.SerializeToString()
