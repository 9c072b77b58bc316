"""`python -m workloads.lifecycle.pipelines.erasure`: erases one entity, by its key, from everything that keeps rows.

First a tombstone, so that neither a run of ingestion nor a killed erasure brings the entity back; then the online
store, the artifact store with older versions of its objects, local copies, and files of MLflow runs. Every step may be
repeated: the same command, or the nightly run, completes what was killed. Leaves out what a model has learnt, the raw
data where it comes from, and backups, which expire (docs/how-to/erase-an-entity.md).
"""

import argparse
import json
import shutil
import tempfile
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from workloads.lifecycle.base.command import quiet_libraries
from workloads.lifecycle.base.environment import Environment, load
from workloads.lifecycle.base.errors import DataError, WorkloadError, run_command
from workloads.lifecycle.base.mlflow_api import library, mlflow_client
from workloads.lifecycle.base.object_versions import ObjectVersions
from workloads.lifecycle.base.servers import wait_for_mlflow, wait_for_online_store
from workloads.lifecycle.base.store import Store
from workloads.lifecycle.features.removal import remove_online
from workloads.lifecycle.ingestion import tombstones
from workloads.lifecycle.ingestion.ingest import CURRENT, RECORDS, Ingested, published
from workloads.lifecycle.ingestion.tombstones import Tombstone, Tombstones
from workloads.lifecycle.pipelines.stored_rows import PARQUET, Erased, Linked, Place, places
from workloads.lifecycle.registry.audit import Journal
from workloads.lifecycle.registry.audit_entry import Action
from workloads.lifecycle.schema import Entity, Key
from workloads.lifecycle.serving import batch
from workloads.lifecycle.workload import Workload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_PASSES = 5
"""Times that the store is gone through; an erasure beside others, or beside a stage that writes, may need a second."""

_LARGEST = 2**63 - 1
_LONGEST = 256
_OVERLAP = timedelta(days=2)
"""How far back the nightly run looks for rows of erased entities that were written after their erasure."""

TIES = "onnx_ties.txt"
ONLINE, OLDER, COPIES, RUNS = "online rows", "older versions of objects", "local copies", "files of MLflow runs"


class ErasureReport(BaseModel):
    """What an erasure removed."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    entity: str
    """Salted hash of the key, as the audit log names it."""

    removed: dict[str, int]
    """Rows, objects or files by what they are; empty when an erasure is repeated and nothing came since."""

    erased_before: datetime | None = None
    """When the entity was erased already; None the first time, and for one that was killed."""

    def __str__(self) -> str:
        """One sentence."""
        counts = ", ".join(f"{count} {what}" for what, count in self.removed.items())
        if self.erased_before is None:
            return f"erased: {counts}"
        when = f"{self.erased_before:%Y-%m-%d %H:%M} UTC"
        return f"erased on {when}; since then removed: {counts}" if counts else f"erased on {when}; nothing is left"


def parse_key(workload: Workload, text: str) -> Key:
    """The key that a person writes: its values between commas, or as a JSON list; raises DataError."""
    form = ",".join(workload.keys)
    if text.lstrip().startswith("["):
        try:
            values = [str(value) for value in json.loads(text)]
        except (ValueError, TypeError) as error:
            raise DataError(f"KEY={text[:_LONGEST]!r} is no JSON list: write the values of {form}") from error
    else:
        values = [value.strip() for value in text.split(",")]
    if len(values) != len(workload.entities) or not all(values):
        raise DataError(
            f"KEY={text[:_LONGEST]!r} has {len([value for value in values if value])} values, {workload.name} has the "
            f"keys {form}: give {len(workload.entities)}, between commas or as a JSON list; nothing was erased"
        )
    return tuple(_value(entity, value) for entity, value in zip(workload.entities, values, strict=True))


def _value(entity: Entity, text: str) -> int | str:
    if entity.type == "string":
        if len(text) > _LONGEST or not text.isprintable():
            raise DataError(
                f"{entity.key} {text[:_LONGEST]!r} must be 1 to {_LONGEST} printable characters; nothing was erased"
            )
        return text
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal()) or abs(int(text)) > _LARGEST:
        raise DataError(
            f"{entity.key} {text[:_LONGEST]!r} must be a whole number of at most 64 bits; nothing was erased"
        )
    return int(text)


def erase(environment: Environment, key: Key) -> ErasureReport:
    """Erase one entity from everything that keeps rows, and keep its tombstone.

    Raises DataError, and changes nothing, for an entity that nothing knows; WorkloadError when a server is away: what
    was removed stays removed, and the same command completes it.
    """
    store = Store.open(environment)
    name, buried = tombstones.with_key(store, key)
    before = tombstones.read(store, name)
    erasing = _Erasing(environment, store, buried)
    found = erasing.survey()
    if before is None and not found:
        keys = ", ".join(environment.definition.keys)
        raise DataError(
            f"no row about {keys} {'/'.join(map(str, key))} is in {store.uri} or its older versions: correct the key; "
            "nothing was erased"
        )
    is_repeated = before is not None and before.done is not None
    if not is_repeated or found:
        requests = {*erasing.requests, *(before.requests if before else ())}
        started = before.at if before else datetime.now(UTC)
        pending = Tombstone(at=started, requests=tuple(sorted(requests)))
        tombstones.write(store, name, pending, buried.salts)
    removed = erasing.run([key], before.requests if before else ())
    if not is_repeated or removed:
        done = Tombstone(at=before.at if before else datetime.now(UTC), done=datetime.now(UTC))
        tombstones.write(store, name, done, buried.salts)
    return ErasureReport(
        entity=name, removed=removed, erased_before=before.done if is_repeated and before is not None else None
    )


def sweep(environment: Environment, now: datetime | None = None) -> dict[str, int]:
    """Complete erasures that were killed, and remove rows of erased entities that were written after their erasure.

    The nightly run's part: a request that the model server had not stored yet, or a stage that had read older rows.
    Returns what was removed.
    """
    store = Store.open(environment)
    buried = Tombstones.read(store)
    if not buried:
        return {}
    pending = tombstones.unfinished(store)
    since = None if pending else (now or datetime.now(UTC)) - _OVERLAP
    erasing = _Erasing(environment, store, buried, since=since, is_deep=bool(pending))
    erasing.survey()
    removed = erasing.run((), [each for tombstone in pending.values() for each in tombstone.requests])
    for name, tombstone in pending.items():
        tombstones.write(store, name, Tombstone(at=tombstone.at, done=datetime.now(UTC)), buried.salts)
        Journal(environment).record(Action.ERASE, f"entity {name}", "done", "completed by the nightly run")
    return removed


class _Erasing:
    """One way through everything that keeps rows."""

    def __init__(
        self,
        environment: Environment,
        store: Store,
        buried: Tombstones,
        *,
        since: datetime | None = None,
        is_deep: bool = True,
    ) -> None:
        """`since`: only objects written from then on; `is_deep`: also older versions, local copies and MLflow's."""
        self._environment = environment
        self._workload = environment.definition
        self._store = store
        self._since = since
        self._is_deep = is_deep
        self._versions = ObjectVersions(environment)
        self._places = places(self._workload)
        self._erased = Erased(self._workload, buried)

    @property
    def requests(self) -> frozenset[tuple[str, int]]:
        """Captured rows about the entities."""
        return self._erased.requests

    def survey(self) -> int:
        """Count what will be removed of the store, older versions included; changes nothing."""
        linked = Linked(self._erased)
        while linked.look(self._captured()):
            pass
        self._erased = linked.erased
        rows = sum(removed for _, _, _, removed in self._changes())
        return rows + (sum(1 for _ in self._older()) if self._is_deep else 0)

    def _captured(self) -> "Iterable[tuple[Place, bytes]]":
        """Captured requests and outcomes."""
        for place in self._places:
            for path in self._store.paths(place.prefix, self._since) if place.is_request else ():
                if path.endswith(PARQUET) and (content := self._store.read(path)) is not None:
                    yield place, content

    def run(self, keys: "Iterable[Key]", requests: "Iterable[tuple[str, int]]") -> dict[str, int]:
        """Remove everything; returns how much, by what it is."""
        requests = self._erased.requests | frozenset((str(request), row) for request, row in requests)
        self._erased = replace(self._erased, requests=requests, keys={*self._erased.keys, *keys})
        removed: Counter[str] = Counter()
        removed[ONLINE] += self._online()
        for _ in range(_PASSES):
            found = self._clean()
            removed += found
            if not found:
                break
            # Of erasures at once, each also removes what the others' tombstones name: no writer brings rows back.
            self._erased = replace(self._erased, buries=Tombstones.read(self._store))
        self._correct_records()
        removed[ONLINE] += self._online()  # again: a stage that had read older rows may have written them
        if self._is_deep:
            removed[OLDER] += self._delete_older()
            removed[COPIES] += _remove_copies(self._environment)
            removed[RUNS] += _rewrite_ties(self._environment, self._erased.buries)
        return {what: count for what, count in removed.items() if count}

    def _online(self) -> int:
        """Before the offline rows go, which say who shares a view's row."""
        if not self._erased.keys:
            return 0
        wait_for_online_store(self._environment)
        return remove_online(self._environment, self._erased.keys, self._kept_keys())

    def _kept_keys(self) -> set[Key]:
        """Keys of the published features' entities that stay; none where each view has all keys of the workload."""
        workload, serving = self._workload, published(self._store)
        if serving is None or all(len(workload.keys_of(view)) == len(workload.keys) for view in workload.views):
            return set()
        rows = self._keys_of(serving) or []
        return {key for key in rows if not self._erased.buries.buries(key)}

    def _changes(self) -> "Iterable[tuple[Place, str, bytes, int]]":
        """Objects that change, with their new content and the rows that go."""
        for place in self._places:
            for path in self._store.paths(place.prefix, self._since):
                content = self._store.read(path)
                if content is None:  # a stage removed it meanwhile
                    continue
                kept, removed = self._erased.without(place, path, content)
                if removed:
                    yield place, path, kept, removed

    def _clean(self) -> "Counter[str]":
        removed: Counter[str] = Counter()
        for place, path, kept, rows in self._changes():
            self._store.write(path, kept)
            removed[place.title] += rows
        if removed:
            tombstones.mark_cleaned(self._store)
            self._forget_unfinished_batches()
        return removed

    def _correct_records(self) -> None:
        """Rows and entities of each run as they are now: a repair compares the online store with them."""
        for run in self._store.names(RECORDS):
            found = self._store.read_model(f"{RECORDS}/{run}/run.json", Ingested)
            rows = None if found is None else self._keys_of(found)
            if found is None or rows is None:
                continue
            entities = None if found.entities is None else len(set(rows))
            corrected = found.model_copy(update={"rows": len(rows), "entities": entities})
            if corrected == found:
                continue
            self._store.write_json(f"{RECORDS}/{run}/run.json", corrected.model_dump(mode="json"))
            serving = published(self._store)
            if serving is not None and serving.run == found.run:
                self._store.write_json(CURRENT, corrected.model_dump(mode="json"))

    def _keys_of(self, run: Ingested) -> list[Key] | None:
        """Key of each row of a run; None when its rows are gone."""
        import pyarrow.dataset as ds  # noqa: PLC0415  one second that --help does not need

        if not self._store.names(run.features_prefix):
            return None
        path, files = self._store.dataset(run.features_prefix)
        table = ds.dataset(path, filesystem=files, format="parquet").to_table(columns=list(self._workload.keys))
        return list(zip(*(table.column(name).to_pylist() for name in self._workload.keys), strict=True))

    def _forget_unfinished_batches(self) -> None:
        """Parts that a killed scoring left begin at other rows than a resumed one's, now that rows are gone."""
        done = self._store.read_model(batch.CURRENT, batch.Batch)
        for run in self._store.names("batch"):
            if not run.endswith(".json") and (done is None or not done.prefix.startswith(f"batch/{run}/")):
                self._store.remove_tree(f"batch/{run}")

    def _older(self) -> "Iterable[tuple[object, Callable[[], None]]]":
        """Older versions of objects that hold rows of the entities, each with what deletes it."""
        for place in self._places:
            for version in self._versions.older(place.prefix):
                content = self._versions.read(version)
                if self._erased.without(place, version.path, content)[1]:
                    yield version, lambda version=version: self._versions.delete(version)  # type: ignore[misc]

    def _delete_older(self) -> int:
        deleted = 0
        for _, delete in list(self._older()):
            delete()
            deleted += 1
        return deleted


def _remove_copies(environment: Environment) -> int:
    """Local copies of features below this process's folder and, on a local stack, those of the others."""
    folders = {environment.work / "features"}
    if environment.work_dirs is not None:
        folders |= set(environment.work_dirs.glob("*/features")) | set(environment.work_dirs.glob("*/*/features"))
    removed = 0
    for folder in sorted(folders):
        for copy in folder.glob("2*"):
            shutil.rmtree(copy, ignore_errors=True)
            removed += 1
    return removed


def _rewrite_ties(environment: Environment, buried: Tombstones) -> int:
    """Files of MLflow runs that list keys of held-out rows; returns how many changed."""
    if not environment.mlflow_tracking_uri:
        return 0
    wait_for_mlflow(environment)
    mlflow, client = library(environment), mlflow_client(environment)
    experiment = client.get_experiment_by_name(environment.definition.experiment)
    if experiment is None:
        return 0
    runs = mlflow.search_runs(
        [experiment.experiment_id], filter_string="metrics.onnx_ties > 0", output_format="list", max_results=10_000
    )
    changed = 0
    for run in runs:
        with tempfile.TemporaryDirectory(dir=environment.work) as folder:
            try:
                file = Path(client.download_artifacts(run.info.run_id, TIES, folder))
            except (mlflow.MlflowException, OSError) as error:
                raise WorkloadError(
                    f"run {run.info.run_id} of MLflow does not give {TIES} ({error}); erase again once it does"
                ) from error
            lines = file.read_text().splitlines()
            kept = [line for line in lines if not _ties_are_about(environment.definition, buried, line)]
            if len(kept) < len(lines):
                client.log_text(run.info.run_id, "".join(f"{line}\n" for line in kept), TIES)
                changed += 1
    return changed


def _ties_are_about(workload: Workload, buried: Tombstones, line: str) -> bool:
    values = line.split("/")
    return len(values) == len(workload.keys) and buried.buries(values)


def main() -> None:
    """Command: erase one entity and print what was removed."""
    parser = argparse.ArgumentParser(prog="python -m workloads.lifecycle.pipelines.erasure", description=__doc__)
    parser.add_argument("--key", default="", help="values of the workload's keys, between commas or as a JSON list")
    parser.add_argument("--customer", default="", help="the key, where the workload's one entity is a customer")
    given = parser.parse_args()
    quiet_libraries()
    environment = load()
    workload = environment.definition
    if given.customer and [entity.name for entity in workload.entities] != ["customer"]:
        raise DataError(f"{workload.name} is about no customer: name {','.join(workload.keys)} by KEY=…")
    if bool(given.key) == bool(given.customer):
        raise DataError(f"say who is erased, once: KEY=… with the values of {','.join(workload.keys)}")
    journal = Journal(environment)
    report = erase(environment, parse_key(workload, given.key or given.customer))
    journal.record(Action.ERASE, f"entity {report.entity}", "done", str(report))
    print(report.model_dump_json(indent=1))
    print(report)


if __name__ == "__main__":
    run_command(main)
