"""The block `ingestion` of a stack file: how raw data is read and checked, and by which Spark."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from workloads.lifecycle.base.setting_types import Frozen, Share


class SparkOnKubernetes(Frozen):
    """The executors that Spark starts as pods; the driver is the ingesting pod itself."""

    image: Annotated[str, Field(pattern=r"^\S+@sha256:[0-9a-f]{64}$")]
    """The image `ingest`, by digest."""

    namespace: Annotated[str, Field(min_length=1)]
    """Where the executors run; the driver's own."""

    service_account: Annotated[str, Field(min_length=1)]
    """Of the executors: may reach the artifact store, needs nothing of the cluster."""

    store_secret: str | None = None
    """Secret with the store's `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`; None: the account's identity will do."""

    labels: dict[str, str] = {}  # noqa: RUF012  pydantic copies it
    """Of the executors' pods: what network policies know them by."""

    executors: Annotated[int, Field(ge=1, le=1_000)] = 2
    """Executor pods."""

    executor_cores: Annotated[int, Field(ge=1, le=64)] = 1
    """Tasks that one executor runs at a time; its CPU request."""

    executor_memory_mib: Annotated[int, Field(ge=512)] = 1024
    """Heap of one executor in MiB."""

    executor_overhead_mib: Annotated[int, Field(ge=384)] = 512
    """Memory beyond the heap in MiB; Python and Arrow read and write there."""


class IngestionSettings(Frozen):
    """How the raw CSV is checked and by what it is read."""

    spark_master: Annotated[str, Field(pattern=r"^(local(-cluster)?\[.+\]|local|k8s://https?://\S+)$")] = "local[*]"
    """Spark master URL: `local[N]` in this process, `k8s://https://<host>:<port>` on a cluster."""

    spark_kubernetes: SparkOnKubernetes | None = None
    """The executors; needed by a master `k8s://…` and by no other."""

    spark_driver_memory_mib: Annotated[int, Field(ge=512)] = 1024
    """Heap of the Spark driver in MiB."""

    max_bad_share: Share = 0.01
    """Share of quarantined rows above which the run stops and the features of the last run stay."""

    min_rows: Annotated[int, Field(ge=1)] = 1_000
    """Accepted rows below which a run is refused; the release policy refuses a model of fewer than 1,000 as well."""

    max_drop_share: Share = 0.2
    """Share of the last published run's rows by which a run may be smaller; a larger drop is refused, 1 allows any."""

    kept_runs: Annotated[int, Field(ge=1)] = 7
    """Newest runs whose features and quarantine stay in the artifact store; the published run stays in any case."""

    generator_rows: Annotated[int, Field(ge=100)] = 30_000
    """Rows of the seeded generator, used when `DATA` is not set."""

    generator_seed: int = 42
    """Seed of the generator."""

    @model_validator(mode="after")
    def _generated_rows_are_enough(self) -> Self:
        if self.generator_rows < self.min_rows:
            raise ValueError(
                f"generator_rows is {self.generator_rows}, fewer than min_rows ({self.min_rows}), so that generated "
                f"data would be refused: set min_rows to {self.generator_rows} or less, or generate more rows"
            )
        return self

    @model_validator(mode="after")
    def _executors_where_the_master_is_a_cluster(self) -> Self:
        if self.spark_master.startswith("k8s://") != (self.spark_kubernetes is not None):
            raise ValueError(
                "spark_kubernetes must be given with a spark_master k8s://… and with no other "
                f"(it is {self.spark_master})"
            )
        return self
