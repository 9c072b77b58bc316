"""How commands tell the program which raw data people have given to the workloads of a stack."""

import json
from collections.abc import Mapping

VARIABLE = "MLPLATFORM_DATA"
"""JSON: by stack, paths or addresses by workload in the order in which they were given; "" is the default workload."""
GENERATED = "generated"
"""Stands for what the stack file says, rows of the seeded generator as a rule."""


def given(stack: str, default: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Path or address of the raw data by workload, as far as people have given it.

    `DATA` of the environment is the newest, for the workload that `WORKLOAD` names or for the default one.
    """
    told: dict[str, str] = json.loads(environ.get(VARIABLE) or "{}").get(stack, {})
    found = {workload or default: data for workload, data in told.items()}
    if environ.get("DATA"):
        found[environ.get("WORKLOAD", "").replace("-", "_") or default] = environ["DATA"]
    return {workload: data for workload, data in found.items() if data != GENERATED}
