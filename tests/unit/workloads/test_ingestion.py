import csv
import random
from datetime import UTC, datetime

import pyarrow.parquet as pq
import pytest

from workloads.lifecycle.base.errors import DataError, WorkloadError
from workloads.lifecycle.base.ingestion_settings import IngestionSettings
from workloads.lifecycle.base.store import Store
from workloads.lifecycle.features.publication import publish
from workloads.lifecycle.ingestion.ingest import Ingested, current, ingest, published, recorded, refuse_few
from workloads.loan_default.definition import LOAN_DEFAULT
from workloads.loan_default.generator import generate

NAMES = [column.name for column in LOAN_DEFAULT.source.columns]
GOOD = 300
RUN = "20261123T000000000000Z-000000000000"
BAD_ROWS = {
    "short": (lambda row: row[:-3], "short line: 22 fields"),
    "long": (lambda row: [*row, "9"], "long line: 26 fields"),
    "text in a number": (lambda row: changed(row, "AGE", "forty"), "AGE: not an integer"),
    "empty field": (lambda row: changed(row, "LIMIT_BAL", ""), "LIMIT_BAL: not an integer"),
    "not a number": (lambda row: changed(row, "BILL_AMT1", "NaN"), "BILL_AMT1: not an integer"),
    "infinity": (lambda row: changed(row, "PAY_AMT1", "inf"), "PAY_AMT1: not an integer"),
    "fraction": (lambda row: changed(row, "PAY_0", "1.5"), "PAY_0: not an integer"),
    "huge exponent": (lambda row: changed(row, "PAY_AMT2", "1e99"), "PAY_AMT2: out of range"),
    "too young": (lambda row: changed(row, "AGE", "17"), "AGE: out of range, allowed 18 to 120"),
    "unknown category": (lambda row: changed(row, "EDUCATION", "7"), "EDUCATION: unknown category, allowed 0 to 6"),
    "label": (lambda row: changed(row, NAMES[-1], "2"), "default payment next month: unknown category"),
    "quote bomb": (lambda row: changed(row, "SEX", '"""' * 50), "SEX: not an integer"),
    "duplicate": (lambda row: changed(changed(row, "ID", "1"), "AGE", "99"), "ID: duplicate of an earlier row"),
    "null byte": (lambda row: changed(row, "MARRIAGE", "\0"), "MARRIAGE: not an integer"),
}


def changed(row, name, value):
    return [value if column == name else old for column, old in zip(NAMES, row, strict=True)]


@pytest.fixture
def good(tmp_path):
    generate(tmp_path / "good.csv", GOOD, seed=3)
    with (tmp_path / "good.csv").open() as file:
        return list(csv.reader(file))[1:]


def saved(tmp_path, rows, name="data.csv", ends="\n"):
    path = tmp_path / name
    path.write_bytes((ends.join(",".join(row) for row in [NAMES, *rows]) + ends).encode())
    return path


def with_data(environment, path):
    return environment.model_copy(update={"data": str(path)})


def ingested_and_published(environment, spark):
    ingested = ingest(environment, spark)
    publish(environment, ingested.run)
    return ingested


def table(environment, prefix):
    path, filesystem = Store.open(environment).dataset(prefix)
    return pq.read_table(path, filesystem=filesystem).to_pandas()


def test_quotes_thousands_exponents_and_empty_rows_change_no_data(tmp_path, make_environment, spark, good):
    environment = make_environment()
    plain = ingest(with_data(environment, saved(tmp_path, good)), spark)
    place = NAMES.index("LIMIT_BAL")
    spelled = [[f'"{int(value):,}"' if at == place else f'"{value}"' for at, value in enumerate(row)] for row in good]
    spelled[1] = changed(good[1], "LIMIT_BAL", f"{int(good[1][place]):.8E}")
    empty = [[""] * len(NAMES), ['""'] * len(NAMES)]
    found = ingest(with_data(environment, saved(tmp_path, [*spelled, *empty], "spelled.csv")), spark)
    assert (found.rows, found.quarantined, found.data_hash) == (len(good), {}, plain.data_hash)


def test_every_bad_row_is_quarantined_with_a_reason_and_others_stay(tmp_path, make_environment, spark, good):
    environment = make_environment(ingestion={"max_bad_share": 0.1})
    bad = [spoil(good[20 + index]) for index, (spoil, _) in enumerate(BAD_ROWS.values())]
    ids = [str(9000 + index) for index in range(len(bad))]
    bad = [row if kind == "duplicate" else [new, *row[1:]] for new, row, kind in zip(ids, bad, BAD_ROWS, strict=True)]
    rows = good[:100] + bad + good[100:]
    ingested = ingest(with_data(environment, saved(tmp_path, rows)), spark)

    quarantined = table(environment, ingested.quarantine_prefix)
    assert ingested.rows == GOOD
    assert len(quarantined) == sum(ingested.quarantined.values()) == len(BAD_ROWS)
    assert set(quarantined["raw"]) == {",".join(row) for row in bad}
    for _, reason in BAD_ROWS.values():
        assert quarantined["reason"].str.startswith(reason).any(), reason
    clean = ingest(with_data(environment, saved(tmp_path, good)), spark)
    assert clean.data_hash == ingested.data_hash


def test_content_hash_ignores_order_line_ends_notation_but_no_value(tmp_path, environment, spark, good):
    first = ingest(with_data(environment, saved(tmp_path, good)), spark)
    random.Random(1).shuffle(good)
    good[0][NAMES.index("LIMIT_BAL")] = f"{float(good[0][NAMES.index('LIMIT_BAL')]):.2E}"
    again = ingest(with_data(environment, saved(tmp_path, good, ends="\r\n")), spark)
    assert again.data_hash == first.data_hash
    assert again.run != first.run
    good[0] = changed(good[0], "AGE", "77")
    assert ingest(with_data(environment, saved(tmp_path, good)), spark).data_hash != first.data_hash


def test_data_hash_of_a_row_stays_what_it_was(tmp_path, make_environment, spark):
    """Older models name their data by it."""
    row = "1,20000,2,2,1,24,2,2,-1,-1,-2,-2,3913,3102,689,0,0,0,0,689,0,0,0,0,1"
    environment = make_environment(ingestion={"min_rows": 1})
    ingested = ingest(with_data(environment, saved(tmp_path, [row.split(",")])), spark)
    assert ingested.data_hash == "e9fb07f68c37d6755aa7b0aa032cf18f394648609d43376cb4ec83c5d3aa173d"


PUMP = {"site": "A0", "pump": "1", "day": "1", "heat": "60.5", "fluid": "oil", "load_percent": "50", "worn": "0"}
BAD_PUMPS = {
    "heat": ("warm", "heat: not a number"),
    "load_percent": ("1.5", "load_percent: not an integer"),
    "fluid": ("sand", "fluid: unknown category, allowed water, oil, brine"),
    "site": ("", "site: empty"),
    "worn": ("2", "worn: unknown category, allowed 0 to 1"),
}
LONG = {"site": "A" * 257}


def test_numbers_strings_and_nulls_are_checked_by_their_column(tmp_path, make_environment, spark):
    empty = {"heat": "", "fluid": "", "load_percent": "", "worn": ""}
    small = {"heat": "-1.25e-05"}
    good = [PUMP | changes | {"pump": str(number)} for number, changes in enumerate(({}, empty, small), start=1)]
    bad = [PUMP | {name: value} for name, (value, _) in BAD_PUMPS.items()] + [PUMP | LONG, PUMP | {"day": "1.0"}]
    lines = [",".join(row.values()) for row in [{name: name for name in PUMP}, *good, *bad]]
    (tmp_path / "pumps.csv").write_text("\n".join(lines))
    environment = make_environment(ingestion={"min_rows": 1, "max_bad_share": 1})
    environment = environment.model_copy(update={"workload": "tests.unit.workloads.pumps:PUMPS"})
    ingested = ingest(with_data(environment, tmp_path / "pumps.csv"), spark)
    assert set(ingested.quarantined) == {
        *(reason for _, reason in BAD_PUMPS.values()),
        "site: longer than 256 characters, or not printable",
        "site, pump, day: duplicate of an earlier row",
    }
    frame = table(environment, ingested.features_prefix).sort_values("Pump")
    assert frame["Warmth"].tolist() == pytest.approx([60.5, float("nan"), -1.25e-05], nan_ok=True)
    assert frame["Pumped"].tolist() == ["oil", None, "oil"]
    assert frame["worn_next_week"].isna().tolist() == [False, True, False]


def test_data_hash_tells_an_empty_field_from_another(tmp_path, make_environment, spark):
    environment = make_environment(ingestion={"min_rows": 1})
    environment = environment.model_copy(update={"workload": "tests.unit.workloads.pumps:PUMPS"})
    hashes = set()
    for changes in ({"load_percent": "1", "worn": ""}, {"load_percent": "", "worn": "1"}):
        path = tmp_path / "pumps.csv"
        path.write_text("\n".join([",".join(PUMP), ",".join((PUMP | changes).values())]))
        hashes.add(ingest(with_data(environment, path), spark).data_hash)
    assert len(hashes) == 2


def test_too_many_bad_rows_stop_the_run_and_keep_the_last_features(tmp_path, environment, spark, good):
    first = ingested_and_published(with_data(environment, saved(tmp_path, good)), spark)
    spoiled = [changed(row, "AGE", "x") if index < 10 else row for index, row in enumerate(good)]
    with pytest.raises(DataError, match=r"10 of 300 rows are bad \(3.3%, allowed 1.0%\), mostly 'AGE: not an integer'"):
        ingest(with_data(environment, saved(tmp_path, spoiled)), spark)
    store = Store.open(environment)
    assert current(store) == first
    assert len(store.names("quarantine")) == 1
    assert store.names("features") == sorted([first.run, "current.json"])


def test_run_killed_before_its_record_cannot_be_published(environment, spark, tmp_path, good, monkeypatch):
    def killed(_store, path, _value):
        assert path.startswith("ingested/")
        raise KeyboardInterrupt

    monkeypatch.setattr(Store, "write_json", killed)
    with pytest.raises(KeyboardInterrupt):
        ingest(with_data(environment, saved(tmp_path, good)), spark)
    monkeypatch.undo()
    (run,) = Store.open(environment).names("features")
    with pytest.raises(DataError, match=rf"ingestion run {run} did not finish or was removed as an old run"):
        publish(environment, run)
    assert ingest(with_data(environment, saved(tmp_path, good)), spark).rows == GOOD


def test_ingestion_publishes_nothing(environment, spark, tmp_path, good):
    ingested = ingest(with_data(environment, saved(tmp_path, good)), spark)
    store = Store.open(environment)
    assert recorded(store, ingested.run) == ingested
    assert published(store) is None
    with pytest.raises(DataError, match=r"current.json does not exist, because no run was published"):
        current(store)


def test_name_that_is_no_runs_name_reaches_no_path(environment):
    with pytest.raises(WorkloadError, match=r"ingestion run '../../secret' is refused"):
        recorded(Store.open(environment), "../../secret")


def test_run_with_fewer_rows_than_allowed_is_refused(make_environment, spark, tmp_path, good):
    environment = with_data(make_environment(ingestion={"min_rows": GOOD + 1}), saved(tmp_path, good))
    message = (
        r"data.csv has 300 accepted rows \(no run is published yet\), allowed are 301 rows or more; nothing is "
        r"published. If 300 rows are right, set ingestion.min_rows to 300 or less \(now 301\) in the stack file"
    )
    with pytest.raises(DataError, match=message):
        ingest(environment, spark)
    assert Store.open(environment).names("features") == []


@pytest.mark.parametrize(
    ("rows", "share", "allowed", "needed"),
    [
        (239, 0.2, 240, "0.21"),
        (240, 0.2, None, None),
        (10, 1.0, None, None),
        (299, 0.0, 300, "0.01"),
        (90, 0.7, None, None),
    ],
)
def test_drop_against_the_published_run_is_limited(rows, share, allowed, needed):
    last, run = (
        Ingested(
            run=RUN, data_hash="-", source="data.csv", rows=count, quarantined={}, event_timestamp=datetime.now(UTC)
        )
        for count in (300, rows)
    )
    settings = IngestionSettings(min_rows=1, max_drop_share=share)
    if allowed is None:
        refuse_few(run, last, settings)
        return
    message = (
        rf"has {rows} accepted rows \(the last published run has 300\), allowed are {allowed} rows or more; .* "
        rf"set ingestion.max_drop_share to {needed} or more \(now {share:g}\)"
    )
    with pytest.raises(DataError, match=message):
        refuse_few(run, last, settings)
    refuse_few(run, last, settings.model_copy(update={"max_drop_share": float(needed)}))


def test_published_run_outlives_newer_runs_that_were_refused(make_environment, spark, tmp_path, good):
    environment = with_data(make_environment(ingestion={"kept_runs": 1}), saved(tmp_path, good))
    serving = ingested_and_published(environment, spark)
    runs = [ingest(environment, spark).run for _ in range(2)]
    store = Store.open(environment)
    assert store.names("features") == sorted([serving.run, runs[-1], "current.json"])
    assert store.names("ingested") == sorted([serving.run, runs[-1]])


def test_old_runs_are_removed(tmp_path, make_environment, spark, good):
    environment = make_environment(ingestion={"kept_runs": 2})
    runs = [ingest(with_data(environment, saved(tmp_path, good)), spark).run for _ in range(3)]
    assert Store.open(environment).names("features") == runs[1:]


def test_features_are_typed_partitioned_by_day_and_stamped_in_utc(world):
    frame = table(world.environment, world.ingested.features_prefix)
    assert str(frame["event_timestamp"].dtype) == "datetime64[us, UTC]"
    assert {frame[name].dtype.name for name in ("CustomerID", "Age", "CreditScore", "NumOpenAccounts")} == {"int64"}
    assert frame["Income"].dtype.name == "float64"
    assert set(frame["dt"].astype(str)) == {f"{world.ingested.event_timestamp:%Y-%m-%d}"}
    assert frame["CreditScore"].between(300, 850).all()
