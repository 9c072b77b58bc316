"""The rules on every Kubernetes object of the prod stack as it is once AWS has answered, as its admission sees it."""

from policies import exemptions, gate
from policies.model import Resource
from stacks.access_matrix import declared
from tests.prod import TODAY, settings


def test_the_prod_stack_breaks_no_mandatory_rule_when_every_value_is_known():
    objects = [
        Resource(
            urn=each.urn,
            type=each.type,
            name=each.name,
            properties=each.inputs,
            # Of a Secret's data: names of files hold dots, too.
            secrets=frozenset(tuple(path.split(".", maxsplit=1)) for path in each.secret_inputs),
        )
        for each in declared("prod").resources
        if each.type.startswith("kubernetes:")
    ]
    report = gate.judge(objects, settings().policies, exemptions.load(), TODAY, stack="prod")
    assert len(objects) > 200
    broken = {(each.finding.rule, each.finding.message) for each in report.violations if each.level == "mandatory"}
    assert broken == set()
