"""When rows were observed: by the data's own count of time, or when they first arrived; never by being ingested again.

A newest row that the published run has already keeps its time, so that its features pass their ttl however often the
same file is ingested. Entities whose features share a view's key get one time, because that view has one row for them:
one new row among them makes all of them new. Rows whose derivation changed are new, too.
"""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from workloads.lifecycle.workload import Workload

if TYPE_CHECKING:
    from pyspark.sql import Column as SparkColumn
    from pyspark.sql import DataFrame

CREATED = "created"
"""Published column with the time of ingestion."""

EVENT_TIMESTAMP = "event_timestamp"
"""Published column with the time at which the row was observed."""

_AGE, _ROW, _SINCE = "age_micros", "row_hash", "since"
_MICROSECOND = timedelta(microseconds=1)
_START = datetime(1970, 1, 1, tzinfo=UTC)


def time_column(workload: Workload) -> "SparkColumn":
    """What `observed` makes the time of a checked row of: the time, or the distance from the entity's newest row."""
    from pyspark.sql import Window  # noqa: PLC0415
    from pyspark.sql import functions as F  # noqa: N812, PLC0415

    when = workload.time
    if when is None:
        return F.lit(0).cast("bigint").alias(_AGE)
    counted, unit = F.col(when.column), when.unit // _MICROSECOND
    if when.epoch is not None:
        begin = F.lit((when.epoch - _START) // _MICROSECOND)
        return F.timestamp_micros(F.round(counted * unit).cast("bigint") + begin).alias(EVENT_TIMESTAMP)
    entity = Window.partitionBy(*(each.column for each in workload.entities))
    return F.round((F.max(counted).over(entity) - counted) * unit).cast("bigint").alias(_AGE)


def observed(rows: "DataFrame", workload: Workload, before: "DataFrame | None") -> "DataFrame":
    """Rows with `time_column` and `CREATED` -> with `EVENT_TIMESTAMP`, in the same place.

    `before` holds the published run; None makes every newest row as old as its ingestion.
    """
    from pyspark.sql import functions as F  # noqa: N812, PLC0415

    if EVENT_TIMESTAMP in rows.columns:
        return rows
    names = [EVENT_TIMESTAMP if name == _AGE else name for name in rows.columns]
    since = F.col(CREATED)
    if before is not None:
        group = _shared_keys(workload)
        known = _first_seen(rows, workload, before, group)
        rows = rows.join(known, group, "left") if group else rows.crossJoin(known)
        since = F.coalesce(F.col(_SINCE), since)
    return rows.withColumn(EVENT_TIMESTAMP, F.timestamp_micros(F.unix_micros(since) - F.col(_AGE))).select(*names)


def needed(workload: Workload) -> list[str]:
    """Columns of the published run that tell whether a row is the same, and since when it is known."""
    return [*workload.keys, *_content(workload), EVENT_TIMESTAMP]


def newest(rows: "DataFrame") -> datetime:
    """Time of the newest of observed rows, UTC."""
    from pyspark.sql import functions as F  # noqa: N812, PLC0415

    (micros,) = rows.agg(F.unix_micros(F.max(EVENT_TIMESTAMP))).collect()[0]
    return _START + timedelta(microseconds=micros)


def _content(workload: Workload) -> list[str]:
    """Features and raw columns; an outcome that becomes known is no new observation."""
    return [name for name in dict.fromkeys((*workload.features, *workload.published)) if name not in workload.keys]


def _shared_keys(workload: Workload) -> list[str]:
    """The keys that every view has."""
    return [key for key in workload.keys if all(key in workload.keys_of(view) for view in workload.views)]


def _first_seen(rows: "DataFrame", workload: Workload, before: "DataFrame", group: list[str]) -> "DataFrame":
    """By the keys that every view has, when the newest rows were observed; null where one of them is new."""
    from pyspark.sql import functions as F  # noqa: N812, PLC0415

    content, row = _content(workload), [*workload.keys, _ROW]
    # xxhash64 skips nulls: without the flags, a value that moves to the next column would leave the row the same.
    digest = F.xxhash64(*content, *(F.col(name).isNull() for name in content)).alias(_ROW)
    latest = rows.where(F.col(_AGE) == 0).select(*workload.keys, digest)
    seen = (
        before.select(*workload.keys, digest, EVENT_TIMESTAMP).groupBy(*row).agg(F.max(EVENT_TIMESTAMP).alias(_SINCE))
    )
    whole = F.count(_SINCE) == F.count(F.lit(1))
    return latest.join(seen, row, "left").groupBy(*group).agg(F.when(whole, F.max(_SINCE)).alias(_SINCE))
