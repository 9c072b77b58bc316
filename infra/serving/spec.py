"""What a workload asks serving to deploy."""

from dataclasses import dataclass

from infra.compute.spec import TaskSpec


@dataclass(frozen=True, kw_only=True)
class ModelServerSpec(TaskSpec):
    """A server of one model that speaks KServe's v1 and v2 inference protocols on the port named by `PORT`."""

    model_name: str
    """Name in the URL, e.g. `churn`."""
