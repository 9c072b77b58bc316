"""The rules in Python: every condition is needed by some sample, and what cannot be read is never passed over."""

import ast
import copy
import dataclasses
import inspect

import pytest

from policies import catalogue, samples, stack
from policies.aws import compute, identity, network, storage, types
from policies.model import UNKNOWN, Resource
from policies.typed import Stack

MODULES = (network, compute, storage, identity, stack)


class Mutation(ast.NodeTransformer):
    """Changes the n-th place that decides something: a condition becomes true, or a part of one is left out."""

    def __init__(self, wanted):
        self.wanted = wanted
        self.seen = -1
        self.what = None

    def _is_next(self, node):
        self.seen += 1
        if self.seen == self.wanted:
            self.what = f"line {node.lineno}: {ast.unparse(node)[:90]}"
        return self.seen == self.wanted

    def visit_If(self, node):
        self.generic_visit(node)
        for value in (True, False):
            if self._is_next(node):
                return ast.If(test=ast.Constant(value=value), body=node.body, orelse=node.orelse)
        return node

    def visit_BoolOp(self, node):
        self.generic_visit(node)
        for i in range(len(node.values)):
            if self._is_next(node):
                left = [value for j, value in enumerate(node.values) if j != i]
                return left[0] if len(left) == 1 else ast.BoolOp(op=node.op, values=left)
        return node


def mutants(module):
    tree = ast.parse(inspect.getsource(module))
    for wanted in range(10_000):
        mutation = Mutation(wanted)
        changed = ast.fix_missing_locations(mutation.visit(copy.deepcopy(tree)))
        if mutation.what is None:
            return
        scope = {"__name__": module.__name__}
        exec(compile(changed, module.__file__, "exec"), scope)
        yield mutation.what, {rule.id: rule for rule in scope["BOOK"].rules}


def leaves(value, path=()):
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*path, key)
            yield from leaves(inner, (*path, key))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield (*path, i)
            yield from leaves(inner, (*path, i))


def without_knowing(value, path):
    """A copy in which the value at a path is unknown."""
    if not path:
        return UNKNOWN
    changed = dict(value) if isinstance(value, dict) else list(value)
    changed[path[0]] = without_knowing(value[path[0]], path[1:])
    return changed


def blurred(sample):
    """The judged resource as it is, and with each of its values unknown in turn."""
    first = sample.resources[0]
    yield first
    for path in leaves(first.properties):
        yield dataclasses.replace(first, properties=without_knowing(first.properties, path))


def verdicts(rule, sample):
    return [verdict(rule, [resource, *sample.resources[1:]]) for resource in blurred(sample)]


def verdict(rule, resources):
    try:
        found, undecided = rule.findings(resources[0], Stack(resources))
    except (TypeError, AttributeError, IndexError, RecursionError) as error:
        return type(error)
    return bool(found), bool(undecided)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_no_condition_can_be_changed_unnoticed(module):
    rules = {rule.id: rule for rule in module.BOOK.rules}
    cases = [sample for sample in samples.typed() if sample.rule.id in rules]
    expected = [verdicts(rules[case.rule.id], case) for case in cases]
    tried = 0
    survivors = []
    for what, changed in mutants(module):
        tried += 1
        if [verdicts(changed[case.rule.id], case) for case in cases] == expected:
            survivors.append(what)
    assert survivors == [], "\n".join(survivors)
    assert tried > 3


def cluster(**network_):
    return Resource(urn="urn:pulumi:s::p::t::c", type=types.EKS_CLUSTER, name="c", properties={"vpcConfig": network_})


def found(rule, resource):
    violations, undecided = catalogue.all_rules()[rule].findings(resource, Stack([resource]))
    return [each.message for each in violations], [each.message for each in undecided]


def test_unknown_value_is_neither_a_violation_nor_a_pass():
    unknown = cluster(endpointPublicAccess=UNKNOWN)
    assert found("AWS-01", unknown) == ([], ["vpcConfig.endpointPublicAccess is not known yet"])


def test_what_is_known_is_decided_beside_an_unknown_element():
    group = Resource(
        urn="u",
        type=types.EC2_SECURITY_GROUP,
        name="g",
        properties={
            "ingress": [
                {"fromPort": 22, "toPort": 22, "protocol": "tcp", "cidrBlocks": [UNKNOWN]},
                {"fromPort": 22, "toPort": 22, "protocol": "tcp", "cidrBlocks": ["0.0.0.0/0"]},
            ]
        },
    )
    violations, undecided = found("AWS-12", group)
    assert violations == ["ingress.1 opens administration ports to the internet"]
    assert undecided == ["ingress.0.cidrBlocks.0 is not known yet"]


def test_a_key_that_the_stack_makes_is_its_own_before_it_is_known():
    source = f"urn:pulumi:s::p::mlplatform:index:Store${types.KMS_KEY}::k"
    secret = Resource(urn="u", type=types.SECRETSMANAGER_SECRET, name="s", properties={"kmsKeyId": UNKNOWN})
    assert found("SEC-01", secret) == ([], ["kmsKeyId is not known yet"])
    assert found("SEC-01", dataclasses.replace(secret, depends={"kmsKeyId": (source,)})) == ([], [])


@pytest.mark.parametrize("value", ["false", 0, [], {"a": 1}])
def test_a_property_of_the_wrong_type_is_a_violation_that_names_it(value):
    violations, undecided = found("AWS-01", cluster(endpointPublicAccess=value))
    assert violations == [f"vpcConfig.endpointPublicAccess must be a boolean, not {type(value).__name__}"]
    assert undecided == []


@pytest.mark.parametrize("policy", ["{", '{"Version": "2012-10-17"}', "[]"])
def test_a_policy_document_that_is_none_is_a_violation(policy):
    resource = Resource(urn="u", type=types.IAM_POLICY, name="p", properties={"policy": policy})
    violations, _ = found("IAM-01", resource)
    assert len(violations) == 1
    assert "policy document" in violations[0]


DISALLOWED = [sample for sample in samples.typed() if sample.verdict == "disallowed"]


@pytest.mark.parametrize("sample", DISALLOWED, ids=str)
def test_a_violation_never_disappears_silently_behind_an_unknown(sample):
    for resource in blurred(sample):
        violations, undecided = sample.rule.findings(resource, Stack([resource, *sample.resources[1:]]))
        assert violations or undecided, resource.properties


@pytest.mark.parametrize("sample", [s for s in samples.typed() if s.verdict == "allowed"], ids=str)
def test_an_unknown_never_makes_a_violation_of_what_is_allowed(sample):
    for resource in blurred(sample):
        violations, _ = sample.rule.findings(resource, Stack([resource, *sample.resources[1:]]))
        assert violations == [], resource.properties
