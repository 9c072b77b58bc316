"""Stage 1: raw rows -> checked, partitioned Parquet with the derived features; bad rows go to quarantine with a reason.

Writes a run and publishes nothing: `features.publish` makes a run the one that is served.

Spark reads raw lines, not its own CSV format: that turns malformed fields into NULL, keeps the row, and drops surplus
fields in silence. Here every line is split and judged by the contract. Everything is written below a prefix of its own;
`ingested/<run>/run.json` is written last and marks the run as complete.
"""

import argparse
import hashlib
import math
import re
import shutil
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from workloads.lifecycle import discovery
from workloads.lifecycle.base import identifiers
from workloads.lifecycle.base.environment import Environment, load
from workloads.lifecycle.base.errors import DataError, WorkloadError, run_command
from workloads.lifecycle.base.identifiers import IngestionRun, object_path
from workloads.lifecycle.base.ingestion_settings import IngestionSettings
from workloads.lifecycle.base.settings import STORED
from workloads.lifecycle.base.store import Store, fetch
from workloads.lifecycle.ingestion import observation, tombstones
from workloads.lifecycle.ingestion.header import check_header
from workloads.lifecycle.ingestion.observation import CREATED
from workloads.lifecycle.ingestion.spark import Files, files_for, start
from workloads.lifecycle.ingestion.tombstones import Tombstones
from workloads.lifecycle.schema import Column, Source
from workloads.lifecycle.workload import Workload

if TYPE_CHECKING:
    from pyspark.sql import Column as SparkColumn
    from pyspark.sql import DataFrame, SparkSession

CURRENT = "features/current.json"
"""Object that names the published run."""

RECORDS = "ingested"
"""Prefix of the records of complete runs."""

MAX_RAW_CHARACTERS = 2_000
"""Longest part of a bad line that quarantine keeps."""

_INTEGER = r"^[+-]?\d{1,15}(\.\d{0,15})?([eE][+]?\d{1,2})?$"
"""A decimal number that may turn out whole; common copies of data write round amounts as `5.00E+05`."""

_NUMBER = r"^[+-]?\d{1,15}(\.\d{0,20})?([eE][+-]?\d{1,2})?$"
"""A decimal number, which may be as small as doubles are printed."""

_COMMA = r',(?=(?:[^"]*"[^"]*")*[^"]*$)'
"""A comma outside of quotes."""

_QUOTED_CHARACTERS = 10_000
"""Longest line in which quotes are looked for: the time grows with the square of its length."""

_THOUSANDS = r"^[+-]?\d{1,3}(,\d{3})+(\.\d*)?$"

_TEXT_CHARACTERS = 256
"""Longest string of a field: keys of the online store and of requests are made of it."""

_BEYOND = 2.0**60
"""Larger than every allowed value, and still an integer of 64 bits."""

_HASH_PARTS = 4
_STAMP = "%Y%m%dT%H%M%S%fZ"
_RUN = re.compile(r"\d{8}T\d{12}Z(-[0-9a-f]{12})?")
"""Names of what older runs left: a raw copy has no hash of its rows yet."""


class Ingested(BaseModel):
    """Record of one ingestion; the content of `ingested/<run>/run.json` and, once published, of `CURRENT`."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    run: IngestionRun
    """Name of the run: time and content hash; last part of both prefixes."""

    data_hash: str
    """SHA-256 over the accepted rows, whatever their order; the time of ingestion is no part of it."""

    source: str
    """Name of the raw file, or what generated it."""

    rows: int
    """Accepted rows."""

    entities: int | None = None
    """Entities that the rows are about, which is the number of rows online; None: each row is an entity's only one."""

    quarantined: dict[str, int]
    """Bad rows by first reason."""

    event_timestamp: datetime
    """Time of ingestion, UTC: from when on these features are known."""

    observed_at: datetime | None = None
    """Time of the newest row, UTC; None of a run of before it was kept."""

    @property
    def newest_observation(self) -> datetime:
        """Time of the newest row, UTC."""
        return self.observed_at or self.event_timestamp

    @property
    def features_prefix(self) -> str:
        """Folder of the Parquet files below the workload's root."""
        return f"features/{self.run}"

    @property
    def quarantine_prefix(self) -> str:
        """Folder of the bad rows below the workload's root."""
        return f"quarantine/{self.run}"


def ingest(environment: Environment, session: "SparkSession | None" = None) -> Ingested:
    """Check the raw rows, derive the features and write both as a run; the published run stays the published one.

    Rows of erased entities reach neither the run nor quarantine. Raises DataError when the header is wrong, more than
    the allowed share of rows is bad, or there are too few rows; WorkloadError when an entity was erased meanwhile.
    Quarantined rows are kept in all cases. Uses `session` when given and leaves it running.
    """
    settings, workload = environment.settings.ingestion, environment.definition
    store = Store.open(environment)
    scratch = _fresh_folder(environment.work / "ingest")
    source, name = _source(environment, scratch)
    check_header(source, workload.source)
    now, erased = datetime.now(UTC), Tombstones.read(store)
    files = files_for(settings, store, scratch, f"{now:{_STAMP}}")
    spark = session or start(workload.name, settings, environment.work)
    try:
        lines = _judge(_fields(files.lines(spark, source), workload.source), workload.source)
        judged = (_without(lines, workload, erased) if erased else lines).cache()
        ingested = _summarize(judged, workload, name, now)
        if ingested.quarantined:
            files.write(_bad(judged), ingested.quarantine_prefix)
        _refuse(ingested, store, settings)
        good = _good(judged, workload, now, _before(environment, store, files, spark))
        ingested = ingested.model_copy(update={"observed_at": observation.newest(good)})
        files.write(good, f"{ingested.features_prefix}/dt={now:%Y-%m-%d}")
        judged.unpersist()
    finally:
        if session is None:
            spark.stop()
    _refuse_new_tombstones(store, erased, ingested)
    store.write_json(_record(ingested.run), ingested.model_dump(mode="json"))
    _forget(store, settings.kept_runs)
    shutil.rmtree(scratch)
    return ingested


def current(store: Store) -> Ingested:
    """The published run; raises DataError when there is none."""
    found = published(store)
    if found is None:
        raise DataError(
            f"{store.uri}/{CURRENT} does not exist, because no run was published: release a model with `make up`, or "
            "publish features with `python -m workloads.lifecycle.pipelines.nightly`"
        )
    return found


def published(store: Store) -> Ingested | None:
    """The published run; None before the first publication."""
    return store.read_model(CURRENT, Ingested)


def recorded(store: Store, run: str) -> Ingested:
    """A complete run, published or not; raises DataError when there is none of that name."""
    found = store.read_model(_record(run), Ingested)
    if found is None:
        raise DataError(
            f"{store.uri}/{_record(run)} does not exist: ingestion run {run} did not finish or was removed as an old "
            "run; ingest again"
        )
    return found


def _record(run: str) -> str:
    return f"{RECORDS}/{identifiers.ingestion_run(run)}/run.json"


def _source(environment: Environment, scratch: Path) -> tuple[Path, str]:
    if environment.data.startswith(STORED):
        path = scratch / object_path(environment.data.rpartition("/")[2], f"file name of DATA={environment.data}")
        fetch(environment, environment.data, path)
        return path, path.name
    if environment.data:
        path = Path(environment.data).resolve()
        return path, path.name
    settings = environment.settings.ingestion
    path = scratch / "generated.csv"
    generate = discovery.load(environment.definition.generator, "generator")
    generate(path, settings.generator_rows, settings.generator_seed)
    return path, f"generator(rows={settings.generator_rows}, seed={settings.generator_seed})"


def _fields(lines: "DataFrame", source: Source) -> "DataFrame":
    """Every line with text but the header, with its place in the file and its fields."""
    from pyspark.sql import functions as F  # noqa: N812, PLC0415

    text = F.trim(F.col("value"))
    if source.format == "blanks":
        return lines.where(text != "").withColumn("fields", F.split(text, r"\s+"))
    first = (F.col("block") == 0) & (F.col("place") == 0)
    rows = lines.where(~first & text.rlike(r'[^,"\s]'))  # spreadsheets end a file with rows of separators
    quoted = F.col("value").contains('"') & (F.length("value") <= _QUOTED_CHARACTERS)
    fields = F.when(quoted, F.split("value", _COMMA)).otherwise(F.split("value", ","))
    return rows.withColumn("fields", F.transform(fields, _unquoted))


def _unquoted(field: "SparkColumn") -> "SparkColumn":
    """A field without its quotes (RFC 4180); a quoted number without the separators of thousands."""
    from pyspark.sql import functions as F  # noqa: N812, PLC0415

    bare = F.trim(field)
    content = F.trim(F.regexp_replace(F.regexp_extract(bare, '^"(.*)"$', 1), '""', '"'))
    number = F.when(content.rlike(_THOUSANDS), F.regexp_replace(content, ",", "")).otherwise(content)
    return F.when(bare.rlike('^".*"$'), number).otherwise(bare)


def _judge(lines: "DataFrame", source: Source) -> "DataFrame":
    """Typed columns plus `reason`, which is null for a good row.

    Of rows with the same key the first good one in the file is kept; the later ones are quarantined.
    """
    from pyspark.sql import Window  # noqa: PLC0415
    from pyspark.sql import functions as F  # noqa: N812, PLC0415

    expected, count = len(source.columns), F.size("fields")
    width = F.when(count < expected, F.concat(F.lit("short line: "), count, F.lit(" fields"))).when(
        count > expected, F.concat(F.lit("long line: "), count, F.lit(" fields"))
    )
    fields = [F.get("fields", F.lit(index)) for index in range(expected)]
    typed = lines.select(
        "block",
        "place",
        F.col("value").alias("raw"),
        "fields",
        width.alias("width"),
        *(_typed(field, column).alias(column.name) for field, column in zip(fields, source.columns, strict=True)),
    )
    reasons = [_reason(field, column) for field, column in zip(fields, source.columns, strict=True)]
    checked = typed.withColumn("own_reason", F.coalesce("width", *reasons))
    order = Window.partitionBy(*source.key, F.col("own_reason").isNull()).orderBy("block", "place")
    numbered = checked.withColumn("repeat", F.row_number().over(order))
    duplicate = F.when(F.col("repeat") > 1, F.lit(f"{', '.join(source.key)}: duplicate of an earlier row"))
    reason = F.coalesce("own_reason", duplicate)
    return numbered.withColumn("reason", reason).drop("fields", "width", "own_reason", "repeat")


def _without(judged: "DataFrame", workload: Workload, erased: Tombstones) -> "DataFrame":
    """The rows of entities that were not erased.

    A line of another length does not say where its keys are: quarantine then keeps its reason and not its text.
    """
    from pyspark.sql import functions as F  # noqa: N812, PLC0415

    kept = judged.where(~erased.spark_column(workload))
    is_unclear = F.coalesce(F.col("reason").rlike("^(short|long) line: "), F.lit(False))
    return kept.withColumn("raw", F.when(~is_unclear, F.col("raw")))


def _refuse_new_tombstones(store: Store, before: Tombstones, ingested: Ingested) -> None:
    """Raise WorkloadError, and remove the run's rows, when an entity was erased while they were written."""
    if Tombstones.read(store).names == before.names:
        return
    for prefix in (ingested.features_prefix, ingested.quarantine_prefix):
        if store.names(prefix):
            store.remove_tree(prefix)
    tombstones.mark_cleaned(store)
    raise WorkloadError(
        f"an entity was erased while run {ingested.run} was written, so its rows were removed again; ingest once more"
    )


def _typed(field: "SparkColumn", column: Column) -> "SparkColumn":
    from pyspark.sql import functions as F  # noqa: N812, PLC0415

    if column.type == "string":
        return F.when(field != "", field)
    if column.type == "number":
        return F.when(field.rlike(_NUMBER), field.cast("double") + 0.0)  # -0.0 and 0.0 are the same data
    number = F.when(field.rlike(_INTEGER), field.cast("double"))
    bounded = F.greatest(F.least(number, F.lit(_BEYOND)), F.lit(-_BEYOND))  # a cast that overflows would end the job
    return F.when(number.isNotNull() & (bounded % 1 == 0), bounded.cast("bigint"))


def _reason(field: "SparkColumn", column: Column) -> "SparkColumn":
    """Why a field is refused; null for a good one."""
    from pyspark.sql import functions as F  # noqa: N812, PLC0415

    value = F.col(column.name)
    missing = value.isNull() & (field != "") if column.nullable else value.isNull()
    if column.type == "string":
        refused = F.when(missing, F.lit(f"{column.name}: empty"))
        if column.values:
            allowed = f"{column.name}: unknown category, allowed {', '.join(column.values)}"
            return refused.when(~value.isin(*column.values), F.lit(allowed))
        return refused.when(
            (F.length(value) > _TEXT_CHARACTERS) | value.rlike(r"\p{Cntrl}"),
            F.lit(f"{column.name}: longer than {_TEXT_CHARACTERS} characters, or not printable"),
        )
    kind = "unknown category" if column.is_code else "out of range"
    allowed = f"{column.lowest} to {column.highest}"
    noun = "an integer" if column.type == "integer" else "a number"
    return F.when(missing, F.lit(f"{column.name}: not {noun}")).when(
        ~value.between(F.lit(column.lowest), F.lit(column.highest)), F.lit(f"{column.name}: {kind}, allowed {allowed}")
    )


def _summarize(judged: "DataFrame", workload: Workload, name: str, now: datetime) -> Ingested:
    """Count rows by reason and hash the good ones, in one pass and independent of order."""
    from pyspark.sql import functions as F  # noqa: N812, PLC0415

    source, entities = workload.source, [entity.column for entity in workload.entities]

    # A separator that no field holds, and an empty field for a null: two different rows are never the same text.
    separator = " " if source.format == "blanks" else ","
    texts = (F.coalesce(F.col(column.name).cast("string"), F.lit("")) for column in source.columns)
    digest = F.sha2(F.concat_ws(separator, *texts), 256)
    width = 15  # hex digits that fit a signed 64-bit integer
    sums = [
        F.sum(F.conv(F.substring(digest, 1 + part * width, width), 16, 10).cast("decimal(20,0)")).alias(f"part{part}")
        for part in range(_HASH_PARTS)
    ]
    if workload.time is not None:
        sums.append(F.count_distinct(*(F.col(name) for name in entities)).alias("entities"))
    groups = judged.groupBy("reason").agg(F.count("*").alias("rows"), *sums).collect()
    good = next((group for group in groups if group["reason"] is None), None)
    parts = [str(good[f"part{part}"]) for part in range(_HASH_PARTS)] if good else []
    rows = int(good["rows"]) if good else 0
    data_hash = hashlib.sha256(":".join([str(source.contract_version), str(rows), *parts]).encode()).hexdigest()
    return Ingested(
        run=f"{now:{_STAMP}}-{data_hash[:12]}",
        data_hash=data_hash,
        source=name,
        rows=rows,
        entities=int(good["entities"]) if good and workload.time is not None else None,
        quarantined={group["reason"]: int(group["rows"]) for group in groups if group["reason"] is not None},
        event_timestamp=now,
    )


def _before(environment: Environment, store: Store, files: Files, spark: "SparkSession") -> "DataFrame | None":
    """The published run, whose rows keep their times; None without one, and for rows that the generator makes anew."""
    last = published(store)
    if last is None or not environment.data:
        return None
    return files.read(spark, last.features_prefix, observation.needed(environment.definition))


def _good(judged: "DataFrame", workload: Workload, now: datetime, before: "DataFrame | None") -> "DataFrame":
    """Accepted rows with keys, derived features, label, and the time at which each was observed."""
    from pyspark.sql import functions as F  # noqa: N812, PLC0415

    derived = discovery.load(workload.derive, "derive")()
    if set(derived) != set(workload.features):
        raise WorkloadError(
            f"derive={workload.derive!r} gives {', '.join(derived)}; expected the features of the definition: "
            f"{', '.join(workload.features)}"
        )
    outcome = workload.outcome
    label = F.col(outcome.column) if outcome.column else discovery.load(str(outcome.derive), "outcome.derive")()
    rows = judged.where(F.col("reason").isNull()).select(
        *(F.col(entity.column).alias(entity.key) for entity in workload.entities),
        *(derived[name].alias(name) for name in workload.features),
        *workload.published,
        label.cast("bigint" if workload.label_type == "integer" else "double").alias(outcome.label),
        observation.time_column(workload),
        F.lit(now.isoformat()).cast("timestamp").alias(CREATED),
    )
    return observation.observed(rows, workload, before)


def _bad(judged: "DataFrame") -> "DataFrame":
    """Refused lines with the reason."""
    from pyspark.sql import functions as F  # noqa: N812, PLC0415

    raw = F.substring("raw", 1, MAX_RAW_CHARACTERS).alias("raw")
    return judged.where(F.col("reason").isNotNull()).select("place", "reason", raw)


def _refuse(ingested: Ingested, store: Store, settings: IngestionSettings) -> None:
    """Raise DataError when too many rows are bad or too few are good."""
    bad = sum(ingested.quarantined.values())
    total = bad + ingested.rows
    if not ingested.rows or bad > settings.max_bad_share * total:
        worst = max(ingested.quarantined, key=lambda reason: ingested.quarantined[reason], default="no rows")
        raise DataError(
            f"{bad} of {total} rows are bad ({bad / max(total, 1):.1%}, allowed {settings.max_bad_share:.1%}), mostly "
            f"{worst!r}; the features of the last run stay, "
            f"the bad rows are in {store.uri}/{ingested.quarantine_prefix}"
        )
    refuse_few(ingested, published(store), settings)


def refuse_few(ingested: Ingested, last: Ingested | None, settings: IngestionSettings) -> None:
    """Raise DataError when a run has fewer rows than allowed, absolutely or against the last published run."""
    rows = ingested.rows
    fewest = 0 if last is None else math.ceil(round(last.rows * (1 - settings.max_drop_share), 6))
    changes = []
    if rows < settings.min_rows:
        changes.append(f"ingestion.min_rows to {rows} or less (now {settings.min_rows})")
    if last is not None and rows < fewest:
        drop = math.ceil(round(100 * (1 - rows / last.rows), 6)) / 100
        changes.append(f"ingestion.max_drop_share to {drop:g} or more (now {settings.max_drop_share:g})")
    if changes:
        before = "no run is published yet" if last is None else f"the last published run has {last.rows}"
        raise DataError(
            f"{ingested.source} has {rows} accepted rows ({before}), allowed are {max(settings.min_rows, fewest)} rows "
            f"or more; nothing is published. If {rows} rows are right, set {' and '.join(changes)} in the stack file"
        )


def _forget(store: Store, kept: int) -> None:
    """Delete all but the newest runs and the published one."""
    serving = published(store)
    for kind in ("features", "quarantine", "raw", RECORDS):
        runs = [name for name in store.names(kind) if _RUN.fullmatch(name)]
        for run in runs[:-kept]:
            if serving is None or not serving.run.startswith(run):  # the raw file is named by the time alone
                store.remove_tree(f"{kind}/{run}")


def _fresh_folder(path: Path) -> Path:
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def main() -> None:
    """Command: ingest and print the run as JSON; publishes nothing."""
    argparse.ArgumentParser(prog="python -m workloads.lifecycle.ingestion.ingest", description=__doc__).parse_args()
    started = time.perf_counter()
    ingested = ingest(load())
    print(ingested.model_dump_json(indent=1))
    print(f"{ingested.rows} rows in {time.perf_counter() - started:.1f} s", file=sys.stderr)


if __name__ == "__main__":
    run_command(main)
