"""`python -m stacks.commands.aws_offers`: renews which instances, databases and caches AWS sells in which region.

Writes `infra/base/aws_offers.json` from the lists that cfn-lint carries, which the part `judges` has.
"""

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from infra.base import aws_offers
from stacks.commands.validate import judging

ENGINE = "postgres"
"""Of RDS, whose classes are read; RDS sells the same ones for MySQL."""

Types = Callable[[Mapping[str, Any]], Iterable[str]]


def _listed(offered: Mapping[str, Any]) -> Iterable[str]:
    found: list[str] = offered["enum"]
    return found


def _classes(offered: Mapping[str, Any]) -> Iterable[str]:
    """Those of the engine, among rules for each engine and licence."""
    for rule in offered["allOf"]:
        if rule["if"]["properties"]["Engine"].get("const") == ENGINE:
            found: list[str] = rule["then"]["properties"]["DBInstanceClass"]["enum"]
            return found
    return ()


LISTS: Mapping[aws_offers.Offer, tuple[str, Types]] = {
    "instances": ("aws_ec2_instance/instancetype_enum.json", _listed),
    "databases": ("aws_rds_dbinstance/dbinstanceclass_enum.json", _classes),
    "caches": ("aws_elasticache_cachecluster/cachenodetype_enum.json", _listed),
}
"""Offer to cfn-lint's file, and what to read of a region's part."""


def text() -> str:
    """The file: for each offer the types that the same regions have, one line a group.

    Raises: judging.ValidatorsError.
    """
    [folder] = judging.python().parents[1].glob("lib/python*/site-packages/cfnlint/data/schemas/extensions")
    made = []
    for offer, (file, types) in LISTS.items():
        groups = _groups(json.loads((folder / file).read_text(encoding="utf-8")), types)
        lines = ",\n".join(json.dumps([" ".join(regions), " ".join(names)]) for regions, names in groups)
        made.append(f"{json.dumps(offer)}: [\n{lines}\n]")
    return "{\n" + ",\n".join(made) + "\n}\n"


def _groups(by_region: Mapping[str, Any], types: Types) -> list[tuple[tuple[str, ...], list[str]]]:
    regions: dict[str, set[str]] = {}
    for region, offered in by_region.items():
        if region not in ("all", "description"):
            for name in types(offered):
                regions.setdefault(name, set()).add(region)
    groups: dict[tuple[str, ...], list[str]] = {}
    for name in sorted(regions):
        groups.setdefault(tuple(sorted(regions[name])), []).append(name)
    return sorted(groups.items())


def main() -> int:
    """Renew the file."""
    try:
        aws_offers.FILE.write_text(text(), encoding="utf-8")
    except judging.ValidatorsError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
