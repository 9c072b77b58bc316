"""Windows of labelled requests: what monitoring writes of them, and a training set that learns from one."""

import hashlib
import io
from dataclasses import replace
from datetime import datetime

from pydantic import BaseModel, ConfigDict

from workloads.lifecycle.base.environment import Environment
from workloads.lifecycle.base.errors import DataError
from workloads.lifecycle.base.identifiers import window_name
from workloads.lifecycle.base.store import Store
from workloads.lifecycle.features.publication import TrainingSet, ingested_set
from workloads.lifecycle.ingestion.observation import EVENT_TIMESTAMP
from workloads.lifecycle.workload import Workload

WINDOWS = "labels/windows"
"""Folder of the store."""

DELIVERED = "delivered_on"
"""Column of a window: day, in UTC, on which the store got the outcome of the row."""


class Window(BaseModel):
    """Labelled rows to learn from; the content of `labels/windows/<name>.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    name: str
    """Hash of the rows."""

    rows: int
    """Labelled rows."""

    champion_auc: float
    """How well the champion ranked them when they were requests."""

    old_share: float
    """Share of ingested rows to add in training."""

    since: datetime | None = None
    """Begin of the time in which the rows were requests; None of a window of before it was kept."""

    champions: dict[str, datetime] = {}
    """Versions that became the champion while outcomes of these rows arrived, and when."""


def learnt_columns(workload: Workload) -> list[str]:
    """Columns of the rows to learn from."""
    return [*workload.kept, *([EVENT_TIMESTAMP] if workload.time else [])]


def window_of(environment: Environment, name: str) -> Window | None:
    """The record of a window; None when it is gone."""
    return Store.open(environment).read_model(f"{WINDOWS}/{window_name(name, 'the window')}.json", Window)


def training_set(environment: Environment) -> TrainingSet:
    """The rows to learn from: those of the ingestion run or, with `LABELLED_WINDOW`, those of the window.

    Raises DataError when no outcome is known, rows are missing, or there is no such window.
    """
    ingested = ingested_set(environment)
    return with_window(environment, ingested) if environment.labelled_window else ingested


def with_window(environment: Environment, base: TrainingSet) -> TrainingSet:
    """The training set of `LABELLED_WINDOW`: its rows and, by setting, a seeded share of the ingested ones."""
    import pandas as pd  # noqa: PLC0415

    name = window_name(environment.labelled_window, "LABELLED_WINDOW")
    store = Store.open(environment)
    taken, content = store.read_model(f"{WINDOWS}/{name}.json", Window), store.read(f"{WINDOWS}/{name}.parquet")
    if taken is None or content is None:
        raise DataError(f"{store.uri}/{WINDOWS}/{name} does not exist; start the retrain again")
    fresh = pd.read_parquet(io.BytesIO(content))
    wanted = round(taken.rows * taken.old_share / (1 - taken.old_share))
    old = base.frame.sample(min(wanted, len(base.frame)), random_state=environment.settings.training.seed)
    workload = environment.definition
    frame = pd.concat([old, fresh], ignore_index=True)
    frame = frame.sort_values(list(workload.keys), kind="stable", ignore_index=True)
    delivered = frame.get(DELIVERED)
    frame = frame[learnt_columns(workload)]
    mixed = hashlib.sha256(f"{base.ingested.data_hash}:{name}:{taken.old_share}".encode()).hexdigest()
    source = f"window {name} of {taken.rows} labelled requests, and {len(old)} rows of {base.ingested.source}"
    ingested = base.ingested.model_copy(update={"data_hash": mixed, "rows": len(frame), "source": source})
    return replace(base, ingested=ingested, frame=frame, known=base.frame, delivered=delivered)
