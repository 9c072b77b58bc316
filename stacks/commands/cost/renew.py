"""`python -m stacks.commands.cost.renew`: prices of machines from AWS's price list into `prices.yaml`.

The list is public and needs no account; that of EC2 has some 400 MB for a region and takes 3 GB of memory. What the
list does not name stays as it is, as do prices by the unit, which it names by no single attribute. Never run against
AWS.
"""

import argparse
import json
import re
import sys
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from stacks.commands.cost.prices import FILE, PriceError, Prices, load

SITE = "https://pricing.us-east-1.amazonaws.com"
LIMIT_SECONDS = 300

OFFERS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "instances": (
        "AmazonEC2",
        {"operatingSystem": "Linux", "tenancy": "Shared", "preInstalledSw": "NA", "capacitystatus": "Used"},
    ),
    "databases": ("AmazonRDS", {"databaseEngine": "PostgreSQL", "deploymentOption": "Single-AZ"}),
    "caches": ("AmazonElastiCache", {"cacheEngine": "Valkey"}),
}
"""Table of the file to the offer of AWS's that has its prices, and the attributes of the products that are meant.
Source: https://docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/reading-service-price-list-file-for-services.html"""

_SOURCE = re.compile(r"(?m)^  (price-list-\w+):\n(?:    .*\n)+")


def renewed(text: str, prices: Prices, site: str = SITE) -> tuple[str, list[str]]:
    """The file's text with the list's prices, and a note on each machine that the list does not price.

    Raises: PriceError when the list cannot be read.
    """
    notes = []
    for table, (offer, wanted) in OFFERS.items():
        url = f"{site}/offers/v1.0/aws/{offer}/current/{prices.region}/index.json"
        told = _list(url)
        found = dict(_prices(told, wanted))
        source = f"price-list-{table}"
        for name in getattr(prices, table):
            if name not in found:
                notes.append(f"NOTE: {offer} has no price of {name} in {prices.region}: its price stays")
                continue
            line = re.compile(rf"(?m)^(  {re.escape(name)}: \{{usd: )[0-9.]+(.*, source: )[\w-]+(\}})")
            text = line.sub(rf"\g<1>{found[name]:g}\g<2>{source}\g<3>", text)
        text = _with_source(text, source, f"AWS' price list {offer} {told['version']} of {prices.region}", url, told)
    return text, notes


def _list(url: str) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(url, timeout=LIMIT_SECONDS) as answer:  # noqa: S310  (https, or a test's loopback)
            told: dict[str, Any] = json.load(answer)
    except (OSError, ValueError) as error:
        raise PriceError(
            f"{url} cannot be read ({error}): nothing was changed; try again where it is reached"
        ) from error
    if not {"products", "terms", "version", "publicationDate"} <= told.keys():
        raise PriceError(f"{url} is no price list: nothing was changed")
    return told


def _prices(told: Mapping[str, Any], wanted: Mapping[str, str]) -> Iterator[tuple[str, float]]:
    """Type of machine to its price of an hour on demand."""
    on_demand = told["terms"].get("OnDemand", {})
    for sku, product in told["products"].items():
        attributes = product["attributes"]
        if "instanceType" not in attributes or any(attributes.get(key) != each for key, each in wanted.items()):
            continue
        for term in on_demand.get(sku, {}).values():
            for dimension in term["priceDimensions"].values():
                usd = float(dimension["pricePerUnit"].get("USD", 0))
                if dimension["unit"] == "Hrs" and usd > 0:
                    yield attributes["instanceType"], usd


def _with_source(text: str, name: str, says: str, url: str, told: Mapping[str, Any]) -> str:
    """The text with a source of this name, in place of an older one."""
    without = _SOURCE.sub(lambda found: "" if found[1] == name else found[0], text)
    date = str(told["publicationDate"])[:10]
    entry = f"  {name}:\n    says: {says}\n    url: {url}\n    read: {date}\n    confirmed: true\n"
    return without.replace("\nsources:\n", f"\nsources:\n{entry}", 1)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the file; 1 where the list cannot be read, and the file is as it was."""
    parser = argparse.ArgumentParser(prog="python -m stacks.commands.cost.renew", description=__doc__)
    parser.add_argument("--file", type=Path, default=FILE)
    parser.add_argument("--site", default=SITE, help=f"where the list is; default: {SITE}")
    given = parser.parse_args(arguments)
    try:
        before = given.file.read_text(encoding="utf-8")
        text, notes = renewed(before, load(given.file), given.site)
    except PriceError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    given.file.write_text(text, encoding="utf-8")
    changed = sum(1 for old, new in zip(_lines(before), _lines(text), strict=True) if old != new)
    sys.stdout.write("".join(f"{each}\n" for each in notes) + f"{changed} prices renewed in {given.file}\n")
    return 0


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if "{usd: " in line]


if __name__ == "__main__":
    sys.exit(main())
