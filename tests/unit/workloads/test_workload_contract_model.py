"""What every workload passes, whatever its problem: training, gate, registry, batch."""

from pathlib import Path

import mlflow
import numpy as np
import pyarrow.dataset as ds
import pytest

from workloads.lifecycle.base.errors import GateError
from workloads.lifecycle.base.store import Store
from workloads.lifecycle.registry import evidence
from workloads.lifecycle.registry.versions import CHAMPION, alias_version, download_bundle, mlflow_client, register
from workloads.lifecycle.retraining import late
from workloads.lifecycle.serving import batch
from workloads.lifecycle.training import estimators
from workloads.lifecycle.training.bundle import Scorer
from workloads.lifecycle.training.encoding import Encoding
from workloads.lifecycle.training.train import MODEL_CARD, split, train
from workloads.lifecycle.validation import judgement
from workloads.lifecycle.validation.gate import validate

from . import contract

MEASURES = {"binary": {"test_auc", "test_brier"}, "regression": {"test_rmse", "test_mae", "test_concordance"}}
RANKING = {"binary": "AUC", "regression": "concordance"}
REQUEST_ROWS = 100


@pytest.fixture
def client(released):
    return mlflow_client(released.environment)


def artifact(client, released, name, folder):
    return Path(client.download_artifacts(released.trained.run_id, name, str(folder))).read_text()


def test_onnx_twin_answers_as_the_logged_model(released, client, tmp_path):
    folder, checksum = download_bundle(client, released.trained.run_id, tmp_path)
    twin = Scorer.load(folder, checksum, released.workload)
    encoding = Encoding(twin.manifest.features, twin.manifest.categories)
    version = client.get_model_version(released.workload.model_name, released.registered.version)
    model = mlflow.pyfunc.load_model(version.source)
    rows = split(released.workload, released.published.data.frame, released.environment.settings.training).test
    span = released.workload.outcome.highest - released.workload.outcome.lowest
    answers = model.predict(encoding.matrix(rows)).reshape(len(rows), -1)[:, -1]  # the last column is the probability
    gaps = np.abs(answers - twin.score(twin.inputs(rows))) / span
    ties = artifact(client, released, "onnx_ties.txt", tmp_path).splitlines()
    limit = estimators.parity_limit(released.workload.problem, released.environment.settings.training.trees)
    assert (gaps > limit).sum() == len(ties) < len(rows) / 100
    assert len(rows) == int(client.get_run(released.trained.run_id).data.params["test_rows"]) > 400


def test_card_and_facts_name_the_measures_of_the_problem(released, client, tmp_path):
    card = artifact(client, released, MODEL_CARD, tmp_path)
    facts = contract.facts(released.environment, released.registered.version, tmp_path)
    for problem, names in MEASURES.items():
        theirs = problem == released.workload.problem
        for name in names:
            assert (f"| {name} |" in card) == (name in facts["candidate"]) == theirs
    assert f"Predicts {released.workload.description[0].lower()}{released.workload.description[1:]}" in card
    assert facts["contract"]["problem"] == released.workload.problem


def test_release_policy_allows_the_model(released):
    assert (released.verdict.allowed, released.verdict.reasons) == (True, ())


def test_shuffled_outcomes_are_refused_with_a_reason(released, client):
    environment, workload = released.environment, released.workload
    data = contract.shuffled(released.published.data, workload.outcome.label)
    run_id = train(environment, data).run_id
    verdict = validate(environment, run_id, data)
    assert not verdict.allowed
    assert any(reason.startswith(f"{RANKING[workload.problem]} 0.") for reason in verdict.reasons), verdict.reasons
    before = alias_version(environment, client, CHAMPION)
    with pytest.raises(GateError, match=f"was refused by the release policy: .*{RANKING[workload.problem]}"):
        register(environment, run_id)
    assert alias_version(environment, client, CHAMPION) == before


def test_first_registered_model_is_the_champion_with_evidence(released, client):
    version = client.get_model_version(released.workload.model_name, released.registered.version)
    assert (released.registered.version, released.registered.previous) == ("1", None)
    assert alias_version(released.environment, client, CHAMPION) == "1"
    assert version.description.startswith(f"# {released.workload.model_name}")
    assert evidence.check(released.environment) >= 1


def test_batch_scores_each_entity_once_as_the_server_does(released, served):
    done = batch.score(served)
    latest, workload = released.published.latest, released.workload
    path, files = Store.open(served).dataset(done.prefix)
    scored = ds.dataset(path, filesystem=files).to_table().to_pandas()
    assert done.parts == -(-len(latest) // served.settings.batch.part_rows)
    assert contract.keys_of(workload, scored) == contract.keys_of(workload, latest)
    instances = contract.keys_of(workload, latest.head(REQUEST_ROWS))
    assert scored["score"].head(REQUEST_ROWS).tolist() == contract.answers(served, instances)


def test_late_watch_scores_rows_as_the_champion_was_judged(released):
    rows = released.published.data.frame.head(50)
    scores = late.scored(released.environment, released.registered.version, rows)
    assert scores.shape == (50,)
    assert np.isfinite(scores).all()
    assert len(set(scores.tolist())) > 1


def test_card_and_evidence_hold_bounds_and_rows(released, client, tmp_path):
    card = artifact(client, released, MODEL_CARD, tmp_path)
    judged = contract.facts(released.environment, released.registered.version, tmp_path)["bounds"]
    assert card.count(judgement.HEADING) == 1
    assert f"By {judged['judged_rows']} held-out rows of {judged['judged_units']} entities" in card
    for name, bound in judged["candidate"].items():
        assert f"| {name} | {bound['low']:.4f} | {bound['value']:.4f} | {bound['high']:.4f} |" in card
    record = evidence.promotions(released.environment)[0]
    assert record.bounds == judged["candidate"]
    assert record.rows == {"learnt": judged["learnt_rows"], "judged": judged["judged_rows"]}
    said = evidence.described(record)
    assert said.startswith(f"promotion of version {record.version}, by ")
    assert f"{judged['judged_rows']} judged" in said
