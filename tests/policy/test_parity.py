"""The same samples get the same verdict wherever a rule in Rego runs: in the gate, in gator, and at admission."""

import copy
import datetime as dt
import hashlib
import json
import subprocess

import pytest
import yaml

from policies import catalogue, gatekeeper, kinds, opa, samples
from policies.model import Resource
from policies.settings import PolicySettings

ANY_DAY = dt.date(2026, 1, 1)


@pytest.fixture(scope="module")
def templates():
    return dict(zip(catalogue.rego_rules(), gatekeeper.templates(), strict=True))


def constraint(sample):
    """The constraint of a sample's rule with the sample's parameters, on every object."""
    changed = {key: value for key, value in sample.parameters.items() if key != "exempt"}
    settings = PolicySettings(parameters={sample.rule.id: changed})
    made = gatekeeper.constraints(settings, [], {}, "", ANY_DAY)
    found = copy.deepcopy(next(each for each in made if each["kind"] == gatekeeper.kind(sample.rule)))
    found["spec"]["match"] = {}
    found["spec"]["enforcementAction"] = "deny"
    return found


def named(objects):
    """Gator and the API server know no objects without names."""
    found = copy.deepcopy(objects)
    for i, each in enumerate(found):
        each.setdefault("metadata", {}).setdefault("name", f"sample-{i}")
    return found


@pytest.mark.parametrize("sample", samples.rego(), ids=str)
def test_the_gate_agrees(sample, gate_findings):
    assert (str(sample) in gate_findings) == (sample.verdict == "disallowed")


@pytest.fixture(scope="module")
def gate_findings():
    """The samples in which the gate's own evaluation finds a violation of the sample's rule."""
    found = set()
    for some in batches():
        objects = [(_resource(each), each) for sample in some for each in sample.objects]
        violations, _ = opa.evaluate(objects, {sample.rule.id: sample.parameters for sample in some})
        broken = {(each.rule, each.resource) for each in violations}
        found |= {str(each) for each in some if (each.rule.id, _resource(each.objects[0]).urn) in broken}
    return found


def batches():
    """Samples that one evaluation judges: a rule has one set of parameters, and neighbours only where it reads some."""
    found, variants = {}, {}
    for sample in samples.rego():
        known = variants.setdefault(sample.rule.id, [])
        if sample.parameters not in known:
            known.append(sample.parameters)
        key = str(sample) if sample.rule.metadata.inventory else known.index(sample.parameters)
        found.setdefault(key, []).append(sample)
    return found.values()


def _resource(thing):
    return Resource(urn=kinds.identity(thing) + str(id(thing)), type="", name="", properties=thing)


ALONE = [sample for sample in samples.rego() if not sample.rule.metadata.inventory]


def test_gator_agrees(templates, tmp_path, gator):
    """One run, which compiles each rule once, puts every object before every rule, with each set of parameters."""
    constraints, asked = {}, {}
    for sample in ALONE:
        made = constraint(sample)
        name = f"{sample.rule.id.lower()}-{hashlib.sha256(written(sample.parameters).encode()).hexdigest()[:8]}"
        made["metadata"]["name"] = name
        constraints[name] = made
        asked[str(sample)] = name, written(named(sample.objects)[0])
    objects = {text for _, text in asked.values()}
    rules = {sample.rule.id for sample in ALONE}
    documents = [*map(written, [*(templates[rule] for rule in rules), *constraints.values()]), *objects]
    (tmp_path / "all.yaml").write_text("\n---\n".join(documents))
    command = [gator, "test", "--output=json", f"--filename={tmp_path / 'all.yaml'}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = {
        (each["constraint"]["metadata"]["name"], written(each["violatingObject"])) for each in json.loads(done.stdout)
    }
    verdicts = {name: "disallowed" if pair in found else "allowed" for name, pair in asked.items()}
    assert verdicts == {str(sample): sample.verdict for sample in ALONE}, done.stderr


def written(value):
    return json.dumps(value, sort_keys=True)


def test_gator_agrees_where_a_rule_reads_neighbours(templates, tmp_path, gator):
    near = [sample for sample in samples.rego() if sample not in ALONE]
    suite = {"apiVersion": "test.gatekeeper.sh/v1alpha1", "kind": "Suite", "metadata": {"name": "samples"}, "tests": []}
    for sample in near:
        files = {"template": templates[sample.rule.id], "constraint": constraint(sample)}
        first, *others = named(sample.objects)
        files |= {"object": first} | {f"other-{i}": each for i, each in enumerate(others)}
        for name, content in files.items():
            (tmp_path / f"{sample}-{name}.yaml").write_text(yaml.safe_dump(content))
        case = {
            "name": str(sample),
            "object": f"{sample}-object.yaml",
            "inventory": [f"{sample}-other-{i}.yaml" for i in range(len(others))],
            "assertions": [{"violations": "yes" if sample.verdict == "disallowed" else "no"}],
        }
        suite["tests"].append(
            {
                "name": str(sample),
                "template": f"{sample}-template.yaml",
                "constraint": f"{sample}-constraint.yaml",
                "cases": [case],
            }
        )
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump(suite))
    command = [gator, "verify", str(tmp_path / "suite.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, "\n".join(
        line for line in (done.stdout + done.stderr).splitlines() if not line.lstrip().startswith(("--- PASS", "PASS"))
    )
    assert len(suite["tests"]) > 10


def test_gator_is_given_samples_it_can_refuse(templates, tmp_path, gator):
    """A suite that says the opposite fails, so that agreement means something."""
    sample = next(each for each in samples.rego() if each.verdict == "disallowed")
    for name, content in {
        "template": templates[sample.rule.id],
        "constraint": constraint(sample),
        "object": named(sample.objects)[0],
        "suite": {
            "apiVersion": "test.gatekeeper.sh/v1alpha1",
            "kind": "Suite",
            "metadata": {"name": "wrong"},
            "tests": [
                {
                    "name": "wrong",
                    "template": "template.yaml",
                    "constraint": "constraint.yaml",
                    "cases": [{"name": "a", "object": "object.yaml", "assertions": [{"violations": "no"}]}],
                }
            ],
        },
    }.items():
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(content))
    command = [gator, "verify", str(tmp_path / "suite.yaml")]
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0
