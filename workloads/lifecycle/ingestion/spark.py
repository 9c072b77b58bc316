"""Spark where the settings say: in this process, or with executors as pods of a cluster; and how rows get in and out.

On a cluster there is no folder that driver and executors share: executors read ranges of the raw file from the artifact
store, and write Parquet to it, with the same pyarrow client as every other stage. So the image needs no Hadoop client
for S3, and both sides have the store's identity. Source: https://spark.apache.org/docs/latest/running-on-kubernetes.html
"""

import io
import itertools
import json
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from workloads.lifecycle.base.errors import WorkloadError
from workloads.lifecycle.base.ingestion_settings import IngestionSettings, SparkOnKubernetes
from workloads.lifecycle.base.store import Store

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

DRIVER_PORT, BLOCKS_PORT = 7078, 7079
"""Ports of the driver on a cluster, fixed so that a network policy can name them."""

RANGE_BYTES = 32 * 1024 * 1024
"""Part of the raw file that one task reads."""

STORE_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_REGION")
STORE_CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
_FAST_START = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xshare:auto"
_BATCH_LINES = 10_000
_LINES = "block bigint, place bigint, value string"
_USER = 65532
"""User of the images; nothing runs as root."""


@dataclass(frozen=True)
class Driver:
    """This process, as its executors know it."""

    host: str
    """Address of the pod."""

    pod: str
    """Name of the pod: it owns the executors, which end with it."""

    @classmethod
    def here(cls) -> "Driver":
        """The pod that this runs in: its host name is the pod's, and resolves to the pod's address.

        Raises: WorkloadError when it does not, because this is no pod.
        """
        name = socket.gethostname()
        try:
            return cls(socket.gethostbyname(name), name)
        except OSError as error:
            raise WorkloadError(
                f"the host name {name} has no address ({error.strerror}): a driver with executors on Kubernetes runs "
                "in a pod of the cluster; elsewhere set ingestion.spark_master to local[*]"
            ) from error


def start(name: str, settings: IngestionSettings, work: Path) -> "SparkSession":
    """Spark of the workload `name` with exactly these options; raises WorkloadError when it cannot start."""
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("SPARK_LAUNCHER_OPTS", _FAST_START)  # of the JVM that writes the driver's command line
    from pyspark.sql import SparkSession  # noqa: PLC0415  half a second that --help does not need

    if settings.spark_kubernetes is None:
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
        chosen = options_here(settings, work)
    else:
        chosen = options_on_kubernetes(settings, settings.spark_kubernetes, work, Driver.here(), os.environ, name=name)
    builder = SparkSession.builder.master(settings.spark_master).appName(f"{name}-ingestion")
    for key, value in chosen.items():
        builder = builder.config(key, value)
    try:
        return builder.getOrCreate()
    except Exception as error:  # py4j raises what the JVM raised, with its whole trace as text
        raise WorkloadError(
            f"Spark does not start with ingestion.spark_master={settings.spark_master}: {_said(error)}"
        ) from error


def _said(error: Exception) -> str:
    """What the JVM said, or the error's first line."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return next((line.removeprefix(": ") for line in lines if line.startswith(": ")), lines[0])


def options_here(settings: IngestionSettings, work: Path) -> dict[str, str]:
    """Options of Spark on loopback, with a JVM tuned to start fast: this data fits one core's cache."""
    return _common(settings, work) | {
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.sql.shuffle.partitions": "1",
        "spark.sql.adaptive.enabled": "false",
        "spark.sql.codegen.wholeStage": "false",  # compiling costs more than 30,000 rows
    }


def options_on_kubernetes(
    settings: IngestionSettings,
    pods: SparkOnKubernetes,
    work: Path,
    driver: Driver,
    environ: Mapping[str, str],
    *,
    name: str,
) -> dict[str, str]:
    """Options of a workload's driver in a pod whose executors are pods; what they need of the store is in `environ`."""
    template = work / "executor.json"
    template.write_text(json.dumps(_pod_template(name)))
    executor = "spark.kubernetes.executor"
    credentials = {
        f"{executor}.secretKeyRef.{name}": f"{pods.store_secret}:{name}"
        for name in STORE_CREDENTIALS
        if pods.store_secret is not None
    }
    labels = {f"{executor}.label.{name}": value for name, value in pods.labels.items()}
    told = {f"spark.executorEnv.{name}": environ[name] for name in STORE_VARIABLES if environ.get(name)}
    return (
        _common(settings, work)
        | {
            "spark.driver.host": driver.host,
            "spark.driver.bindAddress": driver.host,
            "spark.driver.port": str(DRIVER_PORT),
            "spark.blockManager.port": str(BLOCKS_PORT),
            "spark.kubernetes.driver.pod.name": driver.pod,
            "spark.kubernetes.namespace": pods.namespace,
            "spark.kubernetes.container.image": pods.image,
            "spark.kubernetes.container.image.pullPolicy": "IfNotPresent",
            "spark.kubernetes.authenticate.executor.serviceAccountName": pods.service_account,
            f"{executor}.podTemplateFile": str(template),
            f"{executor}.limit.cores": str(pods.executor_cores),
            "spark.executor.instances": str(pods.executors),
            "spark.executor.cores": str(pods.executor_cores),
            "spark.executor.memory": f"{pods.executor_memory_mib}m",
            "spark.executor.memoryOverhead": f"{pods.executor_overhead_mib}m",
            "spark.sql.shuffle.partitions": "64",
            "spark.sql.adaptive.enabled": "true",
            "spark.sql.codegen.wholeStage": "true",
        }
        | told
        | labels
        | credentials
    )


def _common(settings: IngestionSettings, work: Path) -> dict[str, str]:
    return {
        "spark.driver.memory": f"{settings.spark_driver_memory_mib}m",
        "spark.driver.extraJavaOptions": f"{_FAST_START} {_quoted(f'-Djava.io.tmpdir={work}')}",
        "spark.local.dir": str(work / "spark"),
        "spark.sql.warehouse.dir": str(work / "spark" / "warehouse"),
        "spark.python.sql.dataFrameDebugging.enabled": "false",  # else each expression asks the JVM where it is written
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.caseSensitive": "true",  # a raw column may differ from a feature in case alone
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        "spark.sql.parquet.compression.codec": "snappy",
        "spark.log.level": "ERROR",
    }


def _quoted(option: str) -> str:
    """An option of the JVM as Spark reads it: in double quotes, in which a backslash escapes both."""
    escaped = option.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _pod_template(name: str) -> dict[str, Any]:
    """What Spark cannot be told by options: pods that a namespace with the restricted security standard admits."""
    container = {
        "name": "spark-executor",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108  a volume of the pod's own
    }
    pod = {
        "automountServiceAccountToken": False,
        "containers": [container],
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "fsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"labels": {"app": f"{name}-ingest"}}, "spec": pod}


class Files(Protocol):
    """How rows get from a file to Spark, and from Spark to the artifact store."""

    def lines(self, spark: "SparkSession", source: Path) -> "DataFrame":
        """Every line, with `block` and `place` by which it is ordered; both are 0 for the first."""
        ...

    def write(self, frame: "DataFrame", prefix: str) -> None:
        """Write a frame as Parquet files below a prefix that no reader knows yet."""
        ...

    def read(self, spark: "SparkSession", prefix: str, columns: list[str]) -> "DataFrame | None":
        """Columns of what `write` wrote below a prefix; None where a column is missing."""
        ...


def files_for(settings: IngestionSettings, store: Store, scratch: Path, run: str) -> Files:
    """The way that fits the executors: through this machine's folder, or through the store."""
    here = settings.spark_master == "local" or settings.spark_master.startswith("local[")
    return SharedFolder(store, scratch) if here else SharedStore(store, f"raw/{run}")


@dataclass(frozen=True)
class SharedFolder:
    """Executors are threads of this process: Spark reads and writes local files, which are then copied to the store."""

    store: Store

    scratch: Path

    def lines(self, spark: "SparkSession", source: Path) -> "DataFrame":
        """Spark's own text reader."""
        from pyspark.sql import functions as F  # noqa: N812, PLC0415

        block = F.col("_metadata.file_block_start").alias("block")
        return spark.read.text(source.as_uri()).select(block, F.monotonically_increasing_id().alias("place"), "value")

    def write(self, frame: "DataFrame", prefix: str) -> None:
        """Spark's own writer, then a copy."""
        folder = self.scratch / prefix
        frame.write.parquet(str(folder))
        for path in [*folder.rglob(".*.crc"), *folder.rglob("_SUCCESS")]:  # readers would trip over them
            path.unlink()
        self.store.upload_tree(folder, prefix)

    def read(self, spark: "SparkSession", prefix: str, columns: list[str]) -> "DataFrame | None":
        """A copy, then Spark's own reader."""
        folder = self.scratch / "before"
        self.store.download_tree(prefix, folder)
        frame = spark.read.parquet(folder.as_uri())
        return frame.select(*columns) if set(columns) <= set(frame.columns) else None


@dataclass(frozen=True)
class SharedStore:
    """Executors are elsewhere and share the artifact store with this process, and nothing else."""

    store: Store

    raw_prefix: str
    """Where the raw file is put for them."""

    def lines(self, spark: "SparkSession", source: Path) -> "DataFrame":
        """Each task reads the lines that begin in its range of bytes; `place` is a line's number in the range."""
        path = f"{self.raw_prefix}/{source.name}"
        self.store.upload_file(source, path)
        ranges = -(-source.stat().st_size // RANGE_BYTES)
        return spark.range(0, ranges, 1, ranges).mapInArrow(
            partial(_read_ranges, self.store, path, RANGE_BYTES), _LINES
        )

    def write(self, frame: "DataFrame", prefix: str) -> None:
        """Each task writes one file named by its partition: an attempt that is repeated replaces it."""
        frame.mapInArrow(partial(_write_part, self.store, prefix), "path string, rows bigint").collect()

    def read(self, spark: "SparkSession", prefix: str, columns: list[str]) -> "DataFrame | None":
        """Each task reads one file."""
        import pyarrow as pa  # noqa: PLC0415
        import pyarrow.parquet as pq  # noqa: PLC0415
        from pyspark.sql.pandas.types import from_arrow_schema  # noqa: PLC0415

        paths = self.store.paths(prefix)
        name, filesystem = self.store.dataset(paths[0])
        found = pq.read_schema(name, filesystem=filesystem)
        if not set(columns) <= set(found.names):
            return None
        schema = from_arrow_schema(pa.schema([found.field(column) for column in columns]))
        numbers = spark.range(0, len(paths), 1, len(paths))
        return numbers.mapInArrow(partial(_read_parts, self.store, paths, columns), schema)


def _read_ranges(store: Store, path: str, size: int, batches: Iterator["pa.RecordBatch"]) -> Iterator["pa.RecordBatch"]:
    import pyarrow as pa  # noqa: PLC0415  on an executor

    for batch in batches:
        for number in batch.column(0).to_pylist():
            found = enumerate(read_range(store, path, number * size, size))
            while chunk := list(itertools.islice(found, _BATCH_LINES)):
                places, values = zip(*chunk, strict=True)
                blocks = [number * size] * len(chunk)
                yield pa.record_batch(
                    {"block": blocks, "place": list(places), "value": list(values)},
                    schema=pa.schema({"block": pa.int64(), "place": pa.int64(), "value": pa.string()}),
                )


def read_range(store: Store, path: str, start: int, size: int) -> Iterator[str]:
    r"""Lines that begin in a range of a file's bytes; they end as for Spark's reader, with `\n`, `\r\n` or `\r`."""
    name, filesystem = store.dataset(path)
    with filesystem.open_input_file(name) as file, io.BufferedReader(file) as reader:
        if start:
            reader.seek(start - 1)
            reader.readline()  # the rest of a line that began before
        while reader.tell() < start + size and (raw := reader.readline()):
            for line in raw.splitlines():
                yield line.decode("utf-8", "replace")


def _read_parts(
    store: Store, paths: list[str], columns: list[str], batches: Iterator["pa.RecordBatch"]
) -> Iterator["pa.RecordBatch"]:
    import pyarrow.parquet as pq  # noqa: PLC0415  on an executor

    for batch in batches:
        for number in batch.column(0).to_pylist():
            name, filesystem = store.dataset(paths[number])
            yield from pq.read_table(name, filesystem=filesystem, columns=columns, partitioning=None).to_batches()


def _write_part(store: Store, prefix: str, batches: Iterator["pa.RecordBatch"]) -> Iterator["pa.RecordBatch"]:
    import pyarrow as pa  # noqa: PLC0415  on an executor
    import pyarrow.parquet as pq  # noqa: PLC0415
    from pyspark import TaskContext  # noqa: PLC0415

    found = list(batches)
    rows = sum(batch.num_rows for batch in found)
    context = TaskContext.get()
    if not rows or context is None:
        return
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_batches(found), buffer, compression="snappy", coerce_timestamps="us")
    path = f"{prefix}/part-{context.partitionId():05d}.parquet"
    store.write(path, buffer.getvalue())
    yield pa.record_batch({"path": [path], "rows": [rows]})
