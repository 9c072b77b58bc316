"""The Rego: its own tests, its coverage, and that every condition in it is needed by some sample."""

import json
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from policies import catalogue, interpreter, samples
from policies.catalogue import FOLDER

from .conftest import run_opa, sources

RULES = catalogue.rego_rules()
RELEASE = catalogue.release_rules()
SOURCES = ("lib/*.rego", "rules/*/*.rego", "release/*.rego", "release/*/*.rego")


@pytest.fixture(scope="module")
def covered(sample_data):
    report = run_opa("test", "--timeout=120s", "--coverage", "--format=json", str(sample_data), *sources(*SOURCES))
    return json.loads(report)["files"]


def test_the_rules_pass_their_own_tests(sample_data):
    said = run_opa("test", "--timeout=120s", str(sample_data), *sources(*SOURCES))
    own = [(FOLDER / "release" / name).read_text() for name in ("release_test.rego", "challenger_test.rego")]
    gate = sum(len(re.findall(r"^test_", text, re.MULTILINE)) for text in own)
    assert f"PASS: {3 * len(RULES) + 2 * len(RELEASE) + gate}/" in said


@pytest.mark.parametrize("file", [file for file in sources(*SOURCES) if not file.endswith("_test.rego")])
def test_every_line_of_a_rule_is_covered(covered, file):
    name = next(key for key in covered if file.endswith(key.lstrip("/")) or key.endswith(file))
    assert covered[name].get("not_covered", []) == []
    assert covered[name]["coverage"] == 100


def test_a_rule_without_a_test_is_refused():
    rules = [*RULES.values(), *RELEASE.values()]
    assert [rule.id for rule in rules if not (rule.folder / "rule_test.rego").is_file()] == []


CONDITION = re.compile(r"^\t+(?!#)[^\s{}][^\n]*[^{(\[,\n]$|(?<= if )[^{\n]+$", re.MULTILINE)
"""A line of a body, or the whole of a body that stands on the line of its head."""

QUESTION = """package mutation
verdicts[i] := found if {
	some i, sample in input.samples
    found := count(data.rules[sample.rule].violation) > 0
        with input as sample.input with data.inventory as sample.inventory
}
"""
RELEASE_QUESTION = """package mutation
verdicts[i] := found if {
    some i, sample in input.samples
    found := disallowed(sample.rule, object.get(sample.input, "insufficient", null)) with input as sample.input
}

# For want of rows, or for another reason, where the sample says so.
disallowed(rule, insufficient) if {
    count(data.promotion[rule].reasons) > 0
    insufficient in {null, open(rule)}
} else := false

open(rule) if {
    lacking := {reason | some [reason, _] in data.promotion[rule].lacking}
    every reason in data.promotion[rule].reasons {
        reason in lacking
    }
} else := false
"""

GUARDS = {"k8s.reviewed"}
"""What keeps a rule silent on an exempted object; the rules' own tests look at that."""


def mutants(source):
    """Each condition, with the source in which it is always true."""
    for found in CONDITION.finditer(source):
        indent = re.match(r"\t*", found[0])[0]
        yield found[0].strip(), source[: found.start()] + indent + "true" + source[found.end() :]


def unnoticed(source, others, cases, folder, asking=QUESTION):
    """The conditions of a module without which the samples get the same verdicts; how many could be tried."""
    question = folder / "question.rego"
    question.write_text(asking)
    asked = json.dumps({"samples": [case.document for case in cases]})
    expected = [case.verdict == "disallowed" for case in cases]

    def tried(numbered):
        number, (condition, text) = numbered
        file = folder / f"{number}.rego"
        file.write_text(text)
        given = [argument for each in (file, question, *others) for argument in ("-d", str(each))]
        return condition, verdicts(given, asked)

    with ThreadPoolExecutor(2) as pool:
        found = [
            (condition, said) for condition, said in pool.map(tried, enumerate(mutants(source))) if said is not None
        ]
    return [condition for condition, said in found if said == expected and condition not in GUARDS], len(found)


def verdicts(arguments, asked):
    """In the samples' order; None for a mutant that OPA refuses to compile."""
    command = [interpreter.executable(), "eval", "--format=json", "--stdin-input", *arguments, "data.mutation.verdicts"]
    said = json.loads(subprocess.run(command, input=asked, capture_output=True, text=True, check=False).stdout)
    if "errors" in said:
        codes = {error["code"] for error in said["errors"]}
        assert codes <= {"rego_unsafe_var_error", "rego_type_error", "eval_conflict_error"}, said
        return codes if "eval_conflict_error" in codes else None
    found = said["result"][0]["expressions"][0]["value"]
    return [found.get(str(i), False) if isinstance(found, dict) else found[i] for i in range(len(found))]


@pytest.mark.tier("rego-mutation")
@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.id)
def test_no_condition_of_a_rule_can_be_taken_away_unnoticed(rule, tmp_path):
    cases = [sample for sample in samples.rego() if sample.rule.id == rule.id]
    source = (rule.folder / "rule.rego").read_text()
    survivors, tried = unnoticed(source, [FOLDER / "lib" / "k8s.rego"], cases, tmp_path)
    assert survivors == []
    assert tried


@pytest.mark.tier("rego-mutation")
@pytest.mark.parametrize("rule", RELEASE.values(), ids=lambda rule: rule.id)
def test_no_condition_of_a_release_rule_can_be_taken_away_unnoticed(rule, tmp_path):
    cases = [sample for sample in samples.release() if sample.rule.id == rule.id]
    source, others = (
        (rule.folder / "rule.rego").read_text(),
        [catalogue.RELEASE / "problem.rego", catalogue.RELEASE / "bounds.rego"],
    )
    survivors, tried = unnoticed(source, others, cases, tmp_path, RELEASE_QUESTION)
    assert survivors == []
    assert tried


CHALLENGER_QUESTION = """package mutation
import data.release.challenger

verdicts[i] := found if {
    some i, sample in input.samples
    found := verdict with input as sample.input
}

verdict := "promote" if challenger.allow

verdict := "insufficient" if challenger.insufficient

verdict := "refuse" if {
    not challenger.allow
    not challenger.insufficient
}
"""


@pytest.mark.tier("rego-mutation")
def test_no_condition_on_challengers_can_be_taken_away_unnoticed(tmp_path):
    source, question = (catalogue.RELEASE / "challenger.rego").read_text(), tmp_path / "question.rego"
    question.write_text(CHALLENGER_QUESTION)
    asked = json.dumps({"samples": samples.challenger()})
    file = tmp_path / "challenger.rego"

    def said(text):
        file.write_text(text)
        return verdicts(["-d", str(file), "-d", str(question)], asked)

    expected = [sample["verdict"] for sample in samples.challenger()]
    assert said(source) == expected
    tried = [(condition, found) for condition, text in mutants(source) if (found := said(text)) is not None]
    assert [condition for condition, found in tried if found == expected] == []
    assert len(tried) > 6


@pytest.mark.tier("rego-mutation")
def test_no_condition_of_the_library_can_be_taken_away_unnoticed(tmp_path):
    rules = [rule.folder / "rule.rego" for rule in RULES.values()]
    survivors, tried = unnoticed((FOLDER / "lib" / "k8s.rego").read_text(), rules, samples.rego(), tmp_path)
    assert survivors == ["not exempt"]  # the rules' own tests try exemptions
    assert tried > 10


def test_a_condition_that_no_sample_needs_is_noticed(tmp_path):
    rule = RULES["K8S-02"]
    source = (rule.folder / "rule.rego").read_text()
    needless = source.replace("some pod in k8s.pods", "some pod in k8s.pods\n\tk8s.reviewed.kind != 7")
    cases = [sample for sample in samples.rego() if sample.rule.id == rule.id]
    survivors, _ = unnoticed(needless, [FOLDER / "lib" / "k8s.rego"], cases, tmp_path)
    assert survivors == ["k8s.reviewed.kind != 7"]
