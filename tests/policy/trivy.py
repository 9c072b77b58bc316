"""The samples in the tests of trivy's checks for Kubernetes: objects, and whether their authors refuse them.

They stay in their Go module (licence: MIT), whose checksum stands here; nothing of it is copied into this checkout.
Source: https://github.com/aquasecurity/trivy-checks
"""

import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .conftest import run_opa

MODULE, VERSION = "github.com/aquasecurity/trivy-checks", "v1.10.0"
SUM = "h1:Q0FWsYy/uwvr/icRSOzNu55yDZ1ME8hZlpglNs62ZfE="
FOLDER = "/checks/kubernetes/"
QUESTION = "[{name: rego.parse_module(name, text)} | some name, text in input]"


@dataclass(frozen=True)
class Sample:
    """One test of a check."""

    check: str
    """Trivy's id, as `KSV-0017`."""

    name: str

    thing: Mapping[str, Any]

    refused: bool

    def __str__(self) -> str:
        return f"{self.check}/{self.name}"


def samples(archive: Path) -> list[Sample]:
    """Every test whose input is one whole Kubernetes object, and which says how often that is refused."""
    with zipfile.ZipFile(archive) as opened:
        files = {
            name.partition(FOLDER)[2]: opened.read(name).decode()
            for name in opened.namelist()
            if FOLDER in name and name.endswith("_test.rego")
        }
    parsed = json.loads(run_opa("eval", "--format=raw", "--stdin-input", QUESTION, input=json.dumps(files)))
    return sorted(
        (sample for entry in parsed for file, module in entry.items() for sample in _samples(file, module)), key=str
    )


def _samples(file: str, module: Mapping[str, Any]) -> Iterator[Sample]:
    package = [term["value"] for term in module["package"]["path"]]
    found = re.match(r"(K[SC]V)0*(\d+)", package[-1])
    check = f"{found[1]}-{int(found[2]):04}" if found else Path(file).stem.removesuffix("_test")
    for rule in module.get("rules", []):
        name = rule["head"]["ref"][0]["value"]
        given = [_plain(each["value"]) for expression in rule["body"] for each in expression.get("with", [])]
        verdicts = {verdict for expression in rule["body"] if (verdict := _verdict(expression)) is not None}
        if len(given) == 1 and len(verdicts) == 1 and isinstance(given[0], dict) and "kind" in given[0]:
            yield Sample(check, name, given[0], verdicts.pop())


def _plain(term: Mapping[str, Any]) -> Any:
    match term["type"]:
        case "object":
            pairs = [(_plain(key), _plain(value)) for key, value in term["value"]]
            return None if any(value is NotImplemented for _, value in pairs) else dict(pairs)
        case "array" | "set":
            return [_plain(each) for each in term["value"]]
        case "string" | "number" | "boolean" | "null":
            return term.get("value")
        case _:
            return NotImplemented


def _verdict(expression: Mapping[str, Any]) -> bool | None:
    """Whether `count(r) ...` says that something was found."""
    terms = expression["terms"]
    if not isinstance(terms, list) or "count" not in json.dumps(terms):
        return None
    operator = terms[0]["value"][0]["value"]
    numbers = [term["value"] for term in terms[1:] if term["type"] == "number"]
    if operator in ("equal", "eq") and numbers:
        return bool(numbers[0])
    return True if operator in ("gt", "gte", "neq") else None
