"""Outcomes, which arrive weeks after the request: a feed joined to captured requests by request id.

Each delivery is one Parquet object; of several outcomes of the same row the one observed last counts. The joined rows
give live quality, and windows that retraining learns from. Leaves out where outcomes come from: they are posted to the
retraining service, or imported from a file.
"""

import argparse
import hashlib
import io
import json
import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from workloads.loan_default import CAPTURES, ENTITY, FEATURES, LABEL, SMOKE
from workloads.loan_default.errors import DataError, run_command
from workloads.loan_default.features import ATTRIBUTES, TrainingSet
from workloads.loan_default.identifiers import window_name
from workloads.loan_default.reference import COLUMNS
from workloads.loan_default.settings import Environment, load
from workloads.loan_default.store import Store

if TYPE_CHECKING:
    import pandas as pd

OUTCOMES = "labels/outcomes"
WINDOWS = "labels/windows"
STRUCK = "captures-struck.json"

MIN_PREFIX = 6
"""Characters of a prefix to strike."""

MAX_OUTCOMES = 50_000
"""Outcomes of one delivery."""

_KEY = ["request_id", "row"]
CAPTURED = (*_KEY, "captured_at", "alias", "version", ENTITY, *FEATURES, "score")
"""Columns of a captured row, as the model server writes them."""


class Outcome(BaseModel):
    """What became of one scored row."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    request_id: Annotated[str, Field(min_length=1, max_length=128)]
    """The answer's `x-request-id`."""

    row: Annotated[int, Field(ge=0)] = 0
    """Place of the row in the request."""

    outcome: Annotated[int, Field(ge=0, le=1)]
    """1 when the customer defaulted."""

    customer: Annotated[int | None, Field(ge=0, alias=ENTITY)] = None
    """Whom the row was about, where the request named no customer."""

    observed_at: datetime | None = None
    """When the outcome was known; None means at its delivery."""


_Outcomes = TypeAdapter(Annotated[list[Outcome], Field(min_length=1, max_length=MAX_OUTCOMES)])


def parse(content: bytes) -> list[Outcome]:
    """Outcomes of a delivery, `{"outcomes": […]}`; raises DataError that names the first mistake."""
    try:
        body = json.loads(content)
    except ValueError as error:
        raise DataError(f"the outcomes are not JSON: {error}") from error
    if not isinstance(body, dict) or set(body) != {"outcomes"}:
        raise DataError('the body must be {"outcomes": [{"request_id": …, "row": 0, "outcome": 0 or 1}, …]}')
    try:
        return _Outcomes.validate_python(body["outcomes"])
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise DataError(f"outcomes.{where}: {first['msg']} (got {str(first['input'])[:60]!r})") from error


def add(environment: Environment, outcomes: Sequence[Outcome]) -> int:
    """Store a delivery; returns its rows."""
    import pandas as pd  # noqa: PLC0415

    now = datetime.now(UTC)
    frame = pd.DataFrame(
        {
            "request_id": [item.request_id for item in outcomes],
            "row": pd.array([item.row for item in outcomes], dtype="int32"),
            "outcome": pd.array([item.outcome for item in outcomes], dtype="int64"),
            "customer": pd.array([item.customer for item in outcomes], dtype="Int64"),
            "observed_at": pd.to_datetime([item.observed_at or now for item in outcomes], utc=True),
        }
    )
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    path = f"{OUTCOMES}/dt={now:%Y-%m-%d}/{now:%H%M%S%f}-{uuid.uuid4().hex[:8]}.parquet"
    Store.open(environment).write(path, buffer.getvalue())
    return len(frame)


def strike(environment: Environment, prefix: str) -> None:
    """From now on no request whose id begins with `prefix` counts for monitoring or training.

    For requests that nobody meant: a broken client, a load test, a fire drill. What was captured stays. Raises
    DataError for a prefix of fewer than `MIN_PREFIX` characters.
    """
    if len(prefix) < MIN_PREFIX:
        raise DataError(
            f"the prefix {prefix!r} has {len(prefix)} characters, at least {MIN_PREFIX} are needed: a shorter one "
            "would strike the requests of everybody"
        )
    store = Store.open(environment)
    found = store.read_json(STRUCK) or {"prefixes": []}
    store.write_json(STRUCK, {"prefixes": sorted({*found["prefixes"], prefix})})


def captured(environment: Environment, window: timedelta) -> "pd.DataFrame":
    """Captured rows of the last `window` that were not struck."""
    import pandas as pd  # noqa: PLC0415
    import pyarrow.compute as pc  # noqa: PLC0415
    import pyarrow.dataset as ds  # noqa: PLC0415

    store = Store.open(environment)
    since = datetime.now(UTC) - window
    found = [
        ds.dataset(path, filesystem=files, format="parquet", partitioning="hive").to_table(
            filter=pc.field("captured_at") >= pc.scalar(pd.Timestamp(since))
        )
        for day in store.names(CAPTURES)
        if day.removeprefix("dt=") >= f"{since:%Y-%m-%d}"
        for path, files in [store.dataset(f"{CAPTURES}/{day}")]
    ]
    if not found:
        return pd.DataFrame(columns=list(CAPTURED))
    frame = pd.concat([table.to_pandas() for table in found], ignore_index=True)
    struck = (SMOKE, *(store.read_json(STRUCK) or {"prefixes": []})["prefixes"])
    frame = frame[~frame["request_id"].str.startswith(struck)]
    kept: pd.DataFrame = frame.drop_duplicates(_KEY).reset_index(drop=True)
    return kept


def labelled(environment: Environment, captures: "pd.DataFrame") -> "pd.DataFrame":
    """The captured rows whose outcome is known, with the label and the customer; empty when there are none."""
    import pandas as pd  # noqa: PLC0415
    import pyarrow.dataset as ds  # noqa: PLC0415

    store = Store.open(environment)
    if captures.empty or not store.names(OUTCOMES):
        return captures.head(0).assign(**{LABEL: pd.Series(dtype="int64")})
    path, files = store.dataset(OUTCOMES)
    outcomes = ds.dataset(path, filesystem=files, format="parquet").to_table().to_pandas()
    latest = outcomes.sort_values("observed_at", kind="stable").drop_duplicates(_KEY, keep="last")
    joined = captures.merge(latest, on=_KEY, validate="1:1")
    joined[ENTITY] = joined[ENTITY].fillna(joined["customer"])
    return joined.rename(columns={"outcome": LABEL}).drop(columns=["customer", "observed_at"])


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


def window(environment: Environment, attributes: "pd.DataFrame") -> Window | None:
    """Write the labelled rows of the last days as a window; None when there are too few.

    `attributes` holds the protected attributes by customer; rows of other customers cannot be checked for bias and are
    left out. Raises DataError when the labels cannot be believed: one class only, the champion ranks them no better
    than chance, or their default rate is far from what it predicted.
    """
    settings = environment.settings.retraining
    rows = labelled(environment, captured(environment, timedelta(days=settings.labelled_days)))
    frame = rows.merge(attributes[[ENTITY, *ATTRIBUTES]].drop_duplicates(ENTITY), on=ENTITY)
    if len(frame) < settings.min_labelled_rows:
        return None
    auc = _auc(frame)
    if auc < settings.min_champion_auc:
        raise DataError(
            f"the outcomes of {len(frame)} requests are not believed: the champion ranks them with AUC {auc:.3f}, "
            f"below {settings.min_champion_auc}; check the outcome feed, nothing was trained"
        )
    rate, predicted = float(frame[LABEL].mean()), float(frame["score"].mean())
    if abs(rate - predicted) > settings.max_rate_gap:
        raise DataError(
            f"the outcomes of {len(frame)} requests are not believed: {rate:.3f} of them defaulted where the champion "
            f"predicted {predicted:.3f}, more than {settings.max_rate_gap} apart; check the outcome feed, or raise "
            "retraining.max_rate_gap when the world has changed so much; nothing was trained"
        )
    ordered = frame.sort_values([ENTITY, "request_id", "row"])[list(COLUMNS)].reset_index(drop=True)
    ordered = ordered.astype({ENTITY: "int64", LABEL: "int64"})
    buffer = io.BytesIO()
    ordered.to_parquet(buffer, index=False)
    name = hashlib.sha256(buffer.getvalue()).hexdigest()[:32]
    made = Window(name=name, rows=len(ordered), champion_auc=auc, old_share=settings.old_share)
    store = Store.open(environment)
    store.write(f"{WINDOWS}/{name}.parquet", buffer.getvalue())
    store.write_json(f"{WINDOWS}/{name}.json", made.model_dump(mode="json"))
    return made


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
    frame = pd.concat([old, fresh], ignore_index=True)[list(COLUMNS)].sort_values(ENTITY, kind="stable")
    mixed = hashlib.sha256(f"{base.ingested.data_hash}:{name}:{taken.old_share}".encode()).hexdigest()
    ingested = base.ingested.model_copy(update={"data_hash": mixed, "rows": len(frame)})
    return replace(base, ingested=ingested, frame=frame.reset_index(drop=True), known=base.frame)


class Quality(BaseModel):
    """How one version did on requests with known outcome."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    rows: int
    """Labelled rows."""

    auc: float | None
    """Area under the ROC curve; None with too few rows or one class."""

    calibration_error: float | None
    """Gap between predicted and observed default rate; None with too few rows or one class."""

    reason: str | None = None
    """Why there is no AUC; None when there is one."""


def quality(environment: Environment, rows: "pd.DataFrame", version: str) -> Quality:
    """Quality of one version on labelled rows."""
    from workloads.loan_default.training import calibration_error  # noqa: PLC0415  the other way round

    mine = rows[rows["version"] == version] if len(rows) else rows
    needed = environment.settings.monitoring.min_labelled_rows
    reason = None
    if len(mine) < needed:
        reason = (
            f"{len(mine)} captured requests of version {version} have a known outcome, {needed} are needed "
            f"(monitoring.min_labelled_rows); {len(rows) - len(mine)} more are of other versions"
        )
    elif mine[LABEL].nunique() < len((0, 1)):
        reason = f"the {len(mine)} known outcomes of version {version} are all {mine[LABEL].iloc[0]}"
    if reason is not None:
        return Quality(rows=len(mine), auc=None, calibration_error=None, reason=reason)
    gap = calibration_error(mine[LABEL].to_numpy(dtype=float), mine["score"].to_numpy())
    return Quality(rows=len(mine), auc=_auc(mine), calibration_error=gap)


def _auc(frame: "pd.DataFrame") -> float:
    from sklearn.metrics import roc_auc_score  # noqa: PLC0415

    labels = frame[LABEL].to_numpy(dtype=int)
    if set(labels.tolist()) != {0, 1}:
        raise DataError(f"the outcomes of {len(frame)} requests are all {labels[0]}; check the outcome feed")
    return float(roc_auc_score(labels, frame["score"].to_numpy()))


def main() -> None:
    """Command: import outcomes from a file, or strike requests."""
    parser = argparse.ArgumentParser(prog="python -m workloads.loan_default.labels", description=__doc__)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--import", dest="file", metavar="FILE", type=Path, help='JSON, {"outcomes": […]}')
    action.add_argument("--strike", metavar="PREFIX", help="ignore captured requests whose id begins like this")
    arguments = parser.parse_args()
    environment = load()
    if arguments.strike is not None:
        strike(environment, arguments.strike)
        return
    try:
        content = arguments.file.read_bytes()
    except OSError as error:
        raise DataError(f"{arguments.file} cannot be read: {error.strerror}") from error
    print(f"{add(environment, parse(content))} outcomes stored")


if __name__ == "__main__":
    run_command(main)
