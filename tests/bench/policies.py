"""`python -m tests.bench.policies [--checkov COMMAND]`: what the policies cost, beside what others cost, in one run.

- 60 workloads from a cold process: `python -m policies check` and checkov on the same YAML;
- CPU for each resource of a stack: our analyzer, and the same rules as a `ResourceValidationPolicy` each, where Rego
  asks OPA about each resource that it is for;
- the pass over that stack: a cold process of the pack, as the engine starts it for a preview.
checkov is looked for in an environment of its own: `uv venv DIR; uv pip install --python DIR/bin/python checkov`.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import grpc
import yaml
from google.protobuf import empty_pb2, json_format, struct_pb2
from pulumi.runtime.proto import analyzer_pb2, analyzer_pb2_grpc
from pulumi_policy import EnforcementLevel, ResourceValidationPolicy
from pulumi_policy.deserialize import serialize_properties
from pulumi_policy.policy import _PolicyAnalyzerServicer

from infra.base import paths
from infra.base.paths import CHECKOUT
from policies import catalogue, interpreter, kinds
from policies.analyzer import Analyzer
from policies.catalogue import RegoRule
from policies.model import Resource
from policies.typed import Stack, TypedRule

WORKLOADS = 60
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


def each_resource(stack, resources, every):
    """CPU of this process and of OPA over the resources of a stack, by our analyzer and by one policy for each rule."""
    rules = catalogue.all_rules().values()
    validations = {rule.id: partial(judged_by, rule) for rule in rules if isinstance(rule, TypedRule)}
    validations |= {rule.id: partial(asked_of_opa, rule) for rule in rules if isinstance(rule, RegoRule)}
    policies = [
        ResourceValidationPolicy(name=rule, description=rule, validate=validate)
        for rule, validate in validations.items()
    ]
    theirs = _PolicyAnalyzerServicer("p", "1.0.0", policies, EnforcementLevel.MANDATORY)
    requests = [analyzer_pb2.AnalyzeRequest(**each) for each in resources]

    def by_us():
        ours = Analyzer()
        for request in requests:
            ours.Analyze(request, None)
        whole = [analyzer_pb2.AnalyzerResource(**each) for each in resources]
        ours.AnalyzeStack(analyzer_pb2.AnalyzeStackRequest(resources=whole), None)

    def by_them():
        for request in requests[::every]:
            theirs.Analyze(request, None)

    mine, separate = cpu(by_us) / len(requests), cpu(by_them, rounds=1) / len(requests[::every])
    print(f"CPU for each of the {len(requests)} resources of {stack}: {mine * 1000:.2f} ms by the analyzer;")
    print(
        f"{separate * 1000:.0f} ms by {len(policies)} separate policies (every {every}th resource): "
        f"{separate / mine:.0f} times as much"
    )


def planned(stack):
    """What the engine hands to an analyzer at a preview of a stack on simulated providers."""
    script = "pulumi preview --json --show-sames --non-interactive"
    environment = [sys.executable, "-m", "tools.env", "--stack", stack, "--"]
    command = [
        *environment,
        sys.executable,
        "-m",
        "stacks.commands.simulated",
        "--stack",
        stack,
        "--",
        "sh",
        "-c",
        script,
    ]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(done.stdout[-2000:] + done.stderr[-2000:])
    for step in json.loads(done.stdout)["steps"]:
        bag = struct_pb2.Struct()
        json_format.ParseDict(step["newState"].get("inputs", {}), bag)
        urn = step["urn"]
        yield {"urn": urn, "type": step["newState"]["type"], "name": urn.rpartition("::")[2], "properties": bag}


def judged_by(rule, args, _report):
    if args.resource_type in rule.types:
        given = Resource(
            urn=args.urn, type=args.resource_type, name=args.name, properties=serialize_properties(args.props)
        )
        rule.findings(given, Stack([given]))


def asked_of_opa(rule, args, _report):
    thing = kinds.manifest(args.resource_type, serialize_properties(args.props))
    if thing is not None and kinds.matches(rule.metadata.kinds, thing["kind"], thing["apiVersion"]):
        question = {"objects": [{"index": 0, "object": thing, "rules": [rule.package]}], "inventory": {}}
        interpreter.ask({**question, "parameters": {rule.package: rule.metadata.parameters}})


def cpu(work, rounds=ROUNDS):
    """CPU seconds of this process and its children for some work, the least of some rounds."""

    found = []
    for _ in range(rounds):
        before = used()
        work()
        found.append(used() - before)
    return min(found)


def pass_over(stack, resources):
    """The pack's process from its start to its verdict, asked as the engine asks it."""
    runs = []
    for _ in range(ROUNDS):
        before, start = used(), time.perf_counter()
        with subprocess.Popen([sys.executable, str(catalogue.PACK)], cwd=CHECKOUT, stdout=subprocess.PIPE) as process:
            with grpc.insecure_channel(f"127.0.0.1:{int(process.stdout.readline())}") as channel:
                pack = analyzer_pb2_grpc.AnalyzerStub(channel)
                pack.GetAnalyzerInfo(empty_pb2.Empty())
                for each in resources:
                    pack.Analyze(analyzer_pb2.AnalyzeRequest(**each))
                whole = [analyzer_pb2.AnalyzerResource(**each) for each in resources]
                pack.AnalyzeStack(analyzer_pb2.AnalyzeStackRequest(resources=whole))
            wall = time.perf_counter() - start
            process.terminate()
        runs.append((wall, used() - before))
    show(f"the whole pass over the preview of {stack}, with the pack's start", runs)


def used():
    """CPU seconds of this process and of its children that ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkov", default="", help="how to start checkov; left out without it")
    parser.add_argument("--stack", default="prod")
    parser.add_argument("--every", type=int, default=10, help="the separate policies judge every n-th resource")
    given = parser.parse_args()
    os.environ["PATH"] = os.pathsep.join([str(paths.tools_dir() / "bin"), os.environ["PATH"]])
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    resources = list(planned(given.stack))
    each_resource(given.stack, resources, given.every)
    pass_over(given.stack, resources)
    cold(given.checkov)


if __name__ == "__main__":
    main()
