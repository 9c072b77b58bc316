"""The three verdicts on retraining windows of several sizes, by the real policy: honest rows and poisoned ones.

Nothing poisoned is promoted at any size. Honest rows are promoted, or are not enough, by name, and are promoted once
the window has grown by what the verdict asks for. `make test` runs a sample, `pytest -m soak` the whole matrix; the
number of seeds is `SEEDS`.
"""

import os
import sys

import pytest

from workloads.lifecycle.features.publication import pull, read_offline
from workloads.lifecycle.ingestion.ingest import ingest

from .gate_matrix import KINDS, PEOPLE, ROWS, SIZES, Loop
from .poisons import drifted

pytestmark = pytest.mark.timeout(36_000)
SEEDS = int(os.environ.get("SEEDS", "10"))


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
