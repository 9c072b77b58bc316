"""Draws the prod stack by role into `docs/architecture.md`; needs no engine.

Run as `python -m stacks.commands.preview.architecture`.
"""

import re

from infra.base.paths import CHECKOUT
from stacks.commands.access_matrix import declared
from stacks.commands.preview.picture import fenced
from stacks.commands.preview.plan import Plan, as_it_is

STACK = "prod"
FILE = CHECKOUT / "docs" / "architecture.md"
BLOCK = re.compile(r"```mermaid\n.*?```\n", re.DOTALL)


def plan() -> Plan:
    """The stack as its program declares it; nothing changes."""
    return as_it_is(
        {
            each.urn: {
                "parent": each.parent,
                "custom": each.custom,
                "dependencies": each.dependencies,
                "propertyDependencies": each.property_dependencies,
            }
            for each in declared(STACK).resources
        }
    )


if __name__ == "__main__":
    FILE.write_text(BLOCK.sub(lambda _: fenced(plan()), FILE.read_text(encoding="utf-8")), encoding="utf-8")
