"""Samples that others wrote: those of trivy's checks, each refused, allowed, or sorted out with a reason."""

import pytest
import yaml
from pytest_pulumi_kubernetes import MissingToolError

from infra.base.paths import CHECKOUT
from policies import catalogue, kinds, opa
from policies.model import Resource

from . import trivy

TABLE = yaml.safe_load((CHECKOUT / "tests" / "policy" / "trivy.yaml").read_text())


def ours():
    """Check of trivy to the rules that carry it out."""
    found = {}
    for rule in catalogue.rego_rules().values():
        for check in rule.metadata.frameworks.get("Trivy", "").split():
            found.setdefault(check, set()).add(rule.id)
    return found


@pytest.fixture(scope="module")
def theirs(kube_tools):
    try:
        return trivy.samples(kube_tools.archive(trivy.MODULE, trivy.VERSION, trivy.SUM))
    except MissingToolError as error:
        pytest.skip(str(error))


def test_every_check_of_trivy_is_implemented_or_has_a_reason(theirs):
    left = {each.check for each in theirs} - set(ours())
    sorted_out = {check for check in left if check in TABLE["not_ours"] or check.startswith("KCV-")}
    assert left - sorted_out == set()
    assert set(TABLE["not_ours"]) - {"KCV"} == {check for check in left if not check.startswith("KCV-")}


def test_trivys_samples_get_the_verdicts_that_trivy_or_the_table_says(theirs):
    rules = ours()
    judged = [each for each in theirs if each.check in rules]
    objects = [
        (Resource(urn=f"{i}", type="", name="", properties=thing), thing)
        for i, thing in enumerate(kinds.complete(dict(each.thing)) for each in judged)
    ]
    hit = {(int(each.resource), each.rule) for each in opa.evaluate(objects, {})[0]}
    stricter, looser = {}, {}
    for i, each in enumerate(judged):
        refused = any((i, rule) in hit for rule in rules[each.check])
        if refused is not each.refused:
            (stricter if refused else looser).setdefault(each.check, []).append(each.name)
    assert {check: names for check, names in looser.items() if check not in TABLE["looser"]} == {}
    assert {check: names for check, names in stricter.items() if check not in TABLE["stricter"]} == {}
    assert (set(TABLE["looser"]), set(TABLE["stricter"])) == (set(looser), set(stricter))
    assert sum(map(len, looser.values())) == 3
    assert len(judged) > 150
