"""`python3 -m tools.recover --stack NAME`: makes a stack usable after a run of the CLI was killed.

Runs before `up`, in its environment (see `tools.env`). A killed run leaves a lock, files that it had begun to write,
and operations of which the engine does not know how they ended. `up --refresh` settles updates and deletions; creations
stay noted for good, and are forgotten here on request: right where creating again takes over what is there, as the host
provider does, and wrong where it makes a second one that is billed (there
`stacks.commands.adopt` takes over what was made).
"""

import argparse
import json
import os
import subprocess
from collections.abc import Sequence

from infra.base.sqlite_files import damaged
from tools import backends
from tools.console import ToolError, exit_with_errors_in_one_line, run, say


def main(arguments: Sequence[str] | None = None) -> int:
    """Remove what a dead run left behind."""
    parser = argparse.ArgumentParser(prog="python3 -m tools.recover", description=__doc__)
    parser.add_argument("--stack", required=True)
    parser.add_argument("--forget-creations", action="store_true", help="forget creations that did not end")
    given = parser.parse_args(arguments)
    backend = os.environ["PULUMI_BACKEND_URL"]
    backends.repair(backend, given.stack)
    backends.note(backend, given.stack)
    refuse_damaged_databases(given.stack)
    if given.forget_creations and (unfinished := pending_creations(given.stack)):
        say(f"a run was cut short while it created {', '.join(unfinished)}: creating again")
        command = ["pulumi", "refresh", "--stack", given.stack, "--yes", "--skip-preview", "--clear-pending-creates"]
        run(command, "run `pulumi refresh` to see what is the matter")
    return 0


def refuse_damaged_databases(stack: str) -> None:
    """Raise ToolError that names a database of a local stack that cannot be read, and the ways out.

    A server that opens one fails with a stack trace, again and again, and names neither file nor remedy.
    """
    for file, reason in damaged(backends.stack_folder(stack) / "data"):
        raise ToolError(
            f"the database {file} is damaged ({reason}): `make down STACK={stack}`, then `make restore FROM=...` "
            f"brings back the last backup; without one, `mv '{file}' '{file}.damaged'` and run this again: `make up` "
            "makes a new one, and what was in it is lost (docs/how-to/back-up-and-restore.md)"
        )


def pending_creations(stack: str) -> list[str]:
    """Names of the resources whose creation a dead run began and did not end; none when there is no such stack."""
    command = ["pulumi", "stack", "export", "--stack", stack]
    answer = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        return []
    operations = json.loads(answer.stdout)["deployment"].get("pending_operations") or []
    return [entry["resource"]["urn"].rpartition("::")[2] for entry in operations if entry["type"] == "creating"]


if __name__ == "__main__":
    exit_with_errors_in_one_line(main)
