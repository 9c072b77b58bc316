"""Outcomes, which arrive weeks after the request: a feed joined to captured requests by id.

The id is the server's, `x-prediction-id`, which names one request for ever. The client's own, `x-request-id`, is taken
where it names one captured request only; an outcome whose id several requests share joins none of them.
Each delivery is one Parquet object; of several outcomes of the same row the one observed last counts. The joined rows
give live quality, and windows that retraining learns from. Leaves out where outcomes come from: they are posted to the
retraining service, or imported from a file.
"""

import argparse
import functools
import hashlib
import io
import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model

from workloads.lifecycle.base.environment import Environment, load
from workloads.lifecycle.base.errors import DataError, run_command
from workloads.lifecycle.base.names import CAPTURES, CLIENT_ID, SMOKE
from workloads.lifecycle.base.store import Store
from workloads.lifecycle.features.windows import DELIVERED, WINDOWS, Window, learnt_columns
from workloads.lifecycle.ingestion.observation import EVENT_TIMESTAMP
from workloads.lifecycle.quality.measures import RANKING, RANKING_TITLES, measured, ranking
from workloads.lifecycle.registry.audit import Journal
from workloads.lifecycle.registry.audit_entry import Action
from workloads.lifecycle.schema import Entity
from workloads.lifecycle.workload import Workload

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.dataset as ds

OUTCOMES = "labels/outcomes"
STRUCK = "captures-struck.json"

MIN_PREFIX = 6
"""Characters of a prefix to strike."""

MAX_OUTCOMES = 50_000
"""Outcomes of one delivery."""

CLOCK_SKEW = timedelta(hours=1)
"""How far the clock of the store of outcomes may be behind that of the model servers."""

LATE = 1.25
"""How many times its usual delay an outcome may take to count as live quality."""

_KEY = ["request_id", "row"]


def captured_columns(workload: Workload) -> tuple[str, ...]:
    """Columns of a captured row, as the model server writes them."""
    return (*_KEY, CLIENT_ID, "captured_at", "alias", "version", *workload.keys, *workload.features, "score")


class Outcome(BaseModel):
    """What became of one scored row."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    request_id: Annotated[str, Field(min_length=1, max_length=128)]
    """The answer's `x-prediction-id`, or the `x-request-id` of a client that gives each request its own."""

    row: Annotated[int, Field(ge=0)] = 0
    """Place of the row in the request."""

    outcome: float
    """What happened, in the outcome's unit; 0 or 1 where the problem is binary."""

    observed_at: datetime | None = None
    """When the outcome was known; None means at its delivery."""

    def about(self, entity: Entity) -> int | str | None:
        """The join key that was told, for a row whose request named no entity."""
        told: int | str | None = getattr(self, _field(entity), None)
        return told


def _field(entity: Entity) -> str:
    return f"about_{entity.name}"


@functools.cache
def _delivery(workload: Workload) -> TypeAdapter[list[Outcome]]:
    """The form of a workload's deliveries: its outcome's bounds, and its join keys."""
    known = workload.outcome
    kind: Any = int if workload.problem == "binary" else float
    fields: dict[str, Any] = {
        "outcome": (Annotated[kind, Field(ge=known.lowest, le=known.highest, allow_inf_nan=False)], ...)
        if kind is float
        else (Annotated[kind, Field(ge=known.lowest, le=known.highest)], ...)
    }
    for entity in workload.entities:
        allowed = Annotated[str, Field(min_length=1)] if entity.type == "string" else Annotated[int, Field(ge=0)]
        fields[_field(entity)] = (Annotated[allowed | None, Field(alias=entity.key)], None)
    form = create_model("Outcome", __base__=Outcome, **fields)
    delivery: Any = Annotated[list[form], Field(min_length=1, max_length=MAX_OUTCOMES)]
    return TypeAdapter(delivery)


def parse(content: bytes, workload: Workload) -> list[Outcome]:
    """Outcomes of a delivery, `{"outcomes": […]}`; raises DataError that names the first mistake."""
    try:
        body = json.loads(content)
    except ValueError as error:
        raise DataError(f"the outcomes are not JSON: {error}") from error
    if not isinstance(body, dict) or set(body) != {"outcomes"}:
        known = workload.outcome
        allowed = "0 or 1" if workload.problem == "binary" else f"{known.lowest:g} to {known.highest:g}"
        raise DataError(f'the body must be {{"outcomes": [{{"request_id": …, "row": 0, "outcome": {allowed}}}, …]}}')
    try:
        delivered = _delivery(workload).validate_python(body["outcomes"])
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise DataError(f"outcomes.{where}: {first['msg']} (got {str(first['input'])[:60]!r})") from error
    _refuse_impossible(delivered)
    return delivered


def _refuse_impossible(delivered: Sequence[Outcome]) -> None:
    """Raise DataError for an outcome of the future, or one that another of the delivery contradicts."""
    now = datetime.now(UTC)
    told: dict[tuple[str, int, datetime | None], int] = {}
    for place, item in enumerate(delivered):
        at = item.observed_at
        if at is not None and at.tzinfo is None:
            at = at.replace(tzinfo=UTC)
        if at is not None and at > now + CLOCK_SKEW:
            raise DataError(
                f"outcomes.{place}.observed_at is {at.isoformat()}, in the future: it is {now:%Y-%m-%dT%H:%M:%SZ} here;"
                " give the time at which the outcome was known, or leave it out; nothing of the delivery was stored"
            )
        other = told.setdefault((item.request_id, item.row, at), place)
        if delivered[other].outcome != item.outcome:
            raise DataError(
                f"outcomes.{place} is {item.outcome:g} and outcomes.{other} is {delivered[other].outcome:g}, both about"
                f" row {item.row} of request {item.request_id[:60]!r} at the same time; leave one out, or give the "
                "later one its observed_at; nothing of the delivery was stored"
            )


def add(environment: Environment, outcomes: Sequence[Outcome]) -> int:
    """Store a delivery; returns its rows."""
    import pandas as pd  # noqa: PLC0415

    now, workload = datetime.now(UTC), environment.definition
    columns: dict[str, Any] = {
        "request_id": [item.request_id for item in outcomes],
        "row": [item.row for item in outcomes],
        "outcome": [item.outcome for item in outcomes],
        **{entity.name: [item.about(entity) for item in outcomes] for entity in workload.entities},
        "observed_at": pd.to_datetime([item.observed_at or now for item in outcomes], utc=True),
    }
    keys = {entity.name: "string" if entity.type == "string" else "Int64" for entity in workload.entities}
    frame = pd.DataFrame(columns).astype({"row": "int32", "outcome": label_type(workload), **keys})
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    path = f"{OUTCOMES}/dt={now:%Y-%m-%d}/{now:%H%M%S%f}-{uuid.uuid4().hex[:8]}.parquet"
    Store.open(environment).write(path, buffer.getvalue())
    return len(frame)


def strike(environment: Environment, prefix: str) -> None:
    """From now on no request whose id, the client's or the server's, begins with `prefix` counts.

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


def captured(
    environment: Environment, window: timedelta, folder: str = CAPTURES, requests: "pa.Array | None" = None
) -> "pd.DataFrame":
    """Captured rows of the last `window` that were not struck; `folder`: of answers, or of what a shadow scored.

    `requests`: ids of the requests that are wanted; None: all.
    """
    import pandas as pd  # noqa: PLC0415
    import pyarrow.compute as pc  # noqa: PLC0415
    import pyarrow.dataset as ds  # noqa: PLC0415

    store = Store.open(environment)
    since = datetime.now(UTC) - window
    wanted = pc.field("captured_at") >= pc.scalar(pd.Timestamp(since))
    if requests is not None:
        wanted &= pc.field("request_id").isin(requests) | pc.field(CLIENT_ID).isin(requests)
    found = [
        _with_client_id(ds.dataset(path, filesystem=files, format="parquet", partitioning="hive")).to_table(
            filter=wanted
        )
        for day in store.names(folder)
        if day.removeprefix("dt=") >= f"{since:%Y-%m-%d}"
        for path, files in [store.dataset(f"{folder}/{day}")]
    ]
    if not found:
        return pd.DataFrame(columns=list(captured_columns(environment.definition)))
    frame = pd.concat([table.to_pandas() for table in found], ignore_index=True)
    struck = tuple((store.read_json(STRUCK) or {"prefixes": []})["prefixes"])
    frame = frame[~frame["request_id"].str.startswith((SMOKE, *struck))]
    if struck:
        frame = frame[~frame[CLIENT_ID].fillna("").astype(str).str.startswith(struck)]
    kept: pd.DataFrame = frame.drop_duplicates(_KEY).reset_index(drop=True)
    return kept


def known_lately(environment: Environment, window: timedelta) -> "pd.DataFrame":
    """Captured rows whose outcome was delivered in the last `window`, whenever they were requests.

    An outcome that comes a month after its request says today how the model of that month did. Rows older than `LATE`
    times the outcome's usual delay are left out.
    """
    ids = _delivered(environment, window)["request_id"].combine_chunks()
    return labelled(
        environment, captured(environment, window + LATE * environment.definition.outcome.delay, requests=ids)
    )


def unmatched(environment: Environment, window: timedelta, known: "pd.DataFrame") -> int:
    """Delivered outcomes of the last `window` that are none of the `known` rows' (`known_lately`).

    Their requests are unknown, struck, too old, came after the outcome, or share their id with others.
    """
    delivered = _delivered(environment, window).group_by(_KEY).aggregate([]).num_rows
    return max(0, int(delivered) - len(known))


def _delivered(environment: Environment, window: timedelta) -> "pa.Table":
    """Request and row of each outcome that was delivered in the last `window`, by the store's clock."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    store, since = Store.open(environment), datetime.now(UTC) - window - CLOCK_SKEW
    found = [store.dataset(path) for path in store.paths(OUTCOMES, since)]
    tables = [pq.read_table(path, columns=_KEY, filesystem=files) for path, files in found]
    return pa.concat_tables(tables or [pa.schema([("request_id", pa.string()), ("row", pa.int32())]).empty_table()])


def _with_client_id(captures: "ds.Dataset") -> "ds.Dataset":
    """Captures whose first file may be of before the server made the ids: there the column is null."""
    import pyarrow as pa  # noqa: PLC0415

    if CLIENT_ID in captures.schema.names:
        return captures
    return captures.replace_schema(captures.schema.append(pa.field(CLIENT_ID, pa.string())))


def labelled(environment: Environment, captures: "pd.DataFrame") -> "pd.DataFrame":
    """The captured rows whose outcome is known, with the label and the join keys; empty when there are none.

    Reads the deliveries since the oldest of these requests: nothing before can name one.
    """
    import pandas as pd  # noqa: PLC0415
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.dataset as ds  # noqa: PLC0415

    workload, store = environment.definition, Store.open(environment)
    label = workload.outcome.label
    oldest = f"dt={captures['captured_at'].min() - CLOCK_SKEW:%Y-%m-%d}" if len(captures) else ""
    days = [day for day in store.names(OUTCOMES) if oldest and day >= oldest]
    if not days:
        found = {label: pd.Series(dtype=label_type(workload)), DELIVERED: pd.Series(dtype="datetime64[ns, UTC]")}
        return captures.head(0).assign(**found)
    delivered = []
    for day in days:
        path, files = store.dataset(f"{OUTCOMES}/{day}")
        table = ds.dataset(path, filesystem=files, format="parquet").to_table()
        at = pa.scalar(pd.Timestamp(day.removeprefix("dt="), tz="UTC"))
        delivered.append(table.append_column(DELIVERED, pa.repeat(at, table.num_rows)))
    outcomes = _by_server_id(pa.concat_tables(delivered, promote_options="permissive").to_pandas(), captures)
    latest = outcomes.sort_values("observed_at", kind="stable").drop_duplicates(_KEY, keep="last")
    told = {entity.name: _field(entity) for entity in workload.entities}
    joined = captures.merge(latest.rename(columns=told), on=_KEY, validate="1:1")
    for entity in workload.entities:
        joined[entity.key] = joined[entity.key].fillna(joined[_field(entity)])
    return joined.rename(columns={"outcome": label}).drop(columns=[*told.values(), "observed_at"])


def _by_server_id(outcomes: "pd.DataFrame", captures: "pd.DataFrame") -> "pd.DataFrame":
    """The outcomes of captured requests by the server's ids; those that name none of them, or several, are left out.

    A client's id counts for a request that was answered before the outcome was known: one that is used again later
    takes no outcome of the earlier request. What is known before its prediction is no outcome of it, beyond what clocks
    differ by.
    """
    import pandas as pd  # noqa: PLC0415

    requests = captures.drop_duplicates("request_id").set_index("request_id")
    once = requests[requests[CLIENT_ID].notna()].reset_index().drop_duplicates(CLIENT_ID, keep=False)
    known = outcomes["request_id"].isin(requests.index)
    by_client = outcomes["request_id"].map(once.set_index(CLIENT_ID)["request_id"])
    found = outcomes.assign(request_id=outcomes["request_id"].where(known, by_client))
    found = found[found["request_id"].notna()]
    answered = found["request_id"].map(requests["captured_at"])
    slack = pd.Series(timedelta(0), index=found.index).where(~known[found.index], CLOCK_SKEW)
    return found[found["observed_at"] + slack >= answered]


def label_type(workload: Workload) -> str:
    """The name of a known outcome's type in numpy."""
    return "int64" if workload.problem == "binary" else "float64"


def window(
    environment: Environment,
    attributes: "pd.DataFrame",
    since: datetime | None = None,
    champions: Mapping[str, datetime] | None = None,
) -> Window | None:
    """Write the labelled rows of the last days, whose outcomes had time to be known, as a window; None for too few.

    `since`: where an earlier window began that was not enough to decide by; this one begins no later. `champions`:
    versions that became the champion meanwhile, and when.

    `attributes` holds the protected attributes, one row for each entity; rows of other entities cannot be checked for
    bias and are left out. Where the workload has histories, a row was observed when it was captured. Raises DataError
    when the labels cannot be believed: one class only, the champion ranks them no better than chance, or their mean
    outcome is far from what it predicted.
    """
    settings, workload = environment.settings.retraining, environment.definition
    keys, label = list(workload.keys), workload.outcome.label
    # Outcomes of the newest requests are not known yet: the days before them are learnt from.
    now, length = datetime.now(UTC), timedelta(days=settings.labelled_days) + workload.outcome.delay
    begins = (now - length).replace(hour=0, minute=0, second=0, microsecond=0)
    begins = min(begins, since) if since is not None else begins
    rows = labelled(environment, captured(environment, now - begins))
    frame = rows.dropna(subset=keys)
    if workload.attributes:
        frame = frame.merge(attributes[[*keys, *workload.attributes]], on=keys, validate="m:1")
    if len(frame) < settings.min_labelled_rows:
        return None
    auc = _ranking(workload, frame)
    if auc < settings.min_champion_auc:
        raise DataError(
            f"the outcomes of {len(frame)} requests are not believed: the champion ranks them with "
            f"{RANKING_TITLES[workload.problem]} {auc:.3f}, below {settings.min_champion_auc}; check the outcome feed, "
            "nothing was trained"
        )
    rate, predicted = float(frame[label].mean()), float(frame["score"].mean())
    if abs(rate - predicted) > settings.max_rate_gap * (workload.outcome.highest - workload.outcome.lowest):
        described = f"{rate:.3f} of them are 1" if workload.problem == "binary" else f"their mean is {rate:.3f}"
        raise DataError(
            f"the outcomes of {len(frame)} requests are not believed: {described} where the champion predicted "
            f"{predicted:.3f}, more than {settings.max_rate_gap} of their range apart; check the outcome feed, or "
            "raise retraining.max_rate_gap when the world has changed so much; nothing was trained"
        )
    frame = frame.rename(columns={"captured_at": EVENT_TIMESTAMP})
    ordered = frame.sort_values([*keys, *_KEY])[[*learnt_columns(workload), DELIVERED]].reset_index(drop=True)
    whole = {entity.key: "int64" for entity in workload.entities if entity.type == "integer"}
    ordered = ordered.astype({**whole, label: label_type(workload)})
    buffer = io.BytesIO()
    ordered.to_parquet(buffer, index=False)
    name = hashlib.sha256(buffer.getvalue()).hexdigest()[:32]
    made = Window(
        name=name,
        rows=len(ordered),
        champion_auc=auc,
        old_share=settings.old_share,
        since=begins,
        champions=dict(champions or {}),
    )
    store = Store.open(environment)
    store.write(f"{WINDOWS}/{name}.parquet", buffer.getvalue())
    store.write_json(f"{WINDOWS}/{name}.json", made.model_dump(mode="json"))
    return made


class Quality(BaseModel):
    """How one version did on requests with known outcome."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    rows: int
    """Labelled rows."""

    auc: float | None
    """Area under the ROC curve, or the concordance of a regression; None with too few rows or one class."""

    calibration_error: float | None
    """Gap between predicted and observed rate; None with too few rows or one class."""

    rmse: float | None = None
    """Root mean squared error of a regression, in the outcome's unit; None of a binary problem, and as above."""

    reason: str | None = None
    """Why there is no AUC; None when there is one."""


def quality(environment: Environment, rows: "pd.DataFrame", version: str) -> Quality:
    """Quality of one version on labelled rows."""
    mine = rows[rows["version"] == version] if len(rows) else rows
    needed, label = environment.settings.monitoring.min_labelled_rows, environment.definition.outcome.label
    reason = None
    if len(mine) < needed:
        reason = (
            f"{len(mine)} captured requests of version {version} have a known outcome, {needed} are needed "
            f"(monitoring.min_labelled_rows); {len(rows) - len(mine)} more are of other versions"
        )
    elif mine[label].nunique() < len((0, 1)):
        reason = f"the {len(mine)} known outcomes of version {version} are all {mine[label].iloc[0]}"
    if reason is not None:
        return Quality(rows=len(mine), auc=None, calibration_error=None, reason=reason)
    problem = environment.definition.problem
    found = measured(problem, mine[label].to_numpy(dtype=float), mine["score"].to_numpy())
    return Quality(
        rows=len(mine),
        auc=found[RANKING[problem]],
        calibration_error=found["calibration_error"],
        rmse=found.get("rmse"),
    )


def _ranking(workload: Workload, frame: "pd.DataFrame") -> float:
    """AUC, or the concordance of a regression, which is the same for outcomes of 0 and 1."""
    labels = frame[workload.outcome.label].to_numpy(dtype=label_type(workload))
    if len(set(labels.tolist())) == 1:
        raise DataError(f"the outcomes of {len(frame)} requests are all {labels[0]}; check the outcome feed")
    return ranking(workload.problem, labels, frame["score"].to_numpy())


def main() -> None:
    """Command: import outcomes from a file, or strike requests."""
    parser = argparse.ArgumentParser(prog="python -m workloads.lifecycle.monitoring.outcomes", description=__doc__)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--import", dest="file", metavar="FILE", type=Path, help='JSON, {"outcomes": […]}')
    action.add_argument("--strike", metavar="PREFIX", help="ignore captured requests with an id that begins like this")
    arguments = parser.parse_args()
    environment = load()
    journal = Journal(environment)
    if arguments.strike is not None:
        strike(environment, arguments.strike)
        journal.record(Action.OUTCOMES_STRUCK, arguments.strike, "done")
        return
    try:
        content = arguments.file.read_bytes()
    except OSError as error:
        raise DataError(f"{arguments.file} cannot be read: {error.strerror}") from error
    stored = add(environment, parse(content, environment.definition))
    journal.record(Action.OUTCOMES_FED, str(arguments.file), f"{stored} stored")
    print(f"{stored} outcomes stored")


if __name__ == "__main__":
    run_command(main)
