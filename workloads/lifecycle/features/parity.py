"""`python -m workloads.lifecycle.features.parity`: compares online features with offline ones, for sampled entities.

Changes nothing, unlike a refresh, which fills the online store again.
"""

import argparse

from pydantic import BaseModel, ConfigDict

from workloads.lifecycle.base.command import quiet_libraries
from workloads.lifecycle.base.environment import Environment, load
from workloads.lifecycle.base.errors import run_command
from workloads.lifecycle.features.publication import (
    feature_store,
    newest,
    parity_misses,
    pull,
    read_offline,
    shortened,
)
from workloads.lifecycle.schema import Key


class Parity(BaseModel):
    """How the two stores agree."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    run: str
    """Ingestion run that the offline values are of."""

    entities: int
    """How many were compared."""

    differ: list[int | str | Key]
    """Keys of the entities whose values are missing or different online."""


def compare(environment: Environment) -> Parity:
    """Compare as many entities as `features.parity_sample` says; raises DataError when nothing was ingested."""
    ingested, workload = pull(environment), environment.definition
    offline = newest(workload, read_offline(environment))
    sample = offline.sample(min(environment.settings.features.parity_sample, len(offline)))
    differ = [shortened(key) for key in parity_misses(workload, feature_store(environment), sample)]
    return Parity(run=ingested.run, entities=len(sample), differ=differ)


def main() -> None:
    """Command: compare once, and say so as JSON."""
    argparse.ArgumentParser(prog="python -m workloads.lifecycle.features.parity", description=__doc__).parse_args()
    quiet_libraries()
    print(compare(load()).model_dump_json())


if __name__ == "__main__":
    run_command(main)
