"""Where the artifact store keeps rows about entities, and what each place is without those of erased ones.

Rows are found by their keys, by the tombstones' hashes. Captured requests that sent vectors are found by the outcome
that names their entity; a vector that nothing names is about nobody that could be told.
"""

import io
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from workloads.lifecycle.base.names import CAPTURES, SHADOWED
from workloads.lifecycle.features.windows import WINDOWS
from workloads.lifecycle.ingestion import tombstones
from workloads.lifecycle.ingestion.tombstones import Tombstones
from workloads.lifecycle.monitoring.outcomes import OUTCOMES
from workloads.lifecycle.schema import Column, Key
from workloads.lifecycle.training import reference
from workloads.lifecycle.workload import Workload

if TYPE_CHECKING:
    import pyarrow as pa

PARQUET = ".parquet"
Request = tuple[str, int]
"""A captured row: request id, and place in the request."""


@dataclass(frozen=True)
class Place:
    """Objects of one kind."""

    prefix: str

    title: str
    """What lies there, for people."""

    keys: tuple[str, ...] = ()
    """Columns that hold the keys, in the order of the workload's; none where lines of raw data are kept."""

    is_request: bool = False
    """Whether rows also have `request_id` and `row`."""


def places(workload: Workload) -> tuple[Place, ...]:
    """Every place with rows about entities."""
    keys, told = workload.keys, tuple(entity.name for entity in workload.entities)
    return (
        Place("raw", "raw rows"),
        Place("quarantine", "quarantined rows"),
        Place("features", "offline features", keys),
        Place("batch", "batch scores", keys),
        Place(CAPTURES, "captured requests", keys, is_request=True),
        Place(SHADOWED, "requests that a shadow scored", keys, is_request=True),
        Place(OUTCOMES, "outcomes", told, is_request=True),
        Place(WINDOWS, "rows of labelled windows", keys),
        Place(reference.PREFIX, "training rows kept as a reference", keys),
    )


@dataclass(frozen=True)
class Erased:
    """Which rows go."""

    workload: Workload

    buries: Tombstones

    requests: frozenset[Request] = frozenset()
    """Captured rows about erased entities."""

    keys: set[Key] = field(default_factory=set)
    """Gets the keys of rows that are found, so that the online store's can go by them."""

    def without(self, place: Place, path: str, content: bytes) -> tuple[bytes, int]:
        """An object's content without the rows that go, and how many those are; 0 leaves the content as it was."""
        if place.keys:
            return self._parquet(place, content) if path.endswith(PARQUET) else (content, 0)
        return self._quarantine(content) if path.endswith(PARQUET) else self._lines(content)

    def requests_in(self, place: Place, content: bytes) -> Iterator[Request]:
        """Captured rows of a Parquet object that its keys or its outcome's entity say are about an erased one."""
        table = _read(content)
        gone = tombstones.buried(self.buries, _lists(table, place.keys))
        for is_gone, request, row in zip(gone, *_lists(table, ("request_id", "row")), strict=True):
            if is_gone:
                yield str(request), int(row)

    def _parquet(self, place: Place, content: bytes) -> tuple[bytes, int]:
        table = _read(content)
        columns = _lists(table, place.keys)
        gone = tombstones.buried(self.buries, columns)
        self.keys.update(key for key, is_gone in zip(zip(*columns, strict=True), gone, strict=True) if is_gone)
        if place.is_request and self.requests:
            asked = zip(*_lists(table, ("request_id", "row")), strict=True)
            gone = [is_gone or each in self.requests for is_gone, each in zip(gone, asked, strict=True)]
        return _kept(table, content, gone)

    def _quarantine(self, content: bytes) -> tuple[bytes, int]:
        """A line of another length does not say where its keys are: it goes with the first erasure."""
        table = _read(content)
        width = len(self.workload.source.columns)
        gone = []
        for (raw,) in zip(*_lists(table, ("raw",)), strict=True):
            fields = None if raw is None else _fields(self.workload, raw)
            gone.append(fields is not None and (len(fields) != width or self._is_about(fields)))
        return _kept(table, content, gone)

    def _lines(self, content: bytes) -> tuple[bytes, int]:
        kept, removed = [], 0
        for line in content.splitlines(keepends=True):
            if self._is_about(_fields(self.workload, line.decode("utf-8", "replace"))):
                removed += 1
            else:
                kept.append(line)
        return (b"".join(kept), removed) if removed else (content, 0)

    def _is_about(self, fields: Sequence[str]) -> bool:
        key = key_in(self.workload, fields)
        if key is None or not self.buries.buries(key):
            return False
        self.keys.add(key)
        return True


def key_in(workload: Workload, fields: Sequence[str]) -> Key | None:
    """Key of a raw line's fields; None when they hold none."""
    columns = {column.name: (place, column) for place, column in enumerate(workload.source.columns)}
    found: list[int | str] = []
    for entity in workload.entities:
        place, column = columns[entity.column]
        value = _value(fields[place], column) if place < len(fields) else None
        if value is None:
            return None
        found.append(value)
    return tuple(found)


def _value(text: str, column: Column) -> int | str | None:
    if column.type == "string":
        return text or None
    try:
        number = float(text)
        return int(text) if text.lstrip("+-").isdecimal() else int(number) if number == int(number) else None
    except (ValueError, OverflowError):
        return None


def _fields(workload: Workload, line: str) -> list[str]:
    """A line's fields, split as ingestion does."""
    if workload.source.format == "blanks":
        return line.split()
    return [each.strip() for each in line.split(",")]


def _read(content: bytes) -> "pa.Table":
    import pyarrow.parquet as pq  # noqa: PLC0415  one second that --help does not need

    return pq.ParquetFile(io.BytesIO(content)).read()


def _lists(table: "pa.Table", names: Collection[str]) -> list[list[object]]:
    """Columns as lists of Python values."""
    return [table.column(name).to_pylist() for name in names]


def _kept(table: "pa.Table", content: bytes, gone: list[bool]) -> tuple[bytes, int]:
    """A table without some of its rows, as Parquet."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    removed = sum(gone)
    if not removed:
        return content, 0
    buffer = io.BytesIO()
    pq.write_table(table.filter(pa.array([not each for each in gone])), buffer)
    return buffer.getvalue(), removed
