"""EC2 instance types with NVIDIA GPUs: data only, as of 2026-07.

Prices are for Linux, on demand, in us-east-1; other regions cost up to half more. They are for the text of an alert.
Source: https://aws.amazon.com/ec2/instance-types/ and https://aws.amazon.com/ec2/pricing/on-demand/
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class GpuType:
    """What an instance has."""

    model: str

    gpus: int

    usd_per_hour: float


GPU_TYPES: Mapping[str, GpuType] = {
    "g4dn.xlarge": GpuType("T4", 1, 0.526),
    "g4dn.2xlarge": GpuType("T4", 1, 0.752),
    "g4dn.12xlarge": GpuType("T4", 4, 3.912),
    "g5.xlarge": GpuType("A10G", 1, 1.006),
    "g5.2xlarge": GpuType("A10G", 1, 1.212),
    "g5.12xlarge": GpuType("A10G", 4, 5.672),
    "g5.48xlarge": GpuType("A10G", 8, 16.288),
    "g6.xlarge": GpuType("L4", 1, 0.8048),
    "g6.2xlarge": GpuType("L4", 1, 0.9776),
    "g6.12xlarge": GpuType("L4", 4, 4.6016),
    "g6e.xlarge": GpuType("L40S", 1, 1.861),
    "g6e.2xlarge": GpuType("L40S", 1, 2.24208),
    "g6e.12xlarge": GpuType("L40S", 4, 10.49264),
    "p4d.24xlarge": GpuType("A100", 8, 21.957642),
    "p5.4xlarge": GpuType("H100", 1, 6.88),
    "p5.48xlarge": GpuType("H100", 8, 55.04),
}
