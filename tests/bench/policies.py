"""`python -m tests.bench.policies [--checkov COMMAND]`: what the policies cost, beside what others cost, in one run.

- 60 workloads from a cold process: `python -m policies check` and checkov on the same YAML;
- CPU for each resource: our analyzer, and the same number of rules as a `ResourceValidationPolicy` each;
- a pass over a preview of prod: the engine's preview with and without the pack, on simulated providers.
checkov is looked for in an environment of its own: `uv venv DIR; uv pip install --python DIR/bin/python checkov`.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import yaml
from google.protobuf import json_format, struct_pb2
from pulumi.runtime.proto import analyzer_pb2
from pulumi_policy import EnforcementLevel, ResourceValidationPolicy
from pulumi_policy.deserialize import serialize_properties
from pulumi_policy.policy import _PolicyAnalyzerServicer

from infra.core import paths
from infra.core.paths import CHECKOUT
from policies import catalogue, interpreter
from policies.analyzer import Analyzer
from policies.aws import types
from policies.catalogue import RegoRule
from policies.model import Resource
from policies.typed import Stack, TypedRule

WORKLOADS = 60
RESOURCES = 300
ROUNDS = 3


def workload(number):
    """A sound Deployment with two containers."""
    labels = {"app": f"a{number}"}
    probe = {"httpGet": {"path": "/", "port": 8080}}
    needs = {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1Gi"}}
    security = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    containers = [
        {
            "name": name,
            "image": "registry.example/a@sha256:" + "0a" * 32,
            "resources": needs,
            "securityContext": security,
            "livenessProbe": probe,
            "readinessProbe": probe,
            "env": [{"name": "LEVEL", "value": "info"}],
        }
        for name in ("main", "side")
    ]
    pod = {"serviceAccountName": "a", "containers": containers}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": f"a{number}", "namespace": "loans"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def cost(command, *, codes=(0,), **options):
    """Wall and CPU seconds of a process and its children."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in codes:
        sys.exit(f"{command[:3]} failed:\n{(done.stdout + done.stderr)[-2000:]}")
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def cold(checkov):
    """Alternating runs on the same file."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "workloads.yaml"
        file.write_text(yaml.safe_dump_all([workload(i) for i in range(WORKLOADS)]))
        ours, theirs = [], []
        for _ in range(ROUNDS):
            ours.append(cost([sys.executable, "-m", "policies", "check", str(file)], cwd=CHECKOUT))
            if checkov:
                command = [*checkov.split(), "-f", str(file), "--framework", "kubernetes", "--quiet", "--compact"]
                theirs.append(cost(command, codes=(0, 1)))
    show(f"{WORKLOADS} workloads, cold process", ours)
    if theirs:
        show("the same by checkov", theirs)
        walls = [statistics.median(wall for wall, _ in each) for each in (ours, theirs)]
        print(f"checkov takes {walls[1] / walls[0]:.1f} times as long")


def show(what, runs):
    wall, cpu = (statistics.median(each) for each in zip(*runs, strict=True))
    print(f"{what}: median of {len(runs)}: {wall:.2f} s wall, {cpu:.2f} s CPU")


def each_resource():
    """CPU of this process and of OPA, over the same requests, by our analyzer and by one policy for each rule."""
    rules = catalogue.all_rules().values()
    typed = {rule.id: partial(judged_by, rule) for rule in rules if isinstance(rule, TypedRule)}
    rego = {rule.id: partial(asked_of_opa, rule) for rule in rules if isinstance(rule, RegoRule)}
    node_group = {"clusterName": "a", "instanceTypes": ["m7i.large"], "scalingConfig": {"minSize": 1, "maxSize": 2}}
    compare(types.EKS_NODE_GROUP, [node_group] * RESOURCES, typed, RESOURCES // 10)
    compare("kubernetes:apps/v1:Deployment", [workload(i) for i in range(RESOURCES)], rego, 1)


def judged_by(rule, args, _report):
    if args.resource_type in rule.types:
        given = Resource(
            urn=args.urn, type=args.resource_type, name=args.name, properties=serialize_properties(args.props)
        )
        rule.findings(given, Stack([given]))


def asked_of_opa(rule, args, _report):
    thing = serialize_properties(args.props)
    question = {"objects": [{"index": 0, "object": thing, "rules": [rule.package]}], "inventory": {}}
    interpreter.ask({**question, "parameters": {rule.package: rule.metadata.parameters}})


def compare(kind, inputs, validations, few):
    """Print CPU for each resource; the separate policies are tried on a few resources only."""
    requests, stack = [], []
    for i, given in enumerate(inputs):
        bag = struct_pb2.Struct()
        json_format.ParseDict(given, bag)
        named = {"urn": f"urn:pulumi:s::p::{kind}::a{i}", "type": kind, "name": f"a{i}", "properties": bag}
        requests.append(analyzer_pb2.AnalyzeRequest(**named))
        stack.append(analyzer_pb2.AnalyzerResource(**named))
    policies = [
        ResourceValidationPolicy(name=rule, description=rule, validate=validate)
        for rule, validate in validations.items()
    ]
    theirs = _PolicyAnalyzerServicer("p", "1.0.0", policies, EnforcementLevel.MANDATORY)

    def by_us():
        ours = Analyzer()
        for request in requests:
            ours.Analyze(request, None)
        ours.AnalyzeStack(analyzer_pb2.AnalyzeStackRequest(resources=stack), None)

    def by_them():
        for request in requests[:few]:
            theirs.Analyze(request, None)

    mine, separate = cpu(by_us) / len(inputs) * 1000, cpu(by_them) / few * 1000
    print(f"CPU for each of {len(inputs)} {kind}: all rules by the analyzer {mine:.2f} ms, {len(policies)} rules as")
    print(f"separate policies {separate:.1f} ms: {separate / mine:.0f} times as much")


def cpu(work):
    """CPU seconds of this process and its children for some work, the least of some rounds."""

    def used():
        usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(usage.ru_utime + usage.ru_stime for usage in usages)

    found = []
    for _ in range(ROUNDS):
        before = used()
        work()
        found.append(used() - before)
    return min(found)


def pass_over(stack):
    """The pack's share of a preview: alternating with and without it, on simulated providers."""
    script = (
        f"for i in 1 2 3; do for pack in '' '--policy-pack {catalogue.PACK}'; do "
        "start=$(date +%s.%N); pulumi preview --non-interactive $pack >/dev/null 2>&1 || exit 1; "
        'end=$(date +%s.%N); echo "$pack $start $end"; done; done'
    )
    environment = [sys.executable, "-m", "tools.env", "--stack", stack, "--"]
    command = [*environment, sys.executable, "-m", "stacks.simulated", "--stack", stack, "--", "sh", "-c", script]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(done.stdout + done.stderr)
    walls = {True: [], False: []}
    for line in done.stdout.splitlines():
        *pack, start, end = line.split()
        walls[bool(pack)].append(float(end) - float(start))
    without, with_pack = (statistics.median(walls[each]) for each in (False, True))
    print(
        f"preview of {stack}: {without:.2f} s without the pack, {with_pack:.2f} s with it: {with_pack - without:.2f} s"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkov", default="", help="how to start checkov; left out without it")
    parser.add_argument("--stack", default="prod")
    given = parser.parse_args()
    os.environ["PATH"] = os.pathsep.join([str(paths.tools_dir() / "bin"), os.environ["PATH"]])
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    each_resource()
    cold(given.checkov)
    pass_over(given.stack)


if __name__ == "__main__":
    main()
