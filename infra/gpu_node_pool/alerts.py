"""Alert rules about GPUs: the values of the template `alerts.yaml`."""

from collections.abc import Sequence
from pathlib import Path

from infra.base.alert_rules import rule_file
from infra.gpu_node_pool.gpu_types import GPU_TYPES

TEMPLATE = Path(__file__).with_suffix(".yaml")
HOURS_PER_MONTH = 730


def rules(instance_types: Sequence[str], idle_minutes: int) -> str:
    """A Prometheus rule file, as JSON, with the alert `GpuIdle`, whose text says what an idle GPU costs.

    The price is that of the most expensive GPU among the pool's types, on demand in us-east-1.
    """
    dearest = max(GPU_TYPES[each].usd_per_hour / GPU_TYPES[each].gpus for each in instance_types)
    cost = f"about {dearest:.2f} USD an hour, {dearest * HOURS_PER_MONTH:.0f} USD a month"
    return rule_file("gpu", TEMPLATE, {"minutes": idle_minutes, "cost": cost})
