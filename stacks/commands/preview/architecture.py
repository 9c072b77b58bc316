"""Draws `docs/architecture.svg`, the prod stack by role; needs no engine.

Run as `python -m stacks.commands.preview.architecture`.
"""

from infra.base.paths import CHECKOUT
from stacks.commands.access_matrix import declared
from stacks.commands.preview.picture import as_svg
from stacks.commands.preview.plan import Plan, as_it_is

STACK = "prod"
FILE = CHECKOUT / "docs" / "architecture.svg"


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
    FILE.write_text(as_svg(plan(), STACK), encoding="utf-8")
