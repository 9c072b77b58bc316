"""`python -m stacks.commands.credentials [--server NAME | --link]`: who a person logs in as at the stack's servers.

Reads the stack's outputs as JSON from standard input (`pulumi stack output --json --show-secrets`). With `--server` it
prints a configuration for curl, which reads it from its standard input (`curl -K -`), so that a password is in no
command line, where everybody on the machine could read it. A link to the start page works once, for ten minutes.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from workloads.lifecycle.operations.start_page.door import LINK_SECONDS, link

LOGIN, TOKEN = "_login", "_token"
"""Endings of the outputs that hold `user:password` and a bearer token."""
_NONE = "No server of this stack asks for a login of its own: the network or the gateway says who reaches it."


def logins(outputs: Mapping[str, Any]) -> dict[str, str]:
    """Server -> what it asks for, as a line of curl's configuration."""
    users = {name.removesuffix(LOGIN): f'user = "{value}"' for name, value in outputs.items() if name.endswith(LOGIN)}
    tokens = {
        name.removesuffix(TOKEN): f'header = "Authorization: Bearer {value}"'
        for name, value in outputs.items()
        if name.endswith(TOKEN)
    }
    return users | tokens


def lines(outputs: Mapping[str, Any]) -> list[str]:
    """One line for each server that asks a person for a password, and the link to the start page."""
    servers = sorted(name.removesuffix(LOGIN) for name in outputs if name.endswith(LOGIN))
    rows = [(outputs[f"{server}_url"], *outputs[f"{server}{LOGIN}"].split(":", 1)) for server in servers]
    return [*(f"{url}  user {user}  password {password}" for url, user, password in rows), *_start(outputs)]


def _start(outputs: Mapping[str, Any]) -> list[str]:
    """The line with a link, where the start page asks for one."""
    token = outputs.get(f"start{TOKEN}")
    if token is None:
        return []
    return [f"{link(outputs['start_url'], token)}  opens the start page once, within {LINK_SECONDS // 60} minutes"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print every login, or one for curl, or the link alone."""
    parser = argparse.ArgumentParser(prog="python -m stacks.commands.credentials", description=__doc__)
    parser.add_argument("--server", default="", help="print this server's login as a configuration of curl")
    parser.add_argument("--link", action="store_true", help="print the link to the start page, and nothing else")
    chosen = parser.parse_args(arguments)
    given = sys.stdin.read()
    if not given:
        return 1  # the command that should have given the outputs said why it did not
    outputs = json.loads(given)
    found, server = logins(outputs), chosen.server
    if not server:
        said = _start(outputs) if chosen.link else lines(outputs) or [_NONE]
        sys.stdout.write("".join(f"{line}\n" for line in said))
        return 0
    if server not in found:
        known = ", ".join(sorted(found)) or "none"
        sys.stderr.write(f"the stack has no login of a server {server!r} (it has {known}): correct SERVER\n")
        return 1
    sys.stdout.write(f"{found[server]}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
