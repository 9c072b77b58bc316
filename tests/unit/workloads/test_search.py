"""A search for trees, rate and depth: seeded, never worse than the settings, told trial by trial."""

import pytest
from pydantic import ValidationError

from workloads.lifecycle.base.settings import SearchSettings, TrainingSettings
from workloads.lifecycle.registry.versions import mlflow_client
from workloads.lifecycle.training import search
from workloads.lifecycle.training import train as training

OWN = TrainingSettings(trees=30, learning_rate=0.2, depth=2)
WANTED = SearchSettings(trials=6)


def by_depth(settings):
    return 0.9 - abs(settings.depth - 4) / 10


def worse(settings):
    return 0.9 if settings == OWN else 0.5


def test_first_trial_is_the_settings_as_they_are():
    _, trials = search.search(OWN, WANTED, by_depth)
    assert trials[0].chosen == {"trees": 30, "learning_rate": 0.2, "depth": 2}
    assert [trial.number for trial in trials] == list(range(6))


def test_winner_is_the_best_trial_and_other_settings_stay():
    found, trials = search.search(OWN, WANTED, by_depth)
    best = max(trials, key=lambda trial: trial.score)
    assert best.score > trials[0].score
    assert found == OWN.model_copy(update=best.chosen)


def test_settings_stay_where_no_trial_is_better():
    assert search.search(OWN, WANTED, worse)[0] == OWN


def test_trials_stay_in_their_ranges():
    wanted = SearchSettings(trials=20, trees={"low": 10, "high": 40}, depth={"low": 2, "high": 3})
    _, trials = search.search(OWN, wanted, by_depth)
    assert {10 <= trial.trees <= 40 for trial in trials} == {True}
    assert {trial.depth for trial in trials} == {2, 3}


def test_same_seed_gives_the_same_trials():
    first, second = (search.search(OWN, WANTED, by_depth)[1] for _ in range(2))
    assert [trial.chosen for trial in first] == [trial.chosen for trial in second]


def test_search_ends_with_the_trial_in_which_its_time_ends():
    assert len(search.search(OWN, SearchSettings(trials=1_000, seconds=0.001), by_depth)[1]) < 1_000


def test_range_that_goes_downwards_is_refused_by_name():
    with pytest.raises(ValidationError, match=r"search.depth: low 5 is above high 3: exchange them"):
        SearchSettings(depth={"low": 5, "high": 3})


@pytest.fixture(scope="module")
def searched(world, tmp_path_factory):
    """A training with a search, on the world's rows; MLflow puts artifacts below the current folder."""
    settings = OWN.model_copy(update={"search": SearchSettings(trials=3, trees={"low": 10, "high": 30})})
    environment = world.environment.model_copy(
        update={"settings": world.environment.settings.model_copy(update={"training": settings})}
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(tmp_path_factory.mktemp("search"))
        return environment, training.train(environment, world.data)


def trials_of(client, run_id):
    experiment = client.get_run(run_id).info.experiment_id
    return client.search_runs([experiment], f"tags.`{search.PARENT_TAG}` = '{run_id}'")


def test_each_trial_is_a_finished_run_below_the_training(searched):
    environment, trained = searched
    client = mlflow_client(environment)
    below = trials_of(client, trained.run_id)
    assert sorted(run.data.tags[search.NUMBER_TAG] for run in below) == ["0", "1", "2"]
    assert {run.info.status for run in below} == {"FINISHED"}
    best = max(below, key=lambda run: run.data.metrics[search.SCORE])
    params = client.get_run(trained.run_id).data.params
    assert {name: params[name] for name in best.data.params} == best.data.params
    assert params["search_trials"] == "3"


def test_trials_that_were_written_are_not_written_again(searched):
    environment, trained = searched
    client = mlflow_client(environment)
    again = search.Trial(number=1, trees=1, learning_rate=0.5, depth=1, score=0.5, seconds=0.1)
    search.log(trained.run_id, [again])
    assert len(trials_of(client, trained.run_id)) == 3


def test_held_out_rows_take_no_part_in_the_trials(world, monkeypatch):
    workload, settings = world.environment.definition, OWN.model_copy(update={"search": WANTED})
    parts = training.split(workload, world.data.frame, settings)
    learnt = []
    monkeypatch.setattr(search, "search", lambda own, _, score: (own, [score(own)]))
    fit = training.fit
    monkeypatch.setattr(
        training, "fit", lambda workload, frame, *rest: learnt.append(frame) or fit(workload, frame, *rest)
    )
    training._searched(workload, parts.train, settings)
    (rows,) = learnt
    assert set(rows.index) < set(parts.train.index)
    assert not set(rows.index) & set(parts.test.index)
