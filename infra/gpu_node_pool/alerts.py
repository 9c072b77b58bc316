"""Alert rules about GPUs, over the metrics of NVIDIA's DCGM exporter."""

import json
from collections.abc import Sequence

from infra.gpu_node_pool.gpu_types import GPU_TYPES

UTILIZATION = "DCGM_FI_DEV_GPU_UTIL"
"""Percent of the time that a GPU did something.
Source: https://docs.nvidia.com/datacenter/dcgm/latest/dcgm-api/dcgm-api-field-ids.html"""
IDLE_PERCENT = 5
HOURS_PER_MONTH = 730


def rules(instance_types: Sequence[str], idle_minutes: int) -> str:
    """A Prometheus rule file, as JSON, with the alert `GpuIdle`, whose text says what an idle GPU costs.

    The price is that of the most expensive GPU among the pool's types, on demand in us-east-1.
    """
    dearest = max(GPU_TYPES[each].usd_per_hour / GPU_TYPES[each].gpus for each in instance_types)
    cost = f"about {dearest:.2f} USD an hour, {dearest * HOURS_PER_MONTH:.0f} USD a month"
    alert = {
        "alert": "GpuIdle",
        "expr": f"max by (Hostname, gpu, modelName) (avg_over_time({UTILIZATION}[{idle_minutes}m])) < {IDLE_PERCENT}",
        "for": "5m",
        "labels": {"severity": "warning"},
        "annotations": {
            "summary": f"GPU {{{{ $labels.gpu }}}} of {{{{ $labels.Hostname }}}} is idle and costs {cost}",
            "description": (
                f"{{{{ $labels.modelName }}}} was used less than {IDLE_PERCENT} % of the last {idle_minutes} minutes "
                f"({cost}, at most, on demand in us-east-1). End what holds it, or lower gpu_node_pool.gpus_max."
            ),
            "runbook_url": "docs/runbooks/GpuIdle.md",
        },
    }
    return json.dumps({"groups": [{"name": "gpu", "rules": [alert]}]}, indent=1)
