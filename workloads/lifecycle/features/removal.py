"""Removes entities from the online store, which Feast itself cannot: it deletes whole views and projects only.

Leaves out the offline rows: `pipelines.erasure`.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any

from workloads.lifecycle.base.environment import Environment
from workloads.lifecycle.base.errors import WorkloadError
from workloads.lifecycle.features.publication import feature_store
from workloads.lifecycle.schema import Key, View

if TYPE_CHECKING:
    from feast import FeatureStore
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey

_SQLITE = "sqlite:///"


def remove_online(environment: Environment, keys: Iterable[Key], kept: Iterable[Key]) -> int:
    """Remove the rows of entities from the online store; returns how many there were.

    A view may be keyed by a part of the keys: its row goes when no entity of `kept`, those that stay, shares it. Raises
    WorkloadError when the store does not answer.
    """
    workload = environment.definition
    store = feature_store(environment)
    gone, stay = list(keys), list(kept)
    removed = 0
    for view in workload.views:
        places = [workload.keys.index(name) for name in workload.keys_of(view)]
        shared = {tuple(key[place] for place in places) for key in stay}
        parts = {tuple(key[place] for place in places) for key in gone} - shared
        removed += _removed(environment, store, view, list(_serialized(workload.keys_of(view), parts)))
    return removed


def _serialized(names: tuple[str, ...], parts: Iterable[Key]) -> Iterator["EntityKey"]:
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey  # noqa: PLC0415  imports Feast
    from feast.protos.feast.types.Value_pb2 import Value  # noqa: PLC0415

    for part in parts:
        values = [Value(string_val=each) if isinstance(each, str) else Value(int64_val=each) for each in part]
        yield EntityKey(join_keys=list(names), entity_values=values)


def _removed(environment: Environment, store: "FeatureStore", view: View, keys: list["EntityKey"]) -> int:
    """Remove one view's rows; counts them by entity."""
    from feast.infra.key_encoding_utils import serialize_entity_key  # noqa: PLC0415

    version = store.config.entity_key_serialization_version
    texts = [serialize_entity_key(key, entity_key_serialization_version=version) for key in keys]
    online = environment.need("feast_online_store")
    if online.startswith(_SQLITE):
        return _from_sqlite(online.removeprefix(_SQLITE), f"{store.project}_{view.name}", texts)
    return _from_redis(store, [text + store.project.encode() for text in texts])


def _from_sqlite(path: str, table: str, texts: list[bytes]) -> int:
    with closing(sqlite3.connect(path)) as connection, connection:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchall():
            return 0
        removed = 0
        for text in texts:
            found = connection.execute(f'DELETE FROM "{table}" WHERE entity_key = ?', (text,))  # noqa: S608  a view's
            removed += bool(found.rowcount)
        return removed


def _from_redis(store: "FeatureStore", names: list[bytes]) -> int:
    """Feast's keys are the entity and the project; the views of the same entities share one."""
    import redis  # noqa: PLC0415  Feast has imported it

    online: Any = store._get_provider().online_store  # noqa: SLF001  Feast offers no other
    try:
        client = online._get_client(store.config.online_store)  # noqa: SLF001  likewise
        return sum(int(client.delete(name)) for name in names)
    except redis.RedisError as error:
        raise WorkloadError(
            f"the online store took no deletion ({error}): once it answers, erase again, which completes the rest"
        ) from error
