import os
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from workloads.lifecycle.base.errors import AliasMovedError, GateError, WorkloadError
from workloads.lifecycle.registry import challenge as announcements
from workloads.lifecycle.registry import evidence
from workloads.lifecycle.registry.challenge import CHALLENGE_TAG, Challenge
from workloads.lifecycle.registry.signature import FACTS_FILE
from workloads.lifecycle.registry.verdict import VERDICT_TAG, Verdict
from workloads.lifecycle.registry.versions import (
    BUNDLE_URI_TAG,
    CHALLENGER,
    CHAMPION,
    PREVIOUS,
    alias_version,
    candidate_of,
    challenge,
    end_challenge,
    mlflow_client,
    move,
    register,
    register_candidate,
    rollback,
    unusable,
)
from workloads.lifecycle.training.bundle import MODEL_FILE
from workloads.lifecycle.training.report import model_card
from workloads.lifecycle.training.train import BUNDLE_TAG, MODEL_CARD, train
from workloads.lifecycle.validation.gate import _champion_scorer
from workloads.loan_default.definition import LOAN_DEFAULT

MODEL_NAME = LOAN_DEFAULT.model_name
ALLOWED = Verdict(allowed=True, reasons=(), bias={})


@pytest.fixture(scope="module")
def world(world, judge):
    return replace(world, environment=world.environment.model_copy(update={"opa_url": judge.url}))


@pytest.fixture(scope="module")
def runs(world):
    """Three trained runs in MLflow (sqlite, no server): two allowed, one refused, all from the same rows."""
    before = Path.cwd()
    os.chdir(world.environment.work)
    client = mlflow_client(world.environment)
    made = [train(world.environment, world.data).run_id for _ in range(3)]
    for run_id in made:
        facts = {BUNDLE_TAG: client.get_run(run_id).data.tags[BUNDLE_TAG], "bias": {}}
        client.log_dict(run_id, facts, FACTS_FILE)
    for run_id in made[:2]:
        client.set_tag(run_id, VERDICT_TAG, ALLOWED.model_dump_json())
    refused = Verdict(allowed=False, reasons=("AUC 0.5 is below 0.75",), bias={})
    client.set_tag(made[2], VERDICT_TAG, refused.model_dump_json())
    yield made
    os.chdir(before)


@pytest.fixture(scope="module")
def client(world, runs):
    assert len(runs) == 3
    return mlflow_client(world.environment)


def test_a_run_explains_itself(client, runs, world):
    run = client.get_run(runs[0])
    names = {item.path for folder in ("", "plots", "serving") for item in client.list_artifacts(runs[0], folder)}
    assert {"model_card.md", "environment.txt", "onnx_ties.txt", "plots/roc.png", "plots/calibration.png"} <= names
    assert {"plots/confusion.png", "plots/importance.png", "serving/model.onnx", "serving/manifest.json"} <= names
    assert run.data.tags["data_hash"] == world.ingested.data_hash
    assert run.data.params["trees"] == "200"
    assert run.data.metrics["test_auc"] == client.get_run(runs[1]).data.metrics["test_auc"]


def test_run_is_named_after_its_data_until_it_has_a_version(client, runs, world):
    assert client.get_run(runs[2]).info.run_name.startswith(f"data {world.ingested.data_hash[:8]}, 20")


def test_card_of_generated_data_says_so_and_names_no_card_holders(client, runs, world):
    card = Path(client.download_artifacts(runs[2], MODEL_CARD, str(world.environment.work))).read_text()
    assert "the rows are generated and describe nothing real" in card
    assert "2005" not in card


def test_card_of_the_original_data_names_its_card_holders(world):
    original = world.ingested.model_copy(update={"source": "uci_credit_card_default.csv"})
    card = model_card(LOAN_DEFAULT, original, {"test_auc": 0.76}, world.environment.settings.training)
    assert "Taiwanese card holders of 2005" in card
    assert "generated" not in card


def test_promotion_moves_the_alias_keeps_the_old_and_leaves_evidence(client, runs, world):
    environment = world.environment
    assert alias_version(environment, client, CHAMPION) is None
    first = register(environment, runs[0])
    assert (first.version, first.previous) == ("1", None)
    assert register(environment, runs[0]).evidence == first.evidence
    assert client.get_run(runs[0]).info.run_name == "version 1"
    assert client.get_model_version(MODEL_NAME, "1").description.startswith("# loan-default-model")
    second = register(environment, runs[1])
    assert (second.version, second.previous) == ("2", "1")
    assert (alias_version(environment, client, CHAMPION), alias_version(environment, client, PREVIOUS)) == ("2", "1")
    tags = client.get_model_version(MODEL_NAME, "2").tags
    assert tags[BUNDLE_TAG] == client.get_run(runs[1]).data.tags[BUNDLE_TAG]
    assert tags[BUNDLE_URI_TAG].endswith("/serving")
    back = rollback(environment)
    assert (back.version, back.previous) == ("1", "2")
    assert evidence.check(environment) == 3
    forward = rollback(environment)
    assert (forward.version, alias_version(environment, client, PREVIOUS)) == ("2", "1")


def test_candidates_of_a_retrain_leave_the_aliases_alone(client, runs, world):
    before = [alias_version(world.environment, client, alias) for alias in (CHAMPION, PREVIOUS)]
    assert candidate_of(world.environment, "retrain-7") is None
    found = [register_candidate(world.environment, run_id, "retrain-7") for run_id in runs[:2]]
    assert candidate_of(world.environment, "retrain-7") == max(found, key=int)
    assert candidate_of(world.environment, "retrain-8") is None
    assert [alias_version(world.environment, client, alias) for alias in (CHAMPION, PREVIOUS)] == before


def test_a_move_asks_its_fence_and_happens_once(client, world):
    champion, other = (alias_version(world.environment, client, alias) for alias in (CHAMPION, PREVIOUS))

    def lost():
        raise GateError("another owner")

    with pytest.raises(GateError, match="another owner"):
        move(world.environment, champion, other, "promotion", lost)
    with pytest.raises(AliasMovedError, match=f"`champion` names version {champion} instead of 77"):
        move(world.environment, "77", other, "promotion", lost)
    assert [alias_version(world.environment, client, alias) for alias in (CHAMPION, PREVIOUS)] == [champion, other]
    asked = []
    for _ in range(2):
        move(world.environment, champion, other, "promotion", lambda: asked.append(1))
    assert [alias_version(world.environment, client, alias) for alias in (CHAMPION, PREVIOUS)] == [other, champion]
    assert len(asked) == 2
    rollback(world.environment)


def test_a_challenger_is_an_alias_that_its_promotion_takes_away(client, runs, world):
    champion = alias_version(world.environment, client, CHAMPION)
    version = register_candidate(world.environment, runs[0])
    fenced = []
    announced = Challenge(id="a" * 32, version=version, champion=champion or "99", until=2e9)
    challenge(world.environment, announced, lambda: fenced.append(1))
    challenge(world.environment, announced, lambda: fenced.append(2))  # renews the announcement only
    tags = client.get_registered_model(world.environment.definition.model_name).tags
    assert (announcements.announced(tags[CHALLENGE_TAG]), fenced) == (announced, [1, 1, 2])
    assert (
        alias_version(world.environment, client, CHALLENGER),
        alias_version(world.environment, client, CHAMPION),
    ) == (version, champion)
    register(world.environment, runs[0])
    assert (
        alias_version(world.environment, client, CHALLENGER),
        alias_version(world.environment, client, CHAMPION),
    ) == (None, version)
    rollback(world.environment)
    challenge(world.environment, announced, lambda: None)
    assert (end_challenge(world.environment, "999"), end_challenge(world.environment)) == (None, version)
    assert end_challenge(world.environment) is None
    assert CHALLENGE_TAG not in client.get_registered_model(world.environment.definition.model_name).tags


def test_a_refused_run_is_not_registered(client, runs, world):
    champion = alias_version(world.environment, client, CHAMPION)
    with pytest.raises(GateError, match=r"was refused by the release policy: AUC 0.5 is below 0.75"):
        register(world.environment, runs[2])
    assert alias_version(world.environment, client, CHAMPION) == champion


def test_a_run_without_verdict_or_bundle_is_not_registered(client, world):
    experiment = client.get_experiment_by_name("loan-default-prediction").experiment_id
    bare = client.create_run(experiment).info.run_id
    with pytest.raises(GateError, match="has no verdict: run"):
        register(world.environment, bare)
    client.set_tag(bare, VERDICT_TAG, ALLOWED.model_dump_json())
    with pytest.raises(GateError, match="has no complete bundle"):
        register(world.environment, bare)


def test_an_altered_artifact_is_not_registered(client, runs, world):
    client.set_tag(runs[2], VERDICT_TAG, ALLOWED.model_dump_json())
    client.set_tag(runs[2], BUNDLE_TAG, "0" * 64)
    with pytest.raises(WorkloadError, match="does not have the registered checksum"):
        register(world.environment, runs[2])


@pytest.fixture
def damaged(client):
    """Damages the bundle of a version; mends it after the test."""
    kept = {}

    def damage(version):
        run = client.get_run(client.get_model_version(MODEL_NAME, version).run_id)
        file = Path(unquote(urlsplit(run.info.artifact_uri).path)) / "serving" / MODEL_FILE
        kept[file] = file.read_bytes()
        file.write_bytes(b"damaged")

    yield damage
    for file, content in kept.items():
        file.write_bytes(content)


def test_unreadable_champion_does_not_become_previous(client, runs, world, damaged, capsys):
    register(world.environment, runs[0])
    champion, previous = (
        alias_version(world.environment, client, CHAMPION),
        alias_version(world.environment, client, PREVIOUS),
    )
    assert unusable(client, world.environment, champion) is None
    damaged(champion)
    done = register(world.environment, runs[1])
    assert (alias_version(world.environment, client, CHAMPION), alias_version(world.environment, client, PREVIOUS)) == (
        done.version,
        previous,
    )
    assert f"the bundle of version {champion} cannot be read: {MODEL_FILE} does not have" in capsys.readouterr().out


def test_rollback_to_an_unreadable_version_names_its_run(client, world, damaged):
    damaged(alias_version(world.environment, client, PREVIOUS))
    run_id = client.get_model_version(MODEL_NAME, alias_version(world.environment, client, PREVIOUS)).run_id
    champion = alias_version(world.environment, client, CHAMPION)
    with pytest.raises(WorkloadError, match=f"the bundle of run {run_id} cannot be used: {MODEL_FILE}"):
        rollback(world.environment)
    assert alias_version(world.environment, client, CHAMPION) == champion


def test_unreadable_champion_counts_as_none_in_the_gate(client, world, damaged, capsys):
    version = alias_version(world.environment, client, CHAMPION)
    assert _champion_scorer(client, world.environment, version) is not None
    damaged(version)
    assert _champion_scorer(client, world.environment, version) is None
    assert f"the bundle of version {version} cannot be read" in capsys.readouterr().out
