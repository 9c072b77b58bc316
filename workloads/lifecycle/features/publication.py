"""Features in Feast: a run's offline for training, the published run's online for requests.

`publish` makes a run the published one; a release does so after its gate, the nightly run after its data checks. The
pointer moves first and the online store follows, so that `refresh` completes an interrupted publication. Leaves out
computing features: `derivation` does that inside Spark.
"""

import argparse
import contextlib
import io
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from workloads.lifecycle.base.environment import Environment, load
from workloads.lifecycle.base.errors import DataError, WorkloadError, run_command
from workloads.lifecycle.base.identifiers import ingestion_run
from workloads.lifecycle.base.store import Store
from workloads.lifecycle.ingestion.ingest import CURRENT, Ingested, current, published, recorded
from workloads.lifecycle.ingestion.observation import EVENT_TIMESTAMP
from workloads.lifecycle.ingestion.tombstones import cleaned_mark
from workloads.lifecycle.schema import Key, View
from workloads.lifecycle.workload import Workload

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from feast import FeatureStore

REPOSITORY = Path(__file__).parent / "repository"

_JOINED_ROWS = 2_000
"""Rows of a history that are joined at once: Feast pairs each with every row of its entity before it drops the later
ones, so the memory of a join grows with this number times the rows of an entity."""

_TYPES = {"integer": "int64", "number": "double", "string": "string"}
"""Types of Parquet columns."""


class Refreshed(BaseModel):
    """What a refresh of the online store did."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    run: str
    """Ingestion run whose features are online."""

    rows: int
    """Entities online."""

    parity_checked: int
    """Entities whose online values were compared with the offline ones and agreed."""

    refilled: bool
    """Whether the online store had lost rows, so that all were written again."""


@dataclass(frozen=True)
class TrainingSet:
    """Point-in-time features, attributes and known outcomes, ordered by keys and time."""

    ingested: Ingested
    """The run the rows come from."""

    frame: "pd.DataFrame"
    """Keys, features, attributes and label, and the time of observation where the workload has histories.

    Without histories the same bytes for the same data hash.
    """

    known: "pd.DataFrame | None" = None
    """The ingested rows, when `frame` is a window of labelled requests; None when `frame` is those rows."""

    delivered: "pd.Series[Any] | None" = None
    """Day on which each outcome of a window was delivered, null of an ingested row; None without a window."""


def feature_store(environment: Environment) -> "FeatureStore":
    """Feast client of the repository; the online store is sqlite when `FEAST_ONLINE_STORE` says so."""
    from feast import FeatureStore  # noqa: PLC0415  ten seconds of imports
    from feast.repo_config import load_repo_config  # noqa: PLC0415

    online = environment.need("feast_online_store")
    os.environ["FEAST_PROJECT"] = environment.definition.module_name
    os.environ["FEAST_REGISTRY"] = environment.need("feast_registry")
    os.environ["FEAST_ONLINE_STORE"] = online
    config = load_repo_config(REPOSITORY, REPOSITORY / "feature_store.yaml")
    if online.startswith("sqlite:///"):
        path = online.removeprefix("sqlite:///")
        config = config.model_copy(update={"online_config": {"type": "sqlite", "path": path}})
        config._online_store = None  # noqa: SLF001  Feast caches the section it has parsed
    return FeatureStore(config=config)


def publish(environment: Environment, run: str) -> Refreshed:
    """Make an ingestion run the published one and bring it online.

    A newer published run stays, because the online store keeps the newest values; it is brought online instead. Raises
    DataError when the run is not complete or its columns are not those of the definition; nothing is published then.
    """
    candidate = environment.model_copy(update={"ingestion_run": run})
    ingested = pull(candidate)
    _checked(candidate)
    store = Store.open(environment)
    last = published(store)
    if last is None or last.run < run:  # a name begins with the time of ingestion
        store.write_json(CURRENT, ingested.model_dump(mode="json"))
    return refresh(environment)


def _offline_store(folder: Path) -> "FeatureStore":
    """Feast client that joins rows offline, with its registry in a folder; it reaches no server."""
    from feast import FeatureStore, RepoConfig  # noqa: PLC0415  ten seconds of imports

    config = RepoConfig(
        project="offline",
        provider="local",
        registry=str(folder / "registry.db"),
        online_store={"type": "sqlite", "path": str(folder / "online.db")},
        offline_store={"type": "file"},
        entity_key_serialization_version=3,
    )
    return FeatureStore(config=config)


def refresh(environment: Environment) -> Refreshed:
    """Register the views and bring the published run online, incrementally; refill when the online store lost rows.

    Raises DataError when nothing was published, a column is missing or has another type, or the online values differ
    from the offline ones even after a refill.
    """
    environment = environment.model_copy(update={"ingestion_run": ""})
    ingested, workload = pull(environment), environment.definition
    online = newest(workload, _checked(environment))
    store = feature_store(environment)
    with _quiet():
        apply(workload, store, _folder(environment))
        store.materialize_incremental(end_date=datetime.now(UTC))
    sample = _sample(online, environment.settings.features.parity_sample, ingested.rows)
    misses = parity_misses(workload, store, sample)
    if misses:
        with _quiet():
            store.materialize(online[EVENT_TIMESTAMP].min() - timedelta(seconds=1), datetime.now(UTC))
        remaining = parity_misses(workload, store, sample)
        if remaining:
            raise DataError(  # without keys: outcomes of stages and the ledger keep this text
                f"{len(remaining)} of {len(sample)} rows have other values online than offline; the online store holds "
                f"newer rows than run {ingested.run} (`python -m workloads.lifecycle.features.parity` lists their "
                f"{', '.join(workload.keys)})"
            )
    return Refreshed(run=ingested.run, rows=len(online), parity_checked=len(sample), refilled=bool(misses))


def _sample(online: "pd.DataFrame", rows: int, seed: int) -> "pd.DataFrame":
    """Rows to compare: half of them the newest, which an incremental run may have missed, and half any."""
    import pandas as pd  # noqa: PLC0415  one second that --help does not need

    latest = online.nlargest(rows // 2, EVENT_TIMESTAMP)
    others = online.drop(latest.index)
    return pd.concat([latest, others.sample(min(rows - len(latest), len(others)), random_state=seed)])


def pull(environment: Environment) -> Ingested:
    """Copy a run's Parquet files below `WORK_DIR/features`, whole or not at all: `INGESTION_RUN`, or the published run.

    `WORK_DIR/features/current` leads to the published run that was copied last. A copy from before an erasure is
    replaced.
    """
    store = Store.open(environment)
    ingested = recorded(store, environment.ingestion_run) if environment.ingestion_run else current(store)
    folder = environment.work / "features"
    target, link = folder / ingested.run, folder / "current"
    mark, marked = cleaned_mark(store), folder / f".cleaned-{ingested.run}"
    if not target.exists() or (marked.read_text() if marked.exists() else "") != mark:
        store.download_tree(ingested.features_prefix, target)
        marked.write_text(mark)
    if not environment.ingestion_run:
        made = folder / f".current.{os.getpid()}"
        made.unlink(missing_ok=True)
        made.symlink_to(ingested.run)
        made.replace(link)
    needed = {ingested.run, link.readlink().name if link.is_symlink() else ""}
    for old in folder.glob("2*"):
        if old.name not in needed:
            shutil.rmtree(old)
            (folder / f".cleaned-{old.name}").unlink(missing_ok=True)
    return ingested


def _folder(environment: Environment) -> Path:
    """Where `pull` puts the run."""
    run = environment.ingestion_run
    return environment.work / "features" / (ingestion_run(run, "INGESTION_RUN") if run else "current")


def read_offline(environment: Environment) -> "pd.DataFrame":
    """The wide table of the run that `pull` brought, ordered by keys and time."""
    frame: pd.DataFrame = _table(environment).to_pandas()
    return frame.sort_values([*environment.definition.keys, EVENT_TIMESTAMP], ignore_index=True)


def _table(environment: Environment) -> "pa.Table":
    import pyarrow.dataset as ds  # noqa: PLC0415  one second that --help does not need

    return ds.dataset(_folder(environment), format="parquet", partitioning="hive").to_table()


def newest(workload: Workload, offline: "pd.DataFrame") -> "pd.DataFrame":
    """The newest row of each entity, of rows that `read_offline` gave: what requests are answered from."""
    return offline.drop_duplicates(list(workload.keys), keep="last", ignore_index=True)


def apply(workload: Workload, store: "FeatureStore", folder: Path) -> None:
    """Register entities, sources, views and service; a view whose columns changed is registered anew under its name."""
    from workloads.lifecycle.features import definitions  # noqa: PLC0415  imports Feast

    store.apply(definitions.objects(workload, folder.absolute()))


def references(views: Iterable[View]) -> list[str]:
    """Features of views as Feast names them, `view:feature`."""
    return [f"{view.name}:{feature.name}" for view in views for feature in view.features]


def parity_misses(workload: Workload, store: "FeatureStore", sample: "pd.DataFrame") -> list[Key]:
    """Keys of the sample's rows whose online values are absent or differ from the given ones."""
    keys: list[Key] = list(zip(*(sample[name].tolist() for name in workload.keys), strict=True))
    rows = [dict(zip(workload.keys, key, strict=True)) for key in keys]
    online = store.get_online_features(features=references(workload.views), entity_rows=rows).to_dict()
    wanted = zip(*(sample[name] for name in workload.features), strict=True)
    found = zip(*(online[name] for name in workload.features), strict=True)
    return [
        key
        for key, want, got in zip(keys, wanted, found, strict=True)
        if [_comparable(value) for value in want] != [_comparable(value) for value in got]
    ]


def shortened(key: Key) -> int | str | Key:
    """A key for people and reports: the value alone where there is one join key."""
    return key[0] if len(key) == 1 else key


def ingested_set(environment: Environment) -> TrainingSet:
    """Join features and outcomes as they were known when each row was observed; rows without outcome are left out.

    The join has a Feast registry of its own, so that training changes nothing that requests are
    answered from. Raises DataError when no outcome is known, or rows are missing.
    """
    ingested, workload = pull(environment), environment.definition
    offline, label = _checked(environment), workload.outcome.label
    known = offline[offline[label].notna()]
    if known.empty:
        raise DataError(f"no row of run {ingested.run} has a known outcome ({label}), so there is nothing to learn")
    with _quiet(), tempfile.TemporaryDirectory(dir=environment.work) as scratch:
        store = _offline_store(Path(scratch))
        apply(workload, store, _folder(environment))
        joined = _joined(workload, store, known)
    on = [*workload.keys, EVENT_TIMESTAMP]
    beside = [name for name in workload.attributes if name not in workload.keys]
    frame = joined.merge(known[[*on, *beside, label]], on=on, validate="1:1").sort_values(on, ignore_index=True)
    frame[label] = frame[label].astype("int64" if workload.label_type == "integer" else "float64")
    kept = [*workload.keys, *workload.features, *beside, label, *([EVENT_TIMESTAMP] if workload.time else [])]
    return TrainingSet(ingested, frame[kept])


def _joined(workload: Workload, store: "FeatureStore", rows: "pd.DataFrame") -> "pd.DataFrame":
    """Keys, time and features of rows, as they were known at each row's time.

    View by view, because Feast drops rows that agree in the keys of the first view. It also drops rows whose features
    are past the view's ttl, so the count is checked, and returns the rest in any order. Raises DataError.
    """
    import pandas as pd  # noqa: PLC0415  one second that --help does not need

    found = rows[[*workload.keys, EVENT_TIMESTAMP]]
    for view in workload.views:
        on = [*workload.keys_of(view), EVENT_TIMESTAMP]
        asked = rows[on].drop_duplicates()
        size = _JOINED_ROWS if workload.time else len(asked)
        parts = [
            store.get_historical_features(entity_df=asked[start : start + size], features=references([view])).to_df()
            for start in range(0, len(asked), size)
        ]
        joined = pd.concat(parts)[[*on, *(feature.name for feature in view.features)]]
        if len(joined) != len(asked):
            raise DataError(
                f"the point-in-time join kept {len(joined)} of {len(asked)} rows: features are past their ttl"
            )
        found = found.merge(joined, on=on, how="left", validate="m:1")
    return found


def _checked(environment: Environment) -> "pd.DataFrame":
    """The wide table, once its columns are the definition's; raises DataError that names the first that is not."""
    workload = environment.definition
    _check_columns(workload, _table(environment))
    offline = read_offline(environment)
    outcome = workload.outcome
    wrong = offline[outcome.label][~offline[outcome.label].between(outcome.lowest, outcome.highest)].dropna()
    if len(wrong):
        raise DataError(
            f"{outcome.label} is {wrong.iloc[0]:g} in {len(wrong)} rows, allowed {outcome.lowest:g} to "
            f"{outcome.highest:g}; correct how it is derived, and ingest again"
        )
    for view in workload.views:
        on = [*workload.keys_of(view), EVENT_TIMESTAMP]
        rows = offline[[*on, *(feature.name for feature in view.features)]].drop_duplicates()
        if rows.duplicated(on).any():
            raise DataError(
                f"view {view.name!r} has two rows for the same {', '.join(on)}: derive its features over all rows of "
                "these keys, or give the view more entities; then ingest again"
            )
    return offline


def _check_columns(workload: Workload, table: "pa.Table") -> None:
    """Raise DataError that names the first column that the files lack, or have in another type or with nulls."""
    columns = {column.name: column for column in workload.source.columns}
    wanted: dict[str, tuple[str, bool]] = {entity.key: (entity.type, False) for entity in workload.entities}
    wanted |= {name: (columns[name].type, columns[name].nullable) for name in workload.attributes if name in columns}
    wanted |= {feature.name: (feature.type, feature.nullable) for feature in workload.inputs}
    wanted[workload.outcome.label] = (workload.label_type, True)
    for name, (kind, nullable) in wanted.items():
        if name not in table.column_names:
            raise DataError(
                f"the ingested features have no column {name!r}; ingest again before features are refreshed"
            )
        column = table.column(name)
        if str(column.type).removeprefix("large_") != _TYPES[kind]:
            raise DataError(f"the ingested column {name!r} is {column.type}, expected {_TYPES[kind]}; ingest again")
        if column.null_count and not nullable:
            raise DataError(
                f"the ingested column {name!r} misses {column.null_count} of {len(column)} values: make it nullable in "
                "the definition, or derive a value; then ingest again"
            )


def _comparable(value: Any) -> float | str | None:
    """A number as a double, and a missing value as None."""
    if isinstance(value, str):
        return value
    return None if value is None or value != value else float(value)  # noqa: PLR0124  only NaN differs from itself


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Feast's progress bars and advice off the log; its errors become one line."""
    try:
        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
            warnings.catch_warnings(action="ignore"),
        ):
            yield
    except OSError as error:
        raise WorkloadError(f"online store or Feast registry: {error}") from error


def main() -> None:
    """Command: refresh the online store and print what was done as JSON."""
    parser = argparse.ArgumentParser(prog="python -m workloads.lifecycle.features.publication", description=__doc__)
    parser.add_argument(
        "--publish", metavar="RUN", help="publish this ingestion run first (default: the published run)"
    )
    run = parser.parse_args().publish
    done = publish(load(), run) if run else refresh(load())
    print(done.model_dump_json(indent=1))


if __name__ == "__main__":
    run_command(main)
