import dataclasses
import io

import numpy as np
import pyarrow.dataset as ds
import pytest

from workloads.lifecycle.base.errors import WorkloadError
from workloads.lifecycle.base.store import Store
from workloads.lifecycle.features.publication import pull, read_offline
from workloads.lifecycle.serving import batch
from workloads.lifecycle.serving.batch import forget, score, score_parts
from workloads.loan_default.definition import LOAN_DEFAULT

ENTITY = LOAN_DEFAULT.keys[0]


@pytest.fixture
def here(world, tmp_path):
    """The world's features with a store of the test's own, and parts of a thousand rows."""
    settings = world.environment.settings.model_copy(
        update={"batch": world.environment.settings.batch.model_copy(update={"part_rows": 1000})}
    )
    pull(world.environment)
    environment = world.environment.model_copy(update={"settings": settings})
    store = Store.open(world.environment.model_copy(update={"artifact_store_uri": f"file://{tmp_path}/store"}))
    return environment, store


def table(store, prefix):
    path, filesystem = store.dataset(prefix)
    return ds.dataset(path, filesystem=filesystem).to_table().sort_by(ENTITY)


def test_every_customer_is_scored_once_as_the_model_server_would(here, scorer):
    environment, store = here
    assert score_parts(environment, store, scorer, "batch/run") == {"rows": 3000, "parts": 3, "resumed": 0}
    found = table(store, "batch/run")
    frame = read_offline(environment)
    assert found.column(ENTITY).to_pylist() == frame[ENTITY].tolist()
    expected = scorer.score(frame[list(LOAN_DEFAULT.features)].to_numpy(dtype=np.float32))
    np.testing.assert_array_equal(found.column("score").to_numpy(), expected.astype(np.float64))


def test_a_killed_run_is_gone_on_with_and_no_part_is_scored_twice(here, scorer):
    environment, store = here
    calls = []

    @dataclasses.dataclass(frozen=True)
    class Counting:
        fails: bool

        def score(self, rows):
            if self.fails and len(calls) == 2:
                raise KeyboardInterrupt
            calls.append(len(rows))
            return scorer.score(rows)

        def inputs(self, columns):
            return scorer.inputs(columns)

    with pytest.raises(KeyboardInterrupt):
        score_parts(environment, store, Counting(fails=True), "batch/run")
    assert score_parts(environment, store, Counting(fails=False), "batch/run")["resumed"] == 2
    assert calls == [1000, 1000, 1000]
    assert len(table(store, "batch/run")) == 3000


def test_parts_of_another_size_are_no_parts_of_this_result(here, scorer):
    environment, store = here
    score_parts(
        environment,
        store,
        scorer,
        batch.prefix_of("20261123T000000000000Z-0123456789ab", "1", environment.settings.batch),
    )
    smaller = environment.settings.batch.model_copy(update={"part_rows": 700})
    other = environment.model_copy(update={"settings": environment.settings.model_copy(update={"batch": smaller})})
    prefix = batch.prefix_of("20261123T000000000000Z-0123456789ab", "1", smaller)
    assert score_parts(other, store, scorer, prefix) == {"rows": 3000, "parts": 5, "resumed": 0}
    assert table(store, prefix).column(ENTITY).to_pylist() == read_offline(environment)[ENTITY].tolist()


def test_old_results_are_removed_and_the_current_one_stays(here):
    _, store = here
    for day in range(1, 6):
        store.write(
            f"batch/2026110{day}T000000000000Z-hash/version=1/rows=10/part-00000.parquet", io.BytesIO().getvalue()
        )
    store.write_json(batch.CURRENT, {})
    forget(store, kept=2)
    assert store.names("batch") == ["20261104T000000000000Z-hash", "20261105T000000000000Z-hash", "current.json"]


def test_without_a_champion_it_says_what_to_run(environment):
    with pytest.raises(
        WorkloadError, match=r"no champion to score with; run `python -m workloads\.lifecycle\.retraining\.release`"
    ):
        score(environment)
