"""`python -m workloads.lifecycle.operations.stores`: writes, reads and removes an object, and verifies the champion.

Run where a stage runs, whose rights it then has. Prints one line of JSON, `Checked`; changes nothing that stays.
"""

import argparse
import uuid

from pydantic import BaseModel, ConfigDict

from workloads.lifecycle.base.command import quiet_libraries
from workloads.lifecycle.base.environment import Environment, load
from workloads.lifecycle.base.errors import WorkloadError, run_command
from workloads.lifecycle.base.store import Store
from workloads.lifecycle.operations.recovery import lost_champion

FOLDER = "doctor"


class Checked(BaseModel):
    """What came of it."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    store: str
    """Address of the store, which gave back what it was given."""

    champion: str
    """Why the champion cannot be served; empty when its bundle is what was signed."""


def check(environment: Environment) -> Checked:
    """Check once; raises WorkloadError when the store loses an object, or does not answer."""
    store, path = Store.open(environment), f"{FOLDER}/{uuid.uuid4().hex}"
    content = path.encode()
    try:
        store.write(path, content)
        if store.read(path) != content:
            raise WorkloadError(f"{store.uri}/{path} is not what was written a moment ago: the store loses objects")
    finally:
        store.remove(path)
    return Checked(store=store.uri, champion=lost_champion(environment) or "")


def main() -> None:
    """Command: check, and say so as JSON."""
    argparse.ArgumentParser(prog="python -m workloads.lifecycle.operations.stores", description=__doc__).parse_args()
    quiet_libraries()
    print(check(load()).model_dump_json())


if __name__ == "__main__":
    run_command(main)
