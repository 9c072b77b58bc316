"""The process that explains: dead, stuck, busy and given nonsense, it costs its own requests and no others."""

import asyncio
import os
import signal
from contextlib import asynccontextmanager

import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor

from workloads.lifecycle.base.errors import DataError, RequestError
from workloads.lifecycle.base.settings import ServingSettings, TrainingSettings, XgboostEstimator
from workloads.lifecycle.serving.explainer import Explained, Explainer
from workloads.lifecycle.training import estimators, explanations
from workloads.lifecycle.training.bundle import BOOSTER_FILE, Bundle, BundleError, Manifest, sha256
from workloads.loan_default.definition import LOAN_DEFAULT
from workloads.turbofan.definition import TURBOFAN

ROWS = 400
SLOW = 60.0
"""Seconds that a loaded machine may need to start the process."""


@pytest.fixture(scope="module")
def rows():
    found = np.random.default_rng(1).normal(size=(ROWS, 4)).astype(np.float32)
    found[:, 1] = found[:, 1].round()  # many rows lie on the edge of a split
    return found


@pytest.fixture(scope="module")
def labels(rows):
    return (rows[:, 0] + rows[:, 1] > 0.3).astype(int)


@pytest.fixture(scope="module")
def booster(rows, labels):
    made = explanations.booster(GradientBoostingClassifier(n_estimators=20, random_state=1).fit(rows, labels))
    return Explained(sha256(made), made)


def sums(content, rows):
    return explanations.contributions(content, rows).astype(np.float64).sum(axis=1)


@pytest.mark.parametrize("has_missing", [False, True])
@pytest.mark.parametrize("library", ["sklearn", "xgboost"])
@pytest.mark.parametrize("workload", [LOAN_DEFAULT, TURBOFAN], ids=lambda each: each.problem)
def test_sum_of_contributions_is_the_models_own_margin(rows, labels, workload, library, has_missing):
    estimator = XgboostEstimator(kind="xgboost") if library == "xgboost" else None
    settings = TrainingSettings(estimator=estimator or {"kind": "sklearn"}, trees=60, depth=4)
    given = rows.astype(np.float64)
    if has_missing:
        given[np.random.default_rng(2).random(given.shape) < 0.1] = np.nan
    outcomes = labels if workload.problem == "binary" else labels * 100 + rows[:, 2]
    model = estimators.make(workload, settings, missing=has_missing).fit(given, outcomes)
    found = sums(explanations.booster(model), given.astype(np.float32))
    answers = estimators.predict(model, given)
    explained = 1 / (1 + np.exp(-found)) if workload.problem == "binary" else found
    np.testing.assert_allclose(explained, answers, atol=1e-6 if workload.problem == "binary" else 1e-3)


def test_contribution_of_a_feature_that_no_tree_splits_by_is_nothing(rows):
    model = GradientBoostingRegressor(n_estimators=20, random_state=1).fit(rows[:, :3], rows[:, 0] * 2)
    found = explanations.contributions(explanations.booster(model), rows[:, :3])
    assert np.abs(found[:, 0]).mean() > 10 * np.abs(found[:, 1:3]).mean()


def test_booster_of_another_model_is_refused_at_training(rows, labels, booster):
    other = GradientBoostingClassifier(n_estimators=20, random_state=1).fit(rows, 1 - labels)
    with pytest.raises(DataError, match="explanations differ"):
        explanations.check(booster.content, "binary", rows, other.predict_proba(rows)[:, 1])


def manifest(**changes):
    fields = {"features": ("a",), "data_hash": "d", "ingestion_run": "r", "trained_at": "2026-12-01T00:00:00Z"}
    return Manifest(**(fields | {"run_id": "run", "model_sha256": sha256(b"model")} | changes))


def test_manifest_covers_the_booster():
    made = manifest(booster_sha256=sha256(b"trees"))
    raw = made.to_bytes()
    assert Bundle.check(raw, b"model", sha256(raw), b"trees").booster == b"trees"
    for other in (b"", b"other trees"):
        with pytest.raises(BundleError, match=BOOSTER_FILE):
            Bundle.check(raw, b"model", sha256(raw), other)


def test_manifest_before_explanations_has_the_bytes_that_were_signed():
    raw = manifest().to_bytes()
    assert b"booster" not in raw
    assert Bundle.check(raw, b"model", sha256(raw)).booster == b""
    with pytest.raises(BundleError, match=BOOSTER_FILE):
        Bundle.check(raw, b"model", sha256(raw), b"trees")


@asynccontextmanager
async def explaining(**changes):
    """An explainer that ends with the test, its pipes too."""
    explainer = Explainer(ServingSettings(explain_seconds=SLOW, **changes))
    try:
        yield explainer
    finally:
        process = explainer._process
        explainer.stop()
        if process is not None:
            await process.wait()
        await asyncio.sleep(0.1)


def test_process_explains_as_the_library_does(rows, booster):
    async def ask():
        async with explaining() as explainer:
            return [await explainer.explain(booster, rows[start : start + 3]) for start in (0, 3)]

    found = np.concatenate(asyncio.run(ask()))
    np.testing.assert_array_equal(found, explanations.contributions(booster.content, rows[:6]))


def test_killed_process_is_503_and_the_next_request_starts_another(rows, booster):
    async def ask():
        async with explaining() as explainer:
            await explainer.explain(booster, rows[:1])
            os.kill(explainer._process.pid, signal.SIGSTOP)
            waiting = asyncio.create_task(explainer.explain(booster, rows[:1]))
            await asyncio.sleep(0)
            assert explainer._turn.locked()  # it has its turn, and has asked by then
            os.kill(explainer._process.pid, signal.SIGKILL)
            with pytest.raises(RequestError, match="starts again") as caught:
                await waiting
            assert caught.value.status == 503
            return await explainer.explain(booster, rows[:1])

    assert asyncio.run(ask()).shape == (1, 5)


def test_stuck_process_costs_its_request_a_bounded_time(rows, booster):
    async def ask():
        async with explaining() as explainer:
            await explainer.explain(booster, rows[:1])
            stuck = explainer._process
            os.kill(stuck.pid, signal.SIGSTOP)
            explainer._seconds = 0.3
            with pytest.raises(RequestError, match=r"more than 0\.3 s") as caught:
                await explainer.explain(booster, rows[:1])
            assert (caught.value.status, caught.value.retry_after_seconds) == (503, 1)
            assert await asyncio.wait_for(stuck.wait(), SLOW) == -signal.SIGKILL
            explainer._seconds = SLOW
            return await explainer.explain(booster, rows[:1])

    assert asyncio.run(ask()).shape == (1, 5)


def test_one_request_more_than_may_wait_is_503_at_once(rows, booster):
    async def ask():
        async with explaining(max_waiting_explanations=2) as explainer:
            first = [asyncio.create_task(explainer.explain(booster, rows[:1])) for _ in range(2)]
            await asyncio.sleep(0)
            with pytest.raises(RequestError, match="2 explanations wait"):
                await explainer.explain(booster, rows[:1])
            return await asyncio.gather(*first)

    assert len(asyncio.run(ask())) == 2


def test_booster_that_is_none_is_503_with_the_reason(rows, booster):
    async def ask():
        async with explaining() as explainer:
            with pytest.raises(RequestError, match="the explainer failed"):
                await explainer.explain(Explained("0" * 64, b"no trees"), rows[:1])
            return await explainer.explain(booster, rows[:1])

    assert asyncio.run(ask()).shape == (1, 5)


def test_process_ends_with_the_server(rows, booster):
    async def ask():
        async with explaining() as explainer:
            await explainer.explain(booster, rows[:1])
            process = explainer._process
        return process.returncode

    assert asyncio.run(ask()) == -signal.SIGKILL
