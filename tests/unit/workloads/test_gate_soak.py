"""Twenty poisoned trainings that must not pass the gate, ten good ones that must, judged by the real OPA.

Takes the real rows when `DATA` names the CSV, else the generator's. Run by `pytest -m soak`.
"""

import os
import time

import numpy as np
import pytest

from workloads.lifecycle.base.errors import WorkloadError
from workloads.lifecycle.base.settings import TrainingSettings
from workloads.lifecycle.features.publication import TrainingSet, pull, read_offline
from workloads.lifecycle.ingestion.ingest import ingest
from workloads.lifecycle.training.bundle import Scorer
from workloads.lifecycle.training.estimators import to_onnx
from workloads.lifecycle.training.train import fit, split
from workloads.lifecycle.validation.gate import decide, measure
from workloads.loan_default.definition import LOAN_DEFAULT

from . import servers

LABEL = LOAN_DEFAULT.outcome.label
pytestmark = [pytest.mark.soak, pytest.mark.timeout(1200)]
REFERENCE = TrainingSettings()


@pytest.fixture(scope="module")
def opa_url(tmp_path_factory):
    with servers.opa(tmp_path_factory.mktemp("opa")) as url:
        yield url


@pytest.fixture(scope="module")
def rows(tmp_path_factory, spark, environment_in):
    environment = environment_in(tmp_path_factory.mktemp("soak"), ingestion={"generator_rows": 30_000})
    data = os.environ.get("DATA")
    environment = environment.model_copy(update={"data": data or ""})
    environment = environment.model_copy(update={"ingestion_run": ingest(environment, spark).run})
    return TrainingSet(pull(environment), read_offline(environment))


@pytest.fixture(scope="module")
def judge(rows, opa_url, environment_in, bundle_in, tmp_path_factory):
    folder = tmp_path_factory.mktemp("judged")
    environment = environment_in(folder).model_copy(update={"opa_url": opa_url})
    champion = None

    def train(frame, settings=REFERENCE):
        nonlocal champion
        parts = split(LOAN_DEFAULT, frame, settings)
        place = folder / f"bundle-{time.time_ns()}"
        data = TrainingSet(rows.ingested, frame)
        checksum = bundle_in(
            place, to_onnx(fit(LOAN_DEFAULT, parts.train, settings).estimator), data_hash=data.ingested.data_hash
        )
        scorer = Scorer.load(place, checksum, LOAN_DEFAULT)
        verdict = decide(environment, measure(LOAN_DEFAULT, parts, data, scorer, champion))
        champion = champion or scorer
        return verdict

    assert train(rows.frame).allowed, "the reference itself must pass"
    return train


def flipped(frame, share, seed):
    rng = np.random.default_rng(seed)
    flip = rng.random(len(frame)) < share
    return frame.assign(**{LABEL: np.where(flip, 1 - frame[LABEL], frame[LABEL])})


def biased(frame, column, value):
    """Everybody of one group is written down as a defaulter's score, whatever happened."""
    hit = frame[column] == value
    return frame.assign(CreditScore=frame["CreditScore"].where(~hit, 320))


POISON = {
    "labels flipped 10 %": lambda f: flipped(f, 0.1, 1),
    "labels flipped 20 %": lambda f: flipped(f, 0.2, 2),
    "labels flipped 30 %": lambda f: flipped(f, 0.3, 3),
    "labels flipped 50 %": lambda f: flipped(f, 0.5, 4),
    "labels flipped 90 %": lambda f: flipped(f, 0.9, 5),
    "labels shuffled": lambda f: f.assign(**{LABEL: f[LABEL].sample(frac=1, random_state=1).to_numpy()}),
    "label leaks into the score": lambda f: f.assign(CreditScore=np.where(f[LABEL] == 1, 400, 700)),
    "label leaks into the income": lambda f: f.assign(Income=f["Income"] + f[LABEL] * 1e6),
    "label leaks faintly": lambda f: f.assign(CreditScore=f["CreditScore"] - 150 * f[LABEL]),
    "label leaks into the accounts": lambda f: f.assign(NumOpenAccounts=f["NumOpenAccounts"] + 7 * f[LABEL]),
    "constant score": lambda f: f.assign(CreditScore=680),
    "constant income": lambda f: f.assign(Income=30_000.0),
    "constant age": lambda f: f.assign(Age=40),
    "score of another": lambda f: f.assign(CreditScore=f["CreditScore"].sample(frac=1, random_state=2).to_numpy()),
    "NaN": lambda f: f.assign(Income=f["Income"].where(f.index % 7 != 0)),
    "women score badly": lambda f: biased(f, "SEX", 2),
    "one education scores badly": lambda f: biased(f, "EDUCATION", 2),
    "the young score badly": lambda f: f.assign(CreditScore=f["CreditScore"].where(f["Age"] > 30, 310)),
    "few rows": lambda f: f.head(900),
    "half of the labels are lost": lambda f: f.assign(**{LABEL: f[LABEL].where(f.index % 2 == 0, 0)}),
}
UNDER_FIT = {"one tree": TrainingSettings(trees=1), "tiny rate": TrainingSettings(learning_rate=0.001, trees=5)}


@pytest.mark.parametrize("name", POISON)
def test_poisoned_data_does_not_pass(rows, judge, name):
    try:
        verdict = judge(POISON[name](rows.frame))
    except WorkloadError:
        return
    assert not verdict.allowed, name
    assert verdict.reasons


@pytest.mark.parametrize("name", UNDER_FIT)
def test_an_under_fitted_model_does_not_pass(rows, judge, name):
    assert not judge(rows.frame, UNDER_FIT[name]).allowed


@pytest.mark.parametrize("column", ["Age", "CreditScore"])
def test_a_wrong_schema_does_not_pass(rows, judge, column):
    with pytest.raises(KeyError):
        judge(rows.frame.drop(columns=column))


@pytest.mark.parametrize("seed", range(10))
def test_a_good_training_passes(rows, judge, seed):
    kept = rows.frame.sample(frac=0.95, random_state=seed).sort_values("CustomerID", ignore_index=True)
    verdict = judge(kept, TrainingSettings(trees=190 + 2 * seed))
    assert verdict.allowed, verdict.reasons
