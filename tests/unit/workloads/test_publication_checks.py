import re
from datetime import UTC, datetime

import pandas as pd
import pytest

from workloads.lifecycle.base.errors import DataError
from workloads.lifecycle.features import publication
from workloads.lifecycle.ingestion.ingest import Ingested

RUN = Ingested(
    run="20261123T000000000000Z-000000000000",
    data_hash="-",
    source="pumps.csv",
    rows=2,
    quarantined={},
    event_timestamp=datetime(2026, 11, 23, tzinfo=UTC),
)


@pytest.fixture
def check(environment, monkeypatch):
    """Joins a run of two pumps of one site, whose columns a test changes."""
    environment = environment.model_copy(update={"workload": "tests.unit.workloads.pumps:PUMPS"})
    monkeypatch.setattr(publication, "pull", lambda _environment: RUN)

    def joined(**changes):
        columns = {
            "Site": ["A0", "A0"],
            "Pump": [1, 2],
            "SiteHeat": [60.0, 60.0],
            "Warmth": [60.0, None],
            "Pumped": ["oil", None],
            "Load": [50, 60],
            "worn_next_week": pd.array([1, None], dtype="Int64"),
            "event_timestamp": pd.to_datetime([RUN.event_timestamp] * 2),
            "created": pd.to_datetime([RUN.event_timestamp] * 2),
        }
        folder = environment.work / "features" / "current" / "dt=2026-11-23"
        folder.mkdir(parents=True)
        pd.DataFrame(columns | changes).to_parquet(folder / "part.parquet", index=False)
        return publication.ingested_set(environment).frame

    return joined


def test_row_whose_outcome_is_not_known_is_left_out(check):
    frame = check()
    assert frame[["Pump", "worn_next_week"]].to_numpy().tolist() == [[1, 1]]
    assert frame["worn_next_week"].dtype == "int64"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"Pump": ["1", "2"]}, "the ingested column 'Pump' is string, expected int64; ingest again"),
        ({"SiteHeat": [60.0, None]}, "column 'SiteHeat' misses 1 of 2 values: make it nullable in the definition"),
        (
            {"SiteHeat": [60.0, 61.0]},
            "view 'site_features' has two rows for the same Site, event_timestamp: derive its",
        ),
        ({"worn_next_week": [1, 2]}, "worn_next_week is 2 in 1 rows, allowed 0 to 1; correct how it is derived"),
        (
            {"worn_next_week": pd.array([None, None], dtype="Int64")},
            f"no row of run {RUN.run} has a known outcome (worn_next_week), so there is nothing to learn",
        ),
    ],
)
def test_run_that_breaks_the_definition_is_refused(check, changes, message):
    with pytest.raises(DataError, match=re.escape(message)):
        check(**changes)
