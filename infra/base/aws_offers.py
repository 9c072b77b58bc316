"""Which instances, databases and cache nodes AWS sells in which region, as cfn-lint carries it from AWS's price list.

`aws_offers.json` is generated. It may be weeks behind AWS: `make preflight` asks the account itself.
"""

import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Literal

FILE = Path(__file__).with_suffix(".json")

Offer = Literal["instances", "databases", "caches"]
"""Instances of EC2, classes of RDS for MySQL and PostgreSQL, node types of ElastiCache."""

SHOWN = 4
"""Types that a message names at most."""


@cache
def _read() -> Mapping[str, Mapping[str, frozenset[str]]]:
    """Offer to region to the types that are sold there."""
    found: dict[str, dict[str, set[str]]] = {}
    for offer, groups in json.loads(FILE.read_text(encoding="utf-8")).items():
        for regions, types in groups:
            for region in regions.split():
                found.setdefault(offer, {}).setdefault(region, set()).update(types.split())
    return {
        offer: {region: frozenset(types) for region, types in by_region.items()} for offer, by_region in found.items()
    }


def regions() -> frozenset[str]:
    """The regions of AWS."""
    return frozenset(_read()["instances"])


def sold(offer: Offer, region: str) -> frozenset[str]:
    """The types that are sold in a region."""
    return _read()[offer].get(region, frozenset())


def unsold(offer: Offer, region: str, types: Iterable[str], allowed: Iterable[str] | None = None) -> str | None:
    """What a message says of types that are not sold in a region, after the setting's name; None where all are.

    `allowed`: what the setting takes at all; None: whatever is sold.
    """
    there = sold(offer, region)
    if not (missing := [each for each in types if each not in there]):
        return None
    known = there if allowed is None else there.intersection(allowed)
    like = sorted(known, key=lambda each: _distance(each, missing[0]))[:SHOWN]
    return f"names {', '.join(missing)}, which AWS does not sell in {region}: give some of {', '.join(like)}"


def _distance(one: str, other: str) -> tuple[bool, bool, int, str]:
    """How far two types are apart: by size and architecture, by purpose, by generation. Families of Arm have a `g`."""
    (purpose, number, arm, size), (others, their_number, theirs, their_size) = _parts(one), _parts(other)
    return (size, arm) != (their_size, theirs), purpose != others, abs(number - their_number), one


def _parts(name: str) -> tuple[str, int, bool, str]:
    family, _, size = name.rpartition(".")
    found = re.search(r"([a-z]+)([0-9]+)(g?)[a-z-]*$", family)
    return (found[1], int(found[2]), bool(found[3]), size) if found else (family, 0, False, size)
