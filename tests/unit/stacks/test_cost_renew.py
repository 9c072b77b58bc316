"""Prices from a list of AWS's form, served on loopback."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from stacks.commands.cost import renew
from stacks.commands.cost.prices import FILE, load


def offer(*priced):
    """A price list: attributes and price of an hour of each product."""
    told = {"version": "20261101000000", "publicationDate": "2026-11-01T00:00:00Z", "products": {}, "terms": {}}
    told["terms"]["OnDemand"] = {}
    for number, (attributes, usd) in enumerate(priced):
        told["products"][f"SKU{number}"] = {"sku": f"SKU{number}", "attributes": attributes}
        dimension = {"unit": "Hrs", "pricePerUnit": {"USD": usd}}
        told["terms"]["OnDemand"][f"SKU{number}"] = {"T": {"priceDimensions": {"D": dimension}}}
    return told


LINUX = {"operatingSystem": "Linux", "tenancy": "Shared", "preInstalledSw": "NA", "capacitystatus": "Used"}
LISTS = {
    "AmazonEC2": offer(
        ({**LINUX, "instanceType": "m7i.large"}, "0.2000000000"),
        ({**LINUX, "instanceType": "m7i.large", "operatingSystem": "Windows"}, "9.0"),
        ({**LINUX, "instanceType": "m7i.large", "capacitystatus": "UnusedCapacityReservation"}, "8.0"),
    ),
    "AmazonRDS": offer(
        ({"instanceType": "db.m7g.large", "databaseEngine": "PostgreSQL", "deploymentOption": "Single-AZ"}, "0.3"),
        ({"instanceType": "db.m7g.large", "databaseEngine": "PostgreSQL", "deploymentOption": "Multi-AZ"}, "0.6"),
    ),
    "AmazonElastiCache": offer(({"instanceType": "cache.m7g.large", "cacheEngine": "Valkey"}, "0.1")),
}


@pytest.fixture
def site():
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            told = LISTS.get(self.path.split("/")[4]) if self.path.endswith("/current/eu-west-1/index.json") else None
            self.send_response(200 if told else 404)
            self.end_headers()
            self.wfile.write(json.dumps(told).encode())

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def file(tmp_path):
    copy = tmp_path / "prices.yaml"
    copy.write_text(FILE.read_text())
    return copy


def test_machines_get_the_lists_prices_with_source_and_date(site, file, capsys):
    assert renew.main(["--file", str(file), "--site", site]) == 0
    prices = load(file)
    found = prices.instance("m7i.large"), prices.database("db.m7g.large"), prices.cache("cache.m7g.large")
    assert [each.usd for each in found] == [0.2, 0.3, 0.1]
    source = prices.sources[prices.database("db.m7g.large").source]
    assert (source.confirmed, str(source.read)) == (True, "2026-11-01")
    assert "AmazonRDS 20261101000000" in source.says
    told = capsys.readouterr().out
    assert "NOTE: AmazonElastiCache has no price of cache.t4g.small in eu-west-1: its price stays\n" in told
    assert told.endswith(f"3 prices renewed in {file}\n")


def test_what_the_list_does_not_name_stays_and_a_second_run_is_idle(site, file):
    before = load(file)
    renew.main(["--file", str(file), "--site", site])
    once = file.read_text()
    assert load(file).units == before.units
    assert load(file).cache("cache.t4g.small") == before.cache("cache.t4g.small")
    renew.main(["--file", str(file), "--site", site])
    assert sorted(file.read_text().splitlines()) == sorted(once.splitlines())


@pytest.mark.parametrize("lost", ["AmazonRDS", "everything"])
def test_list_that_cannot_be_read_leaves_the_file_as_it_was(site, file, capsys, monkeypatch, lost):
    for name in [lost] if lost in LISTS else list(LISTS):
        monkeypatch.delitem(LISTS, name)
    before = file.read_text()
    assert renew.main(["--file", str(file), "--site", site]) == 1
    assert file.read_text() == before
    assert "cannot be read (HTTP Error 404: Not Found): nothing was changed" in capsys.readouterr().err
