"""Which slow tests run by what changed (`tests/tiers.toml`), and `python -m tests.tiers --record` after they passed.

With `--tiers=changed` a test marked `tier("name")` is left out while the digest of the tier's files is the recorded
one. Without a record, or without git, every tier runs. The digest needs no history: it is the same in a shallow clone.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]
RECORD = "tests/tiers.json"


def load(checkout: Path = CHECKOUT) -> dict[str, list[str]]:
    """Pathspecs by tier, those of every tier included."""
    table = tomllib.loads((checkout / "tests" / "tiers.toml").read_text())
    common = table.pop("common")["paths"]
    return {name: [*common, *block["paths"]] for name, block in table.items()}


def digest(checkout: Path, pathspecs: list[str]) -> str | None:
    """Digest of the names and contents of files that git tracks or would track; None where git cannot list them."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *pathspecs]
    done = subprocess.run(command, cwd=checkout, capture_output=True, check=False)
    names = sorted({name for name in done.stdout.split(b"\0") if name and name.decode() != RECORD})
    if done.returncode or not names:
        return None
    found = hashlib.sha256()
    for name in names:
        file = checkout / name.decode()
        content = hashlib.sha256(file.read_bytes()).digest() if file.is_file() else b"gone"
        found.update(name + b"\0" + content)
    return found.hexdigest()


def recorded(checkout: Path = CHECKOUT) -> Mapping[str, str]:
    """Digests with which the tests of each tier last passed."""
    file = checkout / RECORD
    return json.loads(file.read_text()) if file.exists() else {}


def unchanged(checkout: Path = CHECKOUT) -> set[str]:
    """Tiers whose tests passed with the very files of this checkout."""
    known = recorded(checkout)
    return {
        name
        for name, pathspecs in load(checkout).items()
        if known.get(name) and known[name] == digest(checkout, pathspecs)
    }


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--tiers`."""
    parser.addoption("--tiers", choices=("all", "changed"), default="all", help="which tiers run: tests/tiers.toml")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse unknown tiers, and leave out those that have not changed."""
    marked = {item: mark.args[0] for item in items if (mark := item.get_closest_marker("tier"))}
    if unknown := set(marked.values()) - set(load()):
        raise pytest.UsageError(f"tests/tiers.toml has no tier {', '.join(sorted(unknown))}")
    if config.getoption("tiers") == "all" or not marked:
        return
    out = unchanged()
    left_out = [item for item, tier in marked.items() if tier in out]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def main() -> int:
    """Show each tier's state; with `--record`, write down that the tests of every tier passed with these files."""
    parser = argparse.ArgumentParser(prog="python -m tests.tiers", description=__doc__)
    parser.add_argument("--record", action="store_true", help="the tests of every tier have passed with these files")
    if parser.parse_args().record:
        digests = {name: digest(CHECKOUT, pathspecs) for name, pathspecs in load().items()}
        (CHECKOUT / RECORD).write_text(json.dumps(digests, indent=2) + "\n")
    out = unchanged()
    for name in load():
        sys.stdout.write(f"{name}: {'as recorded' if name in out else 'changed, runs'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
