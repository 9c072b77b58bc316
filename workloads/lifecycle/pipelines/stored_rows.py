"""Where the artifact store keeps rows about entities, and what each place is without those of erased ones.

Rows are found by their keys, by the tombstones' hashes. Captured requests that sent vectors are found by the outcome
that names their entity; a vector that nothing names is about nobody that could be told.
"""

import io
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from workloads.lifecycle.base.names import CAPTURES, CLIENT_ID, SHADOWED
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
"""A row of a request: the request's id, and the row's place in it."""


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
    """Rows about erased entities, by the server's ids, and by those of their outcomes."""

    clients: frozenset[Request] = frozenset()
    """The same by ids of clients that name one captured request only."""

    keys: set[Key] = field(default_factory=set)
    """Gets the keys of rows that are found, so that the online store's can go by them."""

    def without(self, place: Place, path: str, content: bytes) -> tuple[bytes, int]:
        """An object's content without the rows that go, and how many those are; 0 leaves the content as it was."""
        if place.keys:
            return self._parquet(place, content) if path.endswith(PARQUET) else (content, 0)
        return self._quarantine(content) if path.endswith(PARQUET) else self._lines(content)

    def rows(self, place: Place, content: bytes) -> Iterator[tuple[bool, Request, Request | None]]:
        """Each row of a capture or an outcome: whether it goes, the id of its request, and the client's in a capture.

        A row goes by its own key, by the entity that its outcome names, or because its request is among those known.
        """
        table = _read(content)
        columns = _lists(table, place.keys)
        gone = self._gone(table, columns, tombstones.buried(self.buries, columns))
        yield from zip(gone, *_ids(table), strict=True)

    def _gone(self, table: "pa.Table", columns: list[list[object]], buried: list[bool]) -> list[bool]:
        """Which rows of requests go. One that names another entity stays, whatever request its id names."""
        if not (self.requests or self.clients):
            return buried
        keys = zip(*columns, strict=True)
        return [
            is_buried or (None in key and (request in self.requests or client in self.clients))
            for is_buried, key, request, client in zip(buried, keys, *_ids(table), strict=True)
        ]

    def _parquet(self, place: Place, content: bytes) -> tuple[bytes, int]:
        table = _read(content)
        columns = _lists(table, place.keys)
        buried = tombstones.buried(self.buries, columns)
        self.keys.update(key for key, is_buried in zip(zip(*columns, strict=True), buried, strict=True) if is_buried)
        return _kept(table, content, self._gone(table, columns, buried) if place.is_request else buried)

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


class Linked:
    """Finds the captured rows about erased entities by the ids that captures and outcomes share, pass by pass.

    An outcome may name its request by the server's id or by the client's, so that one pass finds ids for the next. The
    id of a client that gave it to several requests names none of them: their rows stay.
    """

    def __init__(self, erased: Erased) -> None:
        self.erased = erased
        self._shown: set[Request] = set()  # ids of clients, looked up in the pass under way
        self._checked: set[Request] = set()

    def look(self, contents: Iterable[tuple[Place, bytes]]) -> bool:
        """Go through every capture and outcome once; returns whether another pass can find more."""
        requests, clients = set(self.erased.requests), set[Request]()
        owners: dict[Request, set[str]] = {each: set() for each in self._shown}
        for place, content in contents:
            for is_gone, request, client in self.erased.rows(place, content):
                if client in owners:
                    owners[client].add(request[0])
                if is_gone:
                    requests.add(request)
                    clients.add(client or request)
        named = {client for client, requests_of in owners.items() if len(requests_of) == 1}
        self._checked |= self._shown
        before = self.erased
        self._shown = clients - self._checked
        self.erased = replace(before, requests=frozenset(requests | named), clients=before.clients | frozenset(named))
        return bool(self._shown) or self.erased != before


def _ids(table: "pa.Table") -> tuple[list[Request], list[Request | None]]:
    """The id of each row's request, and the client's own, which rows of outcomes and older captures lack."""
    requests, rows = _lists(table, ("request_id", "row"))
    clients = _lists(table, (CLIENT_ID,))[0] if CLIENT_ID in table.column_names else [None] * len(rows)
    places = [int(str(row)) for row in rows]
    return (
        [(str(request), place) for request, place in zip(requests, places, strict=True)],
        [None if client is None else (str(client), place) for client, place in zip(clients, places, strict=True)],
    )


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
