"""Stage 6, offline: score the newest row of every entity with the champion, in parts that can be resumed.

Parts are objects `batch/<run>/version=<n>/rows=<size>/part-<i>.parquet`; a part that exists is not scored again, and
`batch/current.json` names the result once all are there.
"""

import argparse
import io
import math
import tempfile
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from workloads.lifecycle.base.command import quiet_libraries
from workloads.lifecycle.base.environment import Environment, load
from workloads.lifecycle.base.errors import WorkloadError, run_command
from workloads.lifecycle.base.identifiers import ingestion_run, model_version
from workloads.lifecycle.base.mlflow_api import mlflow_client
from workloads.lifecycle.base.servers import wait_for_mlflow
from workloads.lifecycle.base.settings import BatchSettings
from workloads.lifecycle.base.store import Store
from workloads.lifecycle.features.publication import newest, pull, read_offline
from workloads.lifecycle.registry.versions import CHAMPION, alias_version, approved, recorded
from workloads.lifecycle.training.bundle import BUNDLE_FOLDER, Scorer

CURRENT = "batch/current.json"


class Batch(BaseModel):
    """What a batch scoring left; the content of `batch/current.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    prefix: str
    """Folder of the parts below the workload's root."""

    version: str
    """Version of the model that scored."""

    run: str
    """Ingestion run of the features."""

    rows: int
    """Rows scored: one for each entity."""

    parts: int
    """Number of Parquet files."""

    resumed: int
    """Parts that an earlier, unfinished run had written already."""


def score(environment: Environment) -> Batch:
    """Score the current features with the champion; raises WorkloadError when there is none, or it is not approved."""
    wait_for_mlflow(environment)
    client = mlflow_client(environment)
    version = alias_version(environment, client, CHAMPION)
    if version is None:
        raise WorkloadError(
            "there is no champion to score with; run `python -m workloads.lifecycle.retraining.release` first"
        )
    ingested = pull(environment)
    with tempfile.TemporaryDirectory(dir=environment.work) as scratch:
        found = recorded(environment, client, version, Path(scratch))
        approved(environment, client, found)
        scorer = Scorer.load(Path(scratch) / BUNDLE_FOLDER, found.bundle_sha256, environment.definition)
    store = Store.open(environment)
    settings = environment.settings.batch
    prefix = prefix_of(ingested.run, version, settings)
    batch = score_parts(environment, store, scorer, prefix)
    done = Batch(version=version, run=ingested.run, prefix=prefix, **batch)
    store.write_json(CURRENT, done.model_dump(mode="json"))
    forget(store, settings.kept_runs)
    return done


def prefix_of(run: str, version: str, settings: BatchSettings) -> str:
    """Folder of a result; parts of another size would not fit beside one another."""
    return f"batch/{ingestion_run(run)}/version={model_version(version)}/rows={settings.part_rows}"


def score_parts(environment: Environment, store: Store, scorer: Scorer, prefix: str) -> dict[str, int]:
    """Write the parts that are not there yet; returns how many rows and parts there are and how many were found."""
    import numpy as np  # noqa: PLC0415
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    frame = newest(environment.definition, read_offline(environment))
    size = environment.settings.batch.part_rows
    parts = math.ceil(len(frame) / size)
    there = set(store.names(prefix))
    for part in range(parts):
        name = f"part-{part:05d}.parquet"
        if name in there:
            continue
        rows = frame.iloc[part * size : (part + 1) * size]
        scores = scorer.score(scorer.inputs(rows))
        keys = {key: rows[key].to_numpy() for key in environment.definition.keys}
        buffer = io.BytesIO()
        pq.write_table(pa.table(keys | {"score": scores.astype(np.float64)}), buffer)
        store.write(f"{prefix}/{name}", buffer.getvalue())
    return {"rows": len(frame), "parts": parts, "resumed": len(there & {f"part-{i:05d}.parquet" for i in range(parts)})}


def forget(store: Store, kept: int) -> None:
    """Delete the results of all but the newest ingestion runs."""
    runs = [name for name in store.names("batch") if name != Path(CURRENT).name]
    for run in runs[:-kept]:
        store.remove_tree(f"batch/{run}")


def main() -> None:
    """Command: score every entity and print where the result is."""
    argparse.ArgumentParser(prog="python -m workloads.lifecycle.serving.batch", description=__doc__).parse_args()
    quiet_libraries()
    print(score(load()).model_dump_json(indent=1))


if __name__ == "__main__":
    run_command(main)
