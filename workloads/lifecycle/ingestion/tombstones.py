"""Tombstones of erased entities: salted hashes of their keys, which keep rows of the raw data out of every later run.

A tombstone holds no key. It is a pseudonym: a reader of the store, where the salt lies too, can try keys against it,
and nobody else can. The audit log gets the hash without the salt. Each salt is an object named by its own hash, so that
two erasures at once cannot overwrite each other's salt.
"""

import hashlib
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict

from workloads.lifecycle.base.store import Store
from workloads.lifecycle.schema import Key
from workloads.lifecycle.workload import Workload

if TYPE_CHECKING:
    from pyspark.sql import Column as SparkColumn

PREFIX = "erased"
_SALTS, _KEYS = f"{PREFIX}/salts", f"{PREFIX}/keys"
_CLEANED = f"{PREFIX}/cleaned.json"
_SEPARATOR = "\x1f"
"""Stands between salt and values; ingestion refuses control characters in strings, so no two keys give one text."""

_SALT_BYTES = 32
_ID_DIGITS = 16


class Tombstone(BaseModel):
    """The content of `erased/keys/<salt's id>-<hash>.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    at: datetime
    """When the erasure was asked for, UTC."""

    done: datetime | None = None
    """When every place was clean; None while an erasure runs, or after one that was killed."""

    requests: tuple[tuple[str, int], ...] = ()
    """Captured rows about the entity, as request id and row, until the erasure is done; then empty."""


class _Salt(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    salt: str


@dataclass(frozen=True)
class Tombstones:
    """Every tombstone of a workload."""

    salts: dict[str, str]
    """Salt by its id; one, unless two first erasures ran at once."""

    names: frozenset[str]
    """`<salt's id>-<hash>` of each erased entity."""

    @classmethod
    def read(cls, store: Store) -> Self:
        """The tombstones as they are now; raises WorkloadError when the store is away."""
        salts = {}
        for name in store.names(_SALTS):
            found = store.read_model(f"{_SALTS}/{name}", _Salt)
            if found is not None:
                salts[name.removesuffix(".json")] = found.salt
        return cls(salts, frozenset(name.removesuffix(".json") for name in store.names(_KEYS)))

    def __bool__(self) -> bool:
        """Whether anything was erased."""
        return bool(self.names)

    def names_of(self, key: Sequence[object]) -> list[str]:
        """What a tombstone of the key would be called, one name a salt."""
        return [f"{each}-{digest(salt, key)}" for each, salt in sorted(self.salts.items())]

    def buries(self, key: Sequence[object]) -> bool:
        """Whether the entity was erased; a key with a missing value is no entity's."""
        return None not in key and not self.names.isdisjoint(self.names_of(key))

    def spark_column(self, workload: Workload) -> "SparkColumn":
        """Whether a row of the checked raw columns is about an erased entity; false where a key is missing."""
        from pyspark.sql import functions as F  # noqa: N812, PLC0415  on the driver

        columns = [F.col(entity.column) for entity in workload.entities]
        erased = F.lit(False)
        for each, salt in self.salts.items():
            hashes = [name.partition("-")[2] for name in self.names if name.startswith(f"{each}-")]
            text = F.concat_ws(_SEPARATOR, F.lit(salt), *(column.cast("string") for column in columns))
            erased = erased | F.sha2(text, 256).isin(hashes)
        for column in columns:
            erased = erased & column.isNotNull()
        return erased


def digest(salt: str, key: Sequence[object]) -> str:
    """Salted SHA-256 of a key's values; the same in Spark."""
    return hashlib.sha256(_SEPARATOR.join([salt, *map(str, key)]).encode()).hexdigest()


def with_key(store: Store, key: Key) -> tuple[str, Tombstones]:
    """Name of the key's tombstone, and all tombstones with it as the only name; writes nothing.

    Without any salt yet, one is made, which `write` keeps.
    """
    found = Tombstones.read(store)
    salts = found.salts or _new_salt()
    alone = Tombstones(salts, frozenset())
    names = alone.names_of(key)
    name = next((each for each in names if each in found.names), names[0])
    return name, Tombstones(salts, frozenset({name}))


def _new_salt() -> dict[str, str]:
    salt = secrets.token_hex(_SALT_BYTES)
    return {hashlib.sha256(salt.encode()).hexdigest()[:_ID_DIGITS]: salt}


def read(store: Store, name: str) -> Tombstone | None:
    """One tombstone; None when the entity was never erased."""
    return store.read_model(f"{_KEYS}/{name}.json", Tombstone)


def write(store: Store, name: str, tombstone: Tombstone, salts: dict[str, str]) -> None:
    """Keep a tombstone, and its salt before it."""
    identifier = name.partition("-")[0]
    if store.read(f"{_SALTS}/{identifier}.json") is None:
        store.write_json(f"{_SALTS}/{identifier}.json", {"salt": salts[identifier]})
    store.write_json(f"{_KEYS}/{name}.json", tombstone.model_dump(mode="json"))


def unfinished(store: Store) -> dict[str, Tombstone]:
    """Tombstones of erasures that were not finished, by name."""
    names = (name.removesuffix(".json") for name in store.names(_KEYS))
    found = {name: read(store, name) for name in names}
    return {name: each for name, each in found.items() if each is not None and each.done is None}


def mark_cleaned(store: Store) -> None:
    """Note that stored rows changed, so that local copies of older rows are not used any more."""
    store.write_json(_CLEANED, {"at": datetime.now(UTC).isoformat(), "id": secrets.token_hex(8)})


def cleaned_mark(store: Store) -> str:
    """Text that changes with each `mark_cleaned`; empty before the first."""
    return (store.read(_CLEANED) or b"").decode()


def buried(tombstones: Tombstones, columns: Iterable[Sequence[Any]]) -> list[bool]:
    """For each row of key columns, whether its entity was erased."""
    known: dict[tuple[Any, ...], bool] = {}
    found = []
    for key in zip(*columns, strict=True):
        if key not in known:
            known[key] = tombstones.buries(key)
        found.append(known[key])
    return found
