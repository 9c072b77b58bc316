"""The three verdicts on retraining windows of several sizes, by the real policy: honest rows and poisoned ones.

Nothing poisoned is promoted at any size. Honest rows are promoted, or are not enough, by name, and are promoted once
the window has grown by what the verdict asks for. `make test` runs a sample, `pytest -m soak` the whole matrix; the
number of seeds is `SEEDS`.
"""

import os
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from workloads.lifecycle.features.publication import TrainingSet, pull, read_offline
from workloads.lifecycle.ingestion.ingest import ingest
from workloads.lifecycle.quality.measures import ranking
from workloads.lifecycle.training.train import fit, split
from workloads.lifecycle.validation.gate import decide, measure
from workloads.loan_default.definition import LOAN_DEFAULT

from .test_retraining_poisoned import LABEL, POISON, drifted

pytestmark = pytest.mark.timeout(36_000)
ROWS = 30_000
PEOPLE = 120_000
"""Customers of whom windows are drawn, in the soak."""

SIZES = (2_000, 5_000, 10_000, 30_000)
SEEDS = int(os.environ.get("SEEDS", "10"))
STEPS = 5
KINDS = POISON | {
    "the outcome leaks faintly": lambda f: f.assign(CreditScore=f["CreditScore"] - 150 * f[LABEL]),
    "the outcome leaks into the accounts": lambda f: f.assign(NumOpenAccounts=f["NumOpenAccounts"] + 7 * f[LABEL]),
    "one age for all": lambda f: f.assign(Age=40),
    "half of the outcomes are lost": lambda f: f.assign(**{LABEL: f[LABEL].where(f.index % 2 == 0, 0)}),
}


class Fitted:
    """A model that answers as its bundle would, without the seconds that a bundle takes."""

    def __init__(self, model, data_hash):
        self._model = model
        self.manifest = SimpleNamespace(features=LOAN_DEFAULT.features, data_hash=data_hash)

    def inputs(self, columns):
        return self._model.matrix(columns)

    def score(self, matrix):
        return self._model.estimator.predict_proba(matrix)[:, 1]


class Loop:
    """A champion and its retrains, each by the windows' own checks and the gate."""

    def __init__(self, environment, ingested, base, people):
        self.environment, self.people = environment, people
        self._settings = environment.settings.training
        self._known = split(LOAN_DEFAULT, base, self._settings)
        self._data = TrainingSet(ingested, base, known=base)
        self._champion = Fitted(fit(LOAN_DEFAULT, self._known.train, self._settings), ingested.data_hash)

    def verdict(self, window):
        """The decision about a model of a window, with the reasons and the missing rows."""
        settings, scores = self.environment.settings.retraining, self._champion.score(self._champion.inputs(window))
        labels = window[LABEL].to_numpy()
        if len(set(labels)) == 1 or ranking("binary", labels, scores) < settings.min_champion_auc:
            return "refuse", ("the outcomes are not believed",), 0
        if abs(labels.mean() - scores.mean()) > settings.max_rate_gap:
            return "refuse", ("the outcomes are not believed",), 0
        parts = split(LOAN_DEFAULT, window, self._settings)
        candidate = Fitted(fit(LOAN_DEFAULT, parts.train, self._settings), self._data.ingested.data_hash)
        facts = measure(
            LOAN_DEFAULT,
            parts,
            replace(self._data, frame=window),
            candidate,
            self._champion,
            known=self._known.test,
            champion_rows=len(self._known.train),
        )
        found = decide(self.environment, facts | {"latency_p99_ms": 0.1})  # the stand-in is no bundle
        return found.decision, found.reasons, found.more_rows

    def grown(self, rows, seed, change):
        """Verdicts of a window that grows by what each verdict asks for, and the last reasons."""
        order = np.random.default_rng(seed).permutation(len(self.people))
        verdicts = []
        for _ in range(STEPS):
            window = change(self.people.iloc[order[:rows]].reset_index(drop=True))
            decision, reasons, more = self.verdict(window)
            verdicts.append((rows, decision))
            if decision != "insufficient" or rows == len(self.people):
                break
            rows = min(rows + more, len(self.people))
        return verdicts, reasons


@pytest.fixture(scope="module")
def make_loop(tmp_path_factory, spark, environment_in, opa_url):
    def make(people):
        folder = tmp_path_factory.mktemp("windows")
        found = []
        for rows, seed in ((ROWS, 42), (people, 7))[: 1 + (people > ROWS)]:
            environment = environment_in(folder / str(seed), ingestion={"generator_rows": rows, "generator_seed": seed})
            environment = environment.model_copy(update={"opa_url": opa_url})
            environment = environment.model_copy(update={"ingestion_run": ingest(environment, spark).run})
            found.append((environment, pull(environment), read_offline(environment)))
        (environment, ingested, base), *_ = found
        return Loop(environment, ingested, base, found[-1][2])

    return make


@pytest.fixture(scope="module")
def loop(make_loop):
    return make_loop(ROWS)


@pytest.fixture(scope="module")
def population(make_loop):
    return make_loop(PEOPLE)


@pytest.mark.parametrize("name", ["a tenth of the outcomes turned around", "scores of others"])
def test_small_poisoned_window_is_not_promoted(loop, name):
    verdicts, reasons = loop.grown(2_000, 1, lambda rows: KINDS[name](drifted(rows)))
    assert "promote" not in [decision for _, decision in verdicts], reasons


def test_small_honest_window_is_promoted_once_it_has_grown(loop):
    verdicts, reasons = loop.grown(2_000, 1, drifted)
    assert verdicts[-1][1] == "promote", (verdicts, reasons)
    assert verdicts[0][1] == "insufficient"


@pytest.mark.soak
@pytest.mark.parametrize("rows", SIZES)
@pytest.mark.parametrize("name", KINDS)
def test_poisoned_window_is_not_promoted_at_any_size(population, name, rows):
    ended = [population.grown(rows, seed, lambda f: KINDS[name](drifted(f)))[0][0][1] for seed in range(SEEDS)]
    sys.stdout.write(f"{name}, {rows} rows: { {each: ended.count(each) for each in set(ended)} }\n")
    assert "promote" not in ended


@pytest.mark.soak
@pytest.mark.parametrize("change", [drifted, lambda rows: rows], ids=["drifted", "same"])
@pytest.mark.parametrize("rows", SIZES)
def test_honest_windows_end_in_a_promotion_in_19_of_20(population, rows, change):
    ended = [population.grown(rows, seed, change) for seed in range(SEEDS)]
    at_once = sum(verdicts[0][1] == "promote" for verdicts, _ in ended)
    promoted = sum(verdicts[-1][1] == "promote" for verdicts, _ in ended)
    sys.stdout.write(f"{rows} rows: {at_once} of {SEEDS} promoted at once, {promoted} in the end\n")
    assert promoted >= 0.95 * SEEDS, [found for found in ended if found[0][-1][1] != "promote"]
