"""Levels, exemptions, unknown values and bad input: what the gate makes of what rules find."""

import dataclasses
import datetime as dt
import json
import shutil

import pytest
import yaml

from policies import builtin, catalogue, exemptions, gate, interpreter, kinds, opa, report, samples
from policies.aws import types
from policies.exemptions import Exemption
from policies.model import UNKNOWN, PolicyError, Resource
from policies.settings import PolicySettings, parse

TODAY = dt.date(2026, 3, 14)
URN = "urn:pulumi:dev::mlplatform::aws:eks/nodeGroup:NodeGroup::nodes"
OPEN = Resource(
    urn=URN,
    type=types.EKS_NODE_GROUP,
    name="nodes",
    properties={
        "instanceTypes": ["m7i.large"],
        "launchTemplate": {"id": "a"},
        "remoteAccess": {"ec2SshKey": "key"},
    },
)
POD = {
    "kind": "Role",
    "metadata": {"name": "reader", "namespace": "loans"},
    "rules": [{"apiGroups": [""], "resources": ["*"], "verbs": ["get"]}],
}


def judged(*resources, exempt=(), settings=None, today=TODAY, stack="dev"):
    return gate.judge(resources, settings or PolicySettings(), exempt, today, stack=stack)


def broken(report):
    return [(each.finding.rule, each.level) for each in report.violations]


def exemption(**changes):
    entry = {"rule": "AWS-06", "resource": URN, "reason": "a bastion that goes in spring", "owner": "ml-team"}
    return Exemption.model_validate({**entry, "expiry": TODAY, **changes})


def resource(thing):
    thing = kinds.complete(thing)
    token = f"kubernetes:{thing['apiVersion']}:{thing['kind']}"
    return Resource(urn=f"urn:pulumi:dev::mlplatform::{token}::{thing['kind']}", type=token, name="a", properties=thing)


def test_a_broken_rule_fails_the_command():
    report = judged(OPEN)
    assert broken(report) == [("AWS-06", "mandatory")]
    assert report.failed


def test_advisory_rule_of_the_stack_file_is_shown_and_fails_nothing():
    report = judged(OPEN, settings=PolicySettings(levels={"AWS-06": "advisory"}))
    assert broken(report) == [("AWS-06", "advisory")]
    assert not report.failed


def test_an_advisory_violation_hides_no_mandatory_one():
    report = judged(OPEN, resource(POD), settings=PolicySettings(levels={"AWS-06": "advisory"}))
    assert broken(report) == [("AWS-06", "advisory"), ("K8S-13", "mandatory")]
    assert report.failed


def test_a_stack_without_violations_passes():
    report = judged()
    assert (broken(report), report.failed) == ([], False)


def test_an_exemption_is_used_on_its_last_day_and_the_use_is_reported():
    report = judged(OPEN, exempt=[exemption()])
    assert not report.violations
    assert [(each.owner, finding.resource) for each, finding in report.exempted] == [("ml-team", URN)]


def test_an_expired_exemption_exempts_nothing_and_is_a_violation():
    report = judged(OPEN, exempt=[exemption(expiry=TODAY - dt.timedelta(days=1))])
    assert broken(report) == [("AWS-06", "mandatory"), ("POL-01", "mandatory")]
    assert "has expired" in report.violations[1].finding.message


def test_an_exemption_that_exempts_nothing_is_a_violation():
    report = judged(exempt=[exemption()])
    assert broken(report) == [("POL-01", "mandatory")]
    assert "exempts nothing" in report.violations[0].finding.message


@pytest.mark.parametrize(("days", "rules"), [(0, []), (1, [("POL-01", "mandatory")])])
def test_an_unused_exemption_of_a_step_is_a_violation_once_expired(days, rules):
    unused = exemption(rule=builtin.DESTRUCTION, expiry=TODAY - dt.timedelta(days=days))
    assert broken(judged(exempt=[unused])) == rules


def test_an_exemption_of_another_stack_is_neither_used_nor_missed():
    other = exemption(resource=URN.replace(":dev:", ":prod:"))
    assert broken(judged(OPEN, exempt=[other])) == [("AWS-06", "mandatory")]
    named = exemption(rule="K8S-13", resource="Role/loans/reader", stacks=["prod"])
    assert broken(judged(resource(POD), exempt=[named])) == [("K8S-13", "mandatory")]


def test_an_exemption_may_name_a_kubernetes_object():
    report = judged(resource(POD), exempt=[exemption(rule="K8S-13", resource="Role/loans/reader")])
    assert not report.violations
    assert len(report.exempted) == 1


def test_an_exemption_covers_one_rule_on_one_resource_only():
    report = judged(OPEN, exempt=[exemption(rule="AWS-15")])
    assert broken(report) == [("AWS-06", "mandatory"), ("POL-01", "mandatory")]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"rule": "AWS-99"}, "there is no rule 'AWS-99'; rules are AWS-01"),
        ({"expiry": "soon"}, "expiry: Input should be a valid date"),
        ({"expiry": "2026-02-30"}, "expiry: Input should be a valid date"),
        ({"rule": "REL-02"}, "REL-02 judges trained models: only a commit to its folder"),
        ({"owner": ""}, "owner: String should have at least 1 character"),
        ({"reason": "because"}, "reason: String should have at least 10 characters"),
        ({"until": "2026-01-01"}, "until: Extra inputs are not permitted"),
    ],
)
def test_a_bad_exemption_is_refused_with_file_entry_and_field(tmp_path, entry, said):
    file = tmp_path / "exemptions.yaml"
    good = exemption().model_dump(mode="json", exclude={"stacks"})
    file.write_text(yaml.safe_dump([good, {**good, **entry}]))
    with pytest.raises(PolicyError, match=r"exemptions\.yaml, entry 2: ") as error:
        exemptions.load(file)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "is no YAML"),
        ("rule: AWS-01", "must hold a list"),
        ("- {expiry: 2026-02-30}", "is no YAML: day is out of range for month"),
    ],
)
def test_a_file_that_is_no_list_of_exemptions_is_refused(tmp_path, text, said):
    file = tmp_path / "exemptions.yaml"
    file.write_text(text)
    with pytest.raises(PolicyError, match=said):
        exemptions.load(file)


def test_the_projects_own_stacks_have_no_exemption():
    assert exemptions.load() == []


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ({"levels": {"K8S-99": "advisory"}}, "there is no rule 'K8S-99'"),
        ({"levels": {"K8S-01": "off"}}, "levels.K8S-01: Input should be 'mandatory' or 'advisory'"),
        ({"parameters": {"K8S-01": {"registries": []}}}, "K8S-01 has no parameter 'registries'; it has none"),
        ({"parameters": {"K8S-11": {"registries": "ghcr.io"}}}, "K8S-11.registries must be a list"),
        ({"level": {}}, "level: Extra inputs are not permitted"),
        ("strict", "Input should be a valid dictionary"),
    ],
)
def test_a_bad_block_of_a_stack_file_is_refused_with_its_key(block, said):
    with pytest.raises(PolicyError, match="mlplatform:policies:") as error:
        parse(block)
    assert said in str(error.value)


def test_the_parameters_of_a_stack_reach_the_rules():
    service = resource(
        {"kind": "Service", "metadata": {"name": "gateway", "namespace": "edge"}, "spec": {"type": "LoadBalancer"}}
    )
    assert broken(judged(service)) == [("K8S-18", "mandatory")]
    allowed = PolicySettings(parameters={"K8S-18": {"load_balancers": ["edge/gateway"]}})
    assert judged(service, settings=allowed).violations == []


def container(**changes):
    metadata = {"name": "a", "namespace": "loans"}
    return resource({"kind": "Pod", "metadata": metadata, "spec": {"containers": [{"name": "main", **changes}]}})


def of(rule, report):
    violations = [each.finding.message for each in report.violations if each.finding.rule == rule]
    return violations, [each.message for each in report.undecided if each.rule == rule]


def test_an_unknown_image_is_undecided_and_no_violation():
    violations, undecided = of("K8S-11", judged(container(image=UNKNOWN)))
    assert violations == []
    assert undecided == ["spec.containers.0.image is not known yet"]


def test_what_is_unknown_elsewhere_leaves_a_rule_decided():
    violations, undecided = of("K8S-11", judged(container(image="nginx", args=[UNKNOWN])))
    assert violations == ["spec.containers.0.image nginx is not pinned"]
    assert undecided == []


def test_one_container_is_judged_although_another_is_unknown():
    pod = container(image=UNKNOWN)
    pod.properties["spec"]["containers"].append({"name": "side", "image": "nginx"})
    violations, undecided = of("K8S-11", judged(pod))
    assert violations == ["spec.containers.1.image nginx is not pinned"]
    assert undecided == ["spec.containers.0.image is not known yet"]


def test_an_unknown_pod_specification_leaves_no_rule_on_pods_decided():
    report = judged(resource({"kind": "Deployment", "metadata": {"name": "a", "namespace": "b"}, "spec": UNKNOWN}))
    assert report.violations == []
    undecided = {each.rule for each in report.undecided}
    assert {f"K8S-{number:02}" for number in (*range(1, 13), 19, 20, 22)} <= undecided


def test_rule_over_other_objects_waits_until_they_are_known():
    policy = {"podSelector": UNKNOWN, "policyTypes": ["Ingress", "Egress"]}
    report = judged(
        resource({"kind": "Namespace", "metadata": {"name": "loans"}}),
        resource({"kind": "NetworkPolicy", "metadata": {"name": "deny", "namespace": "loans"}, "spec": policy}),
    )
    violations, undecided = of("K8S-15", report)
    assert violations == []
    assert undecided


def leaves(value, path=()):
    if isinstance(value, dict):
        for key, inner in value.items():
            if key not in ("apiVersion", "kind"):
                yield (*path, key)
                yield from leaves(inner, (*path, key))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield (*path, i)
            yield from leaves(inner, (*path, i))


def without_knowing(value, path):
    if not path:
        return UNKNOWN
    changed = dict(value) if isinstance(value, dict) else list(value)
    changed[path[0]] = without_knowing(value[path[0]], path[1:])
    return changed


ALONE = [each for each in samples.rego() if len(each.objects) == 1]


def together(rule):
    """Samples of a rule that one evaluation judges: with the same parameters, and alone where it reads neighbours."""
    found = {}
    for sample in ALONE:
        if sample.rule.id == rule:
            key = str(sample) if sample.rule.metadata.inventory else json.dumps(sample.parameters, sort_keys=True)
            found.setdefault(key, []).append(sample)
    return found.values()


@pytest.mark.parametrize("rule", sorted({each.rule.id for each in ALONE}))
def test_verdict_in_rego_never_turns_silently_with_unknown_values(rule):
    """Every value of every sample is unknown in turn: a violation may become undecided, a pass no violation."""
    for some in together(rule):
        asked = [
            (sample, path, without_knowing(sample.objects[0], path))
            for sample in some
            for path in leaves(sample.objects[0])
            if path[:2] != ("metadata", "annotations")
        ]
        objects = [
            (Resource(urn=f"{i}", type="", name="", properties=thing), thing) for i, (*_, thing) in enumerate(asked)
        ]
        violations, undecided = opa.evaluate(objects, {rule: some[0].parameters})
        hit = {each.resource for each in violations if each.rule == rule}
        open_ = {each.resource for each in undecided if each.rule == rule}
        for i, (sample, path, _) in enumerate(asked):
            if sample.verdict == "disallowed":
                assert f"{i}" in hit | open_, (str(sample), path)
            else:
                assert f"{i}" not in hit, (str(sample), path)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("nothing", "K8S-22 spec must be object, not string"),
        ({"containers": "nginx"}, "K8S-22 spec.containers must be array, not string"),
        ({"containers": ["nginx"]}, "K8S-22 spec.containers.0 must be an object with a name"),
        ({}, "K8S-22 spec.containers is missing"),
        (
            {"containers": [{"name": "a", "securityContext": "strict"}]},
            "K8S-22 spec.containers.0.securityContext must be",
        ),
        ({"containers": [{"name": "a", "env": "A=b"}]}, "K8S-22 spec.containers.0.env must be array, not string"),
    ],
)
def test_object_of_the_wrong_shape_is_refused_and_not_skipped(spec, said):
    report = judged(resource({"kind": "Pod", "metadata": {"name": "a", "namespace": "b"}, "spec": spec}))
    lines = [f"{each.finding.rule} {each.finding.message}" for each in report.violations]
    assert any(line.startswith(said) for line in lines), lines


def test_a_sound_object_beside_a_malformed_one_keeps_its_verdict():
    report = judged(container(image="nginx"), resource({"kind": "Pod", "spec": {"containers": ["nginx"]}}))
    assert "spec.containers.0.image nginx is not pinned" in of("K8S-11", report)[0]


@pytest.fixture
def rules(tmp_path, monkeypatch):
    """A copy of the rules that a test may break."""
    folder = tmp_path / "policies"
    shutil.copytree(catalogue.FOLDER, folder, ignore=shutil.ignore_patterns("__pycache__"))
    for module in (catalogue, interpreter):
        monkeypatch.setattr(module, "FOLDER", folder)
        monkeypatch.setattr(module, "RULES", folder / "rules")
    catalogue.rego_rules.cache_clear()
    yield folder / "rules"
    catalogue.rego_rules.cache_clear()


def test_broken_rego_is_an_error_that_names_file_and_line(rules):
    (rules / "k8s-01-privileged" / "rule.rego").write_text("package rules.k8s_01\n\nviolation contains if {\n")
    with pytest.raises(PolicyError, match=r"opa refuses the rules: .*rule\.rego:3: "):
        judged(container())


def test_a_rule_without_metadata_is_an_error(rules):
    (rules / "k8s-01-privileged" / "metadata.yaml").unlink()
    with pytest.raises(PolicyError, match=r"metadata\.yaml is missing: every rule has one"):
        catalogue.rego_rules(rules)


@pytest.mark.parametrize(
    ("line", "change", "said"),
    [
        ("severity: high", "severity: grave", "severity: Input should be 'critical'"),
        ("severity: high", "severities: high", "severities: Extra inputs"),
        ("kinds: pods", "kinds: podz", "there is no group of kinds 'podz'; groups are all,"),
    ],
)
def test_bad_metadata_is_an_error_that_names_file_and_field(rules, line, change, said):
    file = rules / "k8s-01-privileged" / "metadata.yaml"
    file.write_text(file.read_text().replace(line, change))
    with pytest.raises(PolicyError, match=r"k8s-01-privileged/metadata\.yaml: ") as error:
        catalogue.rego_rules(rules)
    assert said in str(error.value)


@pytest.mark.parametrize("text", ["package rules.k8s_99\n", "", None])
def test_rego_package_that_differs_from_its_folder_is_an_error(rules, text):
    file = rules / "k8s-01-privileged" / "rule.rego"
    file.unlink() if text is None else file.write_text(text)
    with pytest.raises(PolicyError, match=r"rule\.rego must be there and begin with `package rules\.k8s_01`"):
        catalogue.rego_rules(rules)


@pytest.mark.parametrize("name", ["privileged", "k8s-one-privileged", "k8s-01"])
def test_a_folder_whose_name_is_no_id_is_an_error(rules, name):
    (rules / name).mkdir()
    with pytest.raises(PolicyError, match=r"the name must be <group>-<number>-<slug>"):
        catalogue.rego_rules(rules)


def test_two_rules_with_one_id_are_an_error(rules):
    shutil.copytree(rules / "k8s-01-privileged", rules / "k8s-01-twice")
    with pytest.raises(PolicyError, match=r"K8S-01 is the rule in .* already"):
        catalogue.rego_rules(rules)


def test_a_missing_opa_is_an_error_with_the_way_out(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(PolicyError, match="opa is not on PATH: run `make install`"):
        judged(container())


def test_a_resource_without_properties_is_judged_by_what_is_missing():
    report = judged(dataclasses.replace(OPEN, type=types.KMS_KEY, properties={}))
    assert broken(report) == [("KMS-01", "mandatory")]


def test_a_report_survives_being_written_and_read():
    verdict = judged(OPEN, container(image=UNKNOWN), exempt=[exemption()])
    assert report.from_json(report.as_json(verdict)) == verdict
    assert json.loads(report.as_json(verdict))["failed"] is True


def test_object_is_judged_in_the_namespace_that_its_own_derives_from():
    namespace = resource({"kind": "Namespace", "metadata": {"name": "loans"}})
    unknown = resource({"kind": "ConfigMap", "metadata": {"name": "a", "namespace": UNKNOWN}, "data": {}})
    placed = dataclasses.replace(unknown, depends={"metadata": [namespace.urn]})
    assert of("K8S-21", judged(namespace, unknown)) == ([], ["metadata.namespace is not known yet"])
    assert of("K8S-21", judged(namespace, placed)) == ([], [])


def test_unknown_neighbour_matters_only_if_it_could_clear_the_object():
    names = {"namespace": "loans"}
    deny = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    namespace = resource({"kind": "Namespace", "metadata": {"name": "loans"}})
    clear = resource({"kind": "NetworkPolicy", "metadata": {"name": "deny", **names}, "spec": deny})
    unclear = resource({"kind": "NetworkPolicy", "metadata": {"name": "b", **names}, "spec": {"podSelector": UNKNOWN}})
    elsewhere = resource(
        {"kind": "NetworkPolicy", "metadata": {"name": "b", "namespace": "c"}, "spec": {"podSelector": UNKNOWN}}
    )
    assert of("K8S-15", judged(namespace, clear, unclear)) == ([], [])
    assert of("K8S-15", judged(namespace, unclear)) == ([], ["what it is compared with is not known yet"])
    assert len(of("K8S-15", judged(namespace, elsewhere))[0]) == 2
