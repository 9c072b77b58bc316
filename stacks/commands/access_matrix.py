"""`python -m stacks.commands.access_matrix --stack prod`: who may do what on AWS, read from the graph of the program.

Nothing is asked of AWS: identifiers are made up by simulated providers; rights and who holds them are the program's.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pulumi_aws import iam
from simulated_pulumi.facts import Facts
from simulated_pulumi.graph import Graph, Resource
from simulated_pulumi.providers import Aws, Computed, Kubernetes, Random
from simulated_pulumi.runner import run

from infra.base import images
from stacks import composition
from stacks.settings import PROJECT, StackFileError, read_on_aws
from stacks.surroundings import Surroundings

WRITES = (
    "Put",
    "Delete",
    "Create",
    "Update",
    "GenerateDataKey",
    "Encrypt",
    "Terminate",
    "Run",
    "Set",
    "Send",
    "Attach",
)
"""Beginnings of actions that change something."""
POD = ("namespace", "service-account")
SECONDS = 60.0


@dataclass(frozen=True, order=True)
class Right:
    """One statement of one role's policies."""

    who: str
    """`pod <namespace>/<service account>`, `service <name>`, `github <subject>`, `node`."""

    allowed: bool

    actions: tuple[str, ...]

    on: tuple[str, ...]
    """ARNs; of a managed policy: its name."""

    only_if: str = ""

    @property
    def access(self) -> str:
        """`r` or `rw`; of a managed policy, which AWS writes, `?`."""
        if not self.actions:
            return "?"
        writes = any(action.split(":", 1)[-1].startswith(WRITES) or action.endswith("*") for action in self.actions)
        return "rw" if writes else "r"


def rights(graph: Graph) -> list[Right]:
    """Everything that the stack's roles may do."""
    found: list[Right] = []
    for role in graph.all(iam.Role):
        for who in holders(role):
            found += [right for each in _inline(graph, role) for right in _statements(who, each)]
            found += [
                Right(who, allowed=True, actions=(), on=(each.inputs["policyArn"].rsplit("/", 1)[-1],))
                for each in graph.all(iam.RolePolicyAttachment)
                if each.inputs["role"] == role.outputs["name"]
            ]
    return sorted(found)


def pods(graph: Graph) -> set[str]:
    """`namespace/service account` of every pod that has a role."""
    held = {who for role in graph.all(iam.Role) for who in holders(role)}
    return {who.removeprefix("pod ") for who in held if who.startswith("pod ")}


def holders(role: Resource) -> list[str]:
    """Who may assume a role: read from its trust, so that a trust of more than was meant shows."""
    return [who for statement in _document(role.inputs["assumeRolePolicy"]) for who in _holders(statement)]


def _holders(statement: Mapping[str, Any]) -> list[str]:
    equal = statement.get("Condition", {}).get("StringEquals", {})
    principal = statement["Principal"]
    if "pods.eks.amazonaws.com" in principal.get("Service", []):
        namespace, account = (equal.get(f"aws:RequestTag/kubernetes-{part}", "*") for part in POD)
        return [f"pod {namespace}/{account}"]
    if "Federated" in principal:
        subjects = next((value for key, value in equal.items() if key.endswith(":sub")), "*")
        return [_holder(each) for each in ([subjects] if isinstance(subjects, str) else subjects)]
    if "ec2.amazonaws.com" in principal.get("Service", []):
        return ["node"]
    return [f"service {', '.join(principal.get('Service', ['*']))}"]


def _holder(subject: str) -> str:
    pod = subject.removeprefix("system:serviceaccount:")
    return f"github {subject}" if pod == subject else f"pod {pod.replace(':', '/')}"


def _inline(graph: Graph, role: Resource) -> Iterable[Mapping[str, Any]]:
    policies = [each for each in graph.all(iam.RolePolicy) if each.inputs["role"] == role.outputs["name"]]
    return [statement for each in policies for statement in _document(each.inputs["policy"])]


def _statements(who: str, statement: Mapping[str, Any]) -> list[Right]:
    conditions = "; ".join(
        f"{key} {test} {value}"
        for test, pairs in statement.get("Condition", {}).items()
        for key, value in pairs.items()
    )
    allowed = statement["Effect"] == "Allow"
    return [Right(who, allowed, tuple(statement["Action"]), tuple(statement["Resource"]), conditions)]


def _document(text: str) -> list[Mapping[str, Any]]:
    statements: list[Mapping[str, Any]] = json.loads(text)["Statement"]
    return statements


def table(found: Sequence[Right]) -> str:
    """Markdown, one line for each right."""
    lines = ["| who | access | actions | on | only if |", "|---|---|---|---|---|"]
    for right in found:
        access = right.access if right.allowed else "never"
        cells = [right.who, access, ", ".join(right.actions) or "by AWS' policy", ", ".join(right.on), right.only_if]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def declared(stack: str) -> Graph:
    """The graph of a stack on AWS; raises StackFileError for another one."""
    settings = read_on_aws(stack)
    if settings is None:
        raise StackFileError(f"Pulumi.{stack}.yaml is of a stack that is not on AWS: it has no roles")
    surroundings = Surroundings(stack=stack, folder=Path("/"), image=_image)
    provider = Aws(account=settings.substrate.account_id, region=settings.substrate.region)
    computed = Computed(provider, Kubernetes(), Random())
    facts = Facts(project=PROJECT, stack=stack, outputs=computed, timeout_seconds=SECONDS)
    return run(partial(composition.declare, settings, surroundings), facts)


def _image(target: images.Target) -> str:
    return f"{target}@sha256:{'0' * 64}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; 2 for a stack that has none."""
    parser = argparse.ArgumentParser(prog="python -m stacks.commands.access_matrix", description=__doc__)
    parser.add_argument("--stack", default="prod")
    try:
        print(table(rights(declared(parser.parse_args(arguments).stack))))  # noqa: T201  what the command is for
    except StackFileError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
