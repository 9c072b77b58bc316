"""`python -m workloads.loan_default.parity`: compares features online with those offline, for a sample of customers.

Changes nothing, unlike a refresh, which fills the online store again.
"""

import argparse

from pydantic import BaseModel, ConfigDict

from workloads.loan_default.errors import run_command
from workloads.loan_default.features import feature_store, parity_misses, pull, read_offline
from workloads.loan_default.release import quiet_libraries
from workloads.loan_default.settings import Environment, load


class Parity(BaseModel):
    """How the two stores agree."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    run: str
    """Ingestion run that the offline values are of."""

    customers: int
    """How many were compared."""

    differ: list[int]
    """Customers whose values are absent online, or others."""


def compare(environment: Environment) -> Parity:
    """Compare as many customers as `features.parity_sample` says; raises DataError when nothing was ingested."""
    ingested = pull(environment)
    offline = read_offline(environment)
    sample = offline.sample(min(environment.settings.features.parity_sample, len(offline)))
    differ = parity_misses(feature_store(environment), sample)
    return Parity(run=ingested.run, customers=len(sample), differ=differ)


def main() -> None:
    """Command: compare once, and say so as JSON."""
    argparse.ArgumentParser(prog="python -m workloads.loan_default.parity", description=__doc__).parse_args()
    quiet_libraries()
    print(compare(load()).model_dump_json())


if __name__ == "__main__":
    run_command(main)
