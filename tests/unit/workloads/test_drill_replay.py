import re

import numpy as np
import pandas as pd
import pytest

from workloads.lifecycle.ingestion.observation import EVENT_TIMESTAMP
from workloads.lifecycle.operations.drill.replay import UNFINISHED_SHARE, replayed
from workloads.loan_default.definition import LOAN_DEFAULT
from workloads.turbofan.definition import TURBOFAN

LIVES = {1: 4, 2: 9, 3: 6, 4: 12, 5: 8}
DAY = pd.Timestamp("2026-01-31", tz="UTC")


def engines():
    """Engines whose newest cycle is as old as the ingestion, in no order."""
    rows = [
        {"unit": unit, "Cycle": cycle, "remaining_cycles": life - cycle}
        | {EVENT_TIMESTAMP: DAY - pd.Timedelta(days=life - cycle)}
        for unit, life in LIVES.items()
        for cycle in range(1, life + 1)
    ]
    return pd.DataFrame(rows).sample(frac=1, random_state=3).reset_index(drop=True)


def test_engines_begin_together_and_go_cycle_by_cycle():
    replay = replayed(engines(), TURBOFAN, 1_000, 1)
    assert replay.rows["Cycle"].is_monotonic_increasing
    assert set(replay.rows["unit"]) == set(LIVES)


def test_outcomes_are_known_once_their_engine_has_failed():
    replay = replayed(engines(), TURBOFAN, 1_000, 1)
    running = set(replay.rows["unit"][replay.known_after < 0])
    assert len(running) == len(LIVES) * UNFINISHED_SHARE
    for unit in set(LIVES) - running:
        mine = replay.rows["unit"] == unit
        assert list(replay.rows["Cycle"][mine]) == list(range(1, LIVES[unit] + 1))
        assert set(replay.known_after[mine]) == {replay.rows.index[mine][-1]}
    for unit in running:
        assert replay.rows["Cycle"][replay.rows["unit"] == unit].max() == np.ceil(LIVES[unit] / 2)
    ends = {unit: replay.known_after[replay.rows["unit"] == unit].max() for unit in set(LIVES) - running}
    assert len(set(ends.values())) == len(ends), "they fail at different cycles"
    assert re.search(r"5 entities, 4 of which ended, after \d+ to \d+ rows", replay.says)


def test_each_known_outcome_is_due_once():
    replay = replayed(engines(), TURBOFAN, 1_000, 1)
    parts = [replay.due(start, start + 5) for start in range(0, len(replay.rows), 5)]
    assert sorted(index for part in parts for index in part.index) == list(np.flatnonzero(replay.known_after >= 0))


def test_replay_holds_whole_engines_up_to_the_count():
    replay = replayed(engines(), TURBOFAN, 20, 1)
    assert 0 < len(replay.rows) <= 20
    assert len(replayed(engines(), TURBOFAN, 1, 1).rows) > 0


@pytest.mark.parametrize(
    ("workload", "frame"), [(LOAN_DEFAULT, engines()), (TURBOFAN, engines().drop(columns=EVENT_TIMESTAMP))]
)
def test_rows_without_a_time_are_a_sample_whose_outcomes_come_last(workload, frame):
    replay = replayed(frame, workload, 10, 1)
    assert len(replay.due(9, 10)) == len(replay.rows) == 10
    assert replay.due(0, 9).empty
