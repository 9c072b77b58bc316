"""Every rule has samples, and every sample gets the verdict that its file says."""

import pytest

from policies import catalogue, samples
from policies.catalogue import RegoRule
from policies.gate import Stack
from policies.model import PolicyError
from policies.typed import TypedRule


@pytest.mark.parametrize("sample", samples.typed(), ids=str)
def test_a_typed_sample_gets_its_verdict(sample):
    violations, undecided = sample.rule.findings(sample.resources[0], Stack(sample.resources))
    assert bool(violations) == (sample.verdict == "disallowed")
    assert undecided == []


def test_every_rule_in_rego_has_samples_of_both_kinds():
    found = {(sample.rule.id, sample.verdict) for sample in samples.rego()}
    assert found == {(rule, verdict) for rule in catalogue.rego_rules() for verdict in samples.VERDICTS}


def test_every_rule_is_in_rego_or_typed_or_about_the_gate_itself():
    others = {rule.id for rule in catalogue.all_rules().values() if not isinstance(rule, RegoRule | TypedRule)}
    assert others == {"POL-01", "POL-02"}
    assert len(catalogue.all_rules()) >= 60


@pytest.mark.parametrize("written", [None, "", "# none yet\n", "kind: Pod\n---\n"])
def test_a_rule_in_rego_without_samples_is_refused(tmp_path, written):
    if written is not None:
        (tmp_path / "allowed.yaml").write_text(written)
    rule = catalogue.rego_rules()["K8S-01"].model_copy(update={"folder": tmp_path})
    with pytest.raises(PolicyError, match=r"allowed\.yaml is missing or empty"):
        list(samples._rego(rule, "allowed"))


def test_a_typed_rule_without_samples_is_refused():
    with pytest.raises(PolicyError, match="AWS-01 has no disallowed sample"):
        samples._required({"AWS-01": {"allowed": [[]]}}, "AWS-01", "disallowed")
