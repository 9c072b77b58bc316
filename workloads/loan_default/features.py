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
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from workloads.loan_default import ENTITY, FEATURES, LABEL
from workloads.loan_default.definition import LOAN_DEFAULT
from workloads.loan_default.errors import DataError, WorkloadError, run_command
from workloads.loan_default.identifiers import ingestion_run
from workloads.loan_default.ingestion import CURRENT, EVENT_TIMESTAMP, Ingested, current, published, recorded
from workloads.loan_default.settings import Environment, load
from workloads.loan_default.store import Store

if TYPE_CHECKING:
    import pandas as pd
    from feast import FeatureStore

REPOSITORY = Path(__file__).parent / "feature_repo"
ATTRIBUTES = LOAN_DEFAULT.attributes
"""Protected attributes that travel beside the features for bias checks; the model never sees them."""

_MISSES_SHOWN = 3
_DTYPES = {"integer": "int64", "number": "float64"}


class Refreshed(BaseModel):
    """What a refresh of the online store did."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    run: str
    """Ingestion run whose features are online."""

    rows: int
    """Customers online."""

    parity_checked: int
    """Customers whose online values were compared with the offline ones and agreed."""

    refilled: bool
    """Whether the online store had lost rows, so that all were written again."""


@dataclass(frozen=True)
class TrainingSet:
    """Point-in-time features, attributes and labels, ordered by customer."""

    ingested: Ingested
    """The run the rows come from."""

    frame: "pd.DataFrame"
    """`CustomerID`, the four features, the attributes and the label; the same bytes for the same data hash."""

    known: "pd.DataFrame | None" = None
    """The ingested rows, when `frame` is a window of labelled requests; None when `frame` is those rows."""


def feature_store(environment: Environment) -> "FeatureStore":
    """Feast client of the repository; the online store is sqlite when `FEAST_ONLINE_STORE` says so."""
    from feast import FeatureStore  # noqa: PLC0415  ten seconds of imports
    from feast.repo_config import load_repo_config  # noqa: PLC0415

    online = environment.need("feast_online_store")
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
    DataError when the run is not complete or its columns are not those of the feature view; nothing is published then.
    """
    candidate = environment.model_copy(update={"ingestion_run": run})
    ingested = pull(candidate)
    _check_schema(read_offline(candidate))
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
    """Register the view and bring the published run online, incrementally; refill when the online store lost rows.

    Raises DataError when nothing was published, a column is missing or has another type, or the online values differ
    from the offline ones even after a refill.
    """
    environment = environment.model_copy(update={"ingestion_run": ""})
    ingested = pull(environment)
    offline = read_offline(environment)
    _check_schema(offline)
    store = feature_store(environment)
    with _quiet():
        apply(store, _folder(environment))
        store.materialize_incremental(end_date=datetime.now(UTC))
    sample = offline.sample(min(environment.settings.features.parity_sample, len(offline)), random_state=ingested.rows)
    misses = parity_misses(store, sample)
    if misses:
        with _quiet():
            store.materialize(ingested.event_timestamp - timedelta(seconds=1), datetime.now(UTC))
        remaining = parity_misses(store, sample)
        if remaining:
            raise DataError(
                f"{len(remaining)} of {len(sample)} customers have other values online than offline, "
                f"e.g. {remaining[:_MISSES_SHOWN]}; the online store holds newer rows than run {ingested.run}"
            )
    return Refreshed(run=ingested.run, rows=len(offline), parity_checked=len(sample), refilled=bool(misses))


def pull(environment: Environment) -> Ingested:
    """Copy a run's Parquet files below `WORK_DIR/features`, whole or not at all: `INGESTION_RUN`, or the published run.

    `WORK_DIR/features/current` leads to the published run that was copied last.
    """
    store = Store.open(environment)
    ingested = recorded(store, environment.ingestion_run) if environment.ingestion_run else current(store)
    folder = environment.work / "features"
    target, link = folder / ingested.run, folder / "current"
    if not target.exists():
        store.download_tree(ingested.features_prefix, target)
    if not environment.ingestion_run:
        made = folder / f".current.{os.getpid()}"
        made.unlink(missing_ok=True)
        made.symlink_to(ingested.run)
        made.replace(link)
    needed = {ingested.run, link.readlink().name if link.is_symlink() else ""}
    for old in folder.glob("2*"):
        if old.name not in needed:
            shutil.rmtree(old)
    return ingested


def _folder(environment: Environment) -> Path:
    """Where `pull` puts the run."""
    run = environment.ingestion_run
    return environment.work / "features" / (ingestion_run(run, "INGESTION_RUN") if run else "current")


def read_offline(environment: Environment) -> "pd.DataFrame":
    """The wide table of the run that `pull` brought, ordered by customer."""
    import pyarrow.dataset as ds  # noqa: PLC0415  one second that --help does not need

    files = ds.dataset(_folder(environment), format="parquet", partitioning="hive")
    frame: pd.DataFrame = files.to_table().to_pandas()
    return frame.sort_values(ENTITY, ignore_index=True)


def apply(store: "FeatureStore", folder: Path) -> None:
    """Register entity, source, view and service; a view whose columns changed is registered anew under its name."""
    from workloads.lifecycle.features import definitions  # noqa: PLC0415  imports Feast

    store.apply(definitions.objects(LOAN_DEFAULT, folder.absolute()))


def parity_misses(store: "FeatureStore", sample: "pd.DataFrame") -> list[int]:
    """Customers of the sample whose online values are absent or differ from the given ones."""
    keys = [int(key) for key in sample[ENTITY]]
    refs = [f"{LOAN_DEFAULT.view.name}:{name}" for name in FEATURES]
    online = store.get_online_features(features=refs, entity_rows=[{ENTITY: key} for key in keys]).to_dict()
    wanted = sample[list(FEATURES)].to_numpy(dtype=float)
    found = zip(*(online[name] for name in FEATURES), strict=True)
    return [key for key, want, got in zip(keys, wanted, found, strict=True) if list(want) != [_number(x) for x in got]]


def training_set(environment: Environment) -> TrainingSet:
    """Join features and labels as they were known at ingestion; with `LABELLED_WINDOW`, learn from its rows.

    The join has a Feast registry of its own, so that training changes nothing that requests are answered from. Feast
    drops rows whose features are past the view's ttl and returns the rest in any order, so the count is checked and the
    rows are sorted. Raises DataError when rows are missing.
    """
    ingested = pull(environment)
    offline = read_offline(environment)
    _check_schema(offline)
    with _quiet(), tempfile.TemporaryDirectory(dir=environment.work) as scratch:
        store = _offline_store(Path(scratch))
        apply(store, _folder(environment))
        entities = offline[[ENTITY, EVENT_TIMESTAMP]]
        refs = [f"{LOAN_DEFAULT.view.name}:{name}" for name in FEATURES]
        joined = store.get_historical_features(entity_df=entities, features=refs).to_df()
    if len(joined) != len(offline):
        raise DataError(
            f"the point-in-time join kept {len(joined)} of {len(offline)} rows: features are past their ttl"
        )
    frame = joined[[ENTITY, *FEATURES]].merge(offline[[ENTITY, *ATTRIBUTES, LABEL]], on=ENTITY, validate="1:1")
    found = TrainingSet(ingested, frame.sort_values(ENTITY, ignore_index=True))
    if not environment.labelled_window:
        return found
    from workloads.loan_default.labels import with_window  # noqa: PLC0415  the other way round

    return with_window(environment, found)


def _check_schema(offline: "pd.DataFrame") -> None:
    """Raise DataError that names the first column the feature view needs and the files lack or have in another type."""
    wanted = dict.fromkeys((ENTITY, *ATTRIBUTES, LABEL), "int64")
    wanted |= {feature.name: _DTYPES[feature.type] for feature in LOAN_DEFAULT.view.features}
    for name, kind in wanted.items():
        if name not in offline:
            raise DataError(
                f"the ingested features have no column {name!r}; ingest again before features are refreshed"
            )
        if str(offline[name].dtype) != kind:
            raise DataError(f"the ingested column {name!r} is {offline[name].dtype}, expected {kind}; ingest again")


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


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
    parser = argparse.ArgumentParser(prog="python -m workloads.loan_default.features", description=__doc__)
    parser.add_argument(
        "--publish", metavar="RUN", help="publish this ingestion run first (default: the published run)"
    )
    run = parser.parse_args().publish
    done = publish(load(), run) if run else refresh(load())
    print(done.model_dump_json(indent=1))


if __name__ == "__main__":
    run_command(main)
