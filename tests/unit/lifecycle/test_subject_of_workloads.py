"""A workload's package holds what is about its subject, and nothing else speaks of that subject."""

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from infra.base import paths
from stacks.workload_settings import REGISTERED
from tests.unit.workloads import pumps
from tests.unit.workloads.pumps import PUMPS
from workloads.lifecycle import discovery

SENTENCES = tomllib.loads(Path(__file__).with_name("symbols.toml").read_text())
"""Workload -> `module.symbol` -> what ties the symbol to the workload's subject."""

WORKLOADS = [discovery.find(reference) for reference in REGISTERED.values()]

GENERIC = ("infra", "policies", "stacks", "tools", "Makefile", "workloads/lifecycle")

ALLOWED = {
    "stacks/workload_settings.py": "the registry of this repository's workloads",
    "stacks/schema.json": "made from the registry: each workload has a block in a stack file",
    "tools/kserve/go.sum": "checksums, one of them of Google's `essentialcontacts`",
}
"""Files that may name a workload, each with its reason."""

STEMS = r"(?i:loan|turbofan|pump|aircraft|credit.?(card|score))"
"""Words of the subjects, in any part of a name."""


SUBJECT = {"loan_default": "bank|card|credit|debt", "turbofan": "engine|FD001"}
"""Workload -> words, one of which is in each sentence that ties a symbol to its subject."""

TEST_WORKLOAD_LINES = 150


def public(source):
    """Names that a module defines at its top, without those that begin with an underscore."""
    found = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name)}
    return {name for name in found if not name.startswith("_")}


def symbols(workload):
    folder = paths.CHECKOUT / "workloads" / workload
    return {f"{path.stem}.{name}" for path in folder.rglob("*.py") for name in public(path.read_text())}


def subject():
    """A pattern of every name of a workload that is no English word, and of `STEMS`."""
    names = {symbol.partition(".")[2] for sentences in SENTENCES.values() for symbol in sentences}
    names |= {
        name
        for each in (*WORKLOADS, PUMPS)
        for name in (
            *(column.name for column in each.source.columns),
            *(view.name for view in each.views),
            *(group.attribute for group in each.groups),
            *each.features,
            *each.keys,
            each.outcome.label,
        )
    }
    odd = sorted(name for name in names if len(name) > 2 and re.search(r".[A-Z0-9_]", name))
    return re.compile(rf"\b({'|'.join(map(re.escape, odd))})\b|{STEMS}")


def generic():
    """Names of the files that are about no workload."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *GENERIC],
        cwd=paths.CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [name for name in listed.stdout.split("\0") if name]


def speaking():
    """Generic files that name a workload or its subject -> the first such line."""
    pattern, found = subject(), {}
    for name in generic():
        path = paths.CHECKOUT / name
        if path.is_file():
            line = next((line for line in path.read_text(errors="replace").splitlines() if pattern.search(line)), None)
            found |= {} if line is None else {name: line.strip()[:120]}
    return found


@pytest.mark.parametrize("workload", sorted(SENTENCES))
def test_each_symbol_of_a_workload_has_a_sentence_about_its_subject(workload):
    assert symbols(workload) == set(SENTENCES[workload])
    named = re.compile(rf"(?=.*({SUBJECT[workload]}))[A-Z].{{20,}}\.", re.IGNORECASE)
    assert {name: text for name, text in SENTENCES[workload].items() if not named.fullmatch(text)} == {}


def test_every_workload_of_the_repository_has_its_symbols_listed():
    packages = {path.parent.name for path in (paths.CHECKOUT / "workloads").glob("*/definition.py")}
    assert packages == set(SENTENCES)


def test_test_workload_is_short_and_has_what_no_other_one_has():
    source = Path(pumps.__file__).read_text().splitlines()
    assert len(source) <= TEST_WORKLOAD_LINES
    assert [entity.type for entity in PUMPS.entities] == ["string", "integer"]
    assert len({view.ttl for view in PUMPS.views}) == 2
    assert {feature.type for feature in PUMPS.inputs if feature.nullable} == {"number", "string", "integer"}
    (outcome,) = (column for column in PUMPS.source.columns if column.name == PUMPS.outcome.column)
    assert outcome.nullable


def test_public_symbols_are_found_in_every_form():
    source = "import a\nB = 1\nC, D = 2, 3\nE: int = 4\nclass F: ...\ndef g(): h = 1\nI = [j for j in ()]\n_K = 5\n"
    assert public(source) == {"B", "C", "D", "E", "F", "g", "I"}


def test_nothing_generic_names_a_workload_or_its_subject():
    files = generic()
    assert [place for place in GENERIC if not any(name.startswith(place) for name in files)] == []
    found = speaking()
    assert {name: line for name, line in found.items() if name not in ALLOWED} == {}
    assert set(ALLOWED) <= set(found), "nothing there names a workload any more: remove it from ALLOWED"


@pytest.mark.parametrize(
    "line",
    [
        "a loan",
        "LoanDefault",
        "CustomerID",
        "bias.EDUCATION",
        "LIMIT_BAL",
        "turbofan-model",
        "W31_slope",
        "TestPumps",
        "INCOME_STEP",
    ],
)
def test_words_of_a_subject_are_recognized(line):
    assert subject().search(line)
    assert not subject().search("the age of an engine's unit, by ID, in the first cycle")
