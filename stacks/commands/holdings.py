"""Refuses to let a stack go whose data nobody named.

Run as `python -m stacks.commands.holdings --stack NAME [--lose ROLE ...]`.
Looks at the state alone. Exits with 1 while data would be deleted that is not named, or that the engine protects.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from policies.destruction import GUARDED
from stacks.commands.pulumi_cli import PulumiError, exists, pulumi

DATA = ("bucket", "database", "registry", "volume")
"""What of `GUARDED` holds data itself; keys, networks and namespaces are lost with it."""
ON_THIS_MACHINE = "host:"
"""Types of stacks on this machine, whose settings say what becomes of their data."""


@dataclass(frozen=True, order=True)
class Holding:
    """One resource that a destroy would delete, with its data, or would stumble over."""

    role: str
    """The stack file's block, with dashes: the outermost component's name."""

    name: str
    """The logical name."""

    what: str
    """What is lost with it."""

    protected: bool
    """Whether the engine refuses to delete it."""

    holds_data: bool


def holdings(state: Mapping[str, Any]) -> list[Holding]:
    """What of a state (a `deployment`) holds data or is protected; what is kept on deletion is no holding."""
    resources = {each["urn"]: each for each in state.get("resources") or []}
    return sorted(_holdings(resources))


def _holdings(resources: Mapping[str, Mapping[str, Any]]) -> Iterator[Holding]:
    for urn, each in resources.items():
        what = GUARDED.get(each["type"], "")
        protected, holds_data = bool(each.get("protect")), what in DATA
        if not each.get("custom") or each.get("retainOnDelete") or each["type"].startswith(ON_THIS_MACHINE):
            continue
        if protected or holds_data:
            word = what.partition(",")[0] or each["type"].rpartition(":")[2]
            yield Holding(_role(urn, resources), urn.rpartition("::")[2], word, protected, holds_data)


def _role(urn: str, resources: Mapping[str, Mapping[str, Any]]) -> str:
    """Name of the outermost component that a resource is in; its own name where it is in none."""
    parent = resources[urn].get("parent", "")
    while parent in resources and resources[parent]["type"] != "pulumi:pulumi:Stack":
        urn, parent = parent, resources[parent].get("parent", "")
    return urn.rpartition("::")[2]


def refusals(found: Sequence[Holding], named: Sequence[str], stack: str) -> list[str]:
    """Why the stack must not go yet, and what to say so that it may; empty when it may go."""
    holding = sorted({each.role for each in found if each.holds_data})
    unknown = sorted(set(named) - set(holding))
    if unknown:
        return [f"{', '.join(unknown)} of {stack} holds no data: name some of {', '.join(holding) or 'nothing'}"]
    unnamed = [each for each in found if each.holds_data and each.role not in named]
    lines = [f"{each.role}: {each.what} {each.name} would be deleted, with its data" for each in unnamed]
    if unnamed:
        lines.append(f'name what may be lost: make down STACK={stack} LOSE="{" ".join(holding)}"')
    protected = [each for each in found if each.protected]
    lines += [f"{each.role}: {each.what} {each.name} is protected" for each in protected]
    if protected:
        lines.append(
            "release it first: `protection: delete` in the block of a store or volume, `deletion_protection: false` "
            f"in the cluster's and in the network's, then make up STACK={stack}"
        )
    return lines


def _state(stack: str) -> Mapping[str, Any]:
    """The stack's state; empty where there is no such stack."""
    if not exists(stack):
        return {}
    state: Mapping[str, Any] = json.loads(pulumi(["stack", "export", "--stack", stack]))["deployment"]
    return state


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit with 0 when the stack may go, 1 when it may not, 2 when that cannot be told."""
    parser = argparse.ArgumentParser(prog="python -m stacks.commands.holdings", description=__doc__)
    parser.add_argument("--stack", required=True)
    parser.add_argument("--lose", nargs="*", default=[], metavar="ROLE", help="roles whose data may be lost")
    given = parser.parse_args(arguments)
    try:
        lines = refusals(holdings(_state(given.stack)), given.lose, given.stack)
    except PulumiError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stderr.writelines(f"{line}\n" for line in lines)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
