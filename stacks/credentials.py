"""`python -m stacks.credentials [--server NAME]`: who a person logs in as at the stack's servers.

Reads the stack's outputs as JSON from standard input (`pulumi stack output --json --show-secrets`). With `--server` it
prints a configuration for curl, which reads it from its standard input (`curl -K -`), so that a password is in no
command line, where everybody on the machine could read it.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

ENDING = "_login"


def logins(outputs: Mapping[str, Any]) -> dict[str, str]:
    """Server -> `user:password`."""
    return {name.removesuffix(ENDING): value for name, value in outputs.items() if name.endswith(ENDING)}


def lines(outputs: Mapping[str, Any]) -> list[str]:
    """One line for each server: where it is, user and password."""
    found = logins(outputs)
    rows = [(outputs[f"{server}_url"], *login.split(":", 1)) for server, login in sorted(found.items())]
    return [f"{url}  user {user}  password {password}" for url, user, password in rows]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print every login, or one for curl."""
    parser = argparse.ArgumentParser(prog="python -m stacks.credentials", description=__doc__)
    parser.add_argument("--server", default="", help="print this server's login as a configuration of curl")
    server = parser.parse_args(arguments).server
    given = sys.stdin.read()
    if not given:
        return 1  # the command that should have given the outputs said why it did not
    outputs = json.loads(given)
    found = logins(outputs)
    if not server:
        none = ["No server of this stack asks for a login of its own: the network or the gateway says who reaches it."]
        sys.stdout.write("\n".join([*(lines(outputs) or none), ""]))
        return 0
    if server not in found:
        known = ", ".join(sorted(found)) or "none"
        sys.stderr.write(f"the stack has no login of a server {server!r} (it has {known}): correct SERVER\n")
        return 1
    sys.stdout.write(f'user = "{found[server]}"\n')
    return 0


if __name__ == "__main__":
    sys.exit(main())
