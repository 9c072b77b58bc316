"""What a stack declares once everything is known: AWS, the cluster and random values answer in a simulation.

No engine runs and no account is asked; ids, names and ARNs are made in the services' own form, so that validators can
judge what refers to them.
"""

import datetime as dt
import gc
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from simulated_pulumi import SecretValue, runner
from simulated_pulumi.facts import Asked, Facts, Outputs
from simulated_pulumi.providers import Aws, Kubernetes, Random, SimulatedProvider
from simulated_pulumi.providers.base import Planned

from infra.base.aws_types import dns_suffix_of, partition_of
from stacks import composition
from stacks.aws_settings import AwsStack
from stacks.commands.simulated import Machine
from stacks.settings import StackSettings
from stacks.surroundings import Surroundings

LIMIT_SECONDS = 600.0
"""After which a program is taken to hang; on a quiet machine prod's takes 8 s."""

MADE_UP = f"simulated.invalid/mlplatform/image@sha256:{'0' * 64}"


class Simulated(Mapping[str, Outputs]):
    """What simulated providers compute, with ids as the services make them, of other names in each stack."""

    def __init__(self, stack: str, *providers: SimulatedProvider) -> None:
        self._stack = stack
        self._providers = {provider.package: provider for provider in providers}

    def __getitem__(self, key: str) -> Outputs:
        return partial(_computed, self._stack, self._providers[key.split(":", 1)[0]])

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def _computed(stack: str, provider: SimulatedProvider, asked: Asked) -> dict[str, Any]:
    planned = Planned(f"urn:pulumi:{stack}::project::{asked.type}::{asked.name}", dict(asked.inputs))
    added = {key: value for key, value in provider.defaults(planned, {}).items() if not key.startswith("__")}
    planned.inputs |= added
    planned.id = asked.id or provider.identify(planned)
    if asked.type == "random:index/randomPassword:RandomPassword":
        added["result"] = SecretValue(f"{asked.name}-password-of-32-characters"[:32].ljust(32, "x"))
    return added | provider.compute(planned) | {"id": planned.id}


KUBERNETES = "1.36"
"""Version by whose schemas objects are judged where the stack does not say the cluster's: that of the test cluster."""


def resources(settings: StackSettings, stack: str) -> list[dict[str, Any]]:
    """Every resource with its URN, type token, logical name, id and inputs, generated names among them.

    Raises: what the program raises.
    """
    cloud = _cloud(settings.on_aws)
    outputs = Simulated(stack, cloud, Kubernetes(), Random(), Machine())
    facts = Facts(
        project="mlplatform", stack=stack, answers=cloud.answers, outputs=outputs, timeout_seconds=LIMIT_SECONDS
    )
    gc.disable()  # a run makes a million objects that all stay; collecting takes 40 % of its time
    try:
        graph = runner.run(_program(settings, stack), facts)
    finally:
        gc.enable()
    return [
        {
            "urn": each.urn,
            "type": each.type,
            "name": each.name,
            "id": each.id,
            "inputs": {**_generated(each.outputs), **each.inputs},
            "given": sorted(each.inputs),
        }
        for each in graph.resources
        if each.custom and not each.read and each.type.startswith(("aws:", "kubernetes:"))
    ]


def _cloud(on_aws: AwsStack | None) -> Aws:
    if on_aws is None:
        return Aws()
    account, region = on_aws.substrate.account_id, on_aws.region
    return Aws(account=account, region=region, answers=answers(account, region))


def _program(settings: StackSettings, stack: str) -> Callable[[], None]:
    def run() -> None:
        surroundings = Surroundings(
            stack=stack, folder=Path("/stack"), image=lambda _: MADE_UP, today=dt.datetime.now(tz=dt.UTC).date()
        )
        composition.declare(settings, surroundings)

    return run


PHYSICAL_NAMES = ("name", "bucket", "identifier", "replicationGroupId", "nodeGroupName", "userId")


def _generated(outputs: Mapping[str, Any]) -> dict[str, Any]:
    """Physical names that the provider generates."""
    return {key: outputs[key] for key in PHYSICAL_NAMES if outputs.get(key) is not None}


def answers(account: str, region: str) -> dict[str, Any]:
    """What AWS answers to the functions that the program calls: an existing cluster, and S3's networks."""
    issuer = f"https://oidc.eks.{region}.{dns_suffix_of(region)}/id/{'A' * 32}"

    def cluster(asked: dict[str, Any]) -> dict[str, Any]:
        name = asked["name"]
        return {
            "arn": f"arn:{partition_of(region)}:eks:{region}:{account}:cluster/{name}",
            "endpoint": f"https://{'A' * 32}.gr7.{region}.eks.{dns_suffix_of(region)}",
            "certificateAuthorities": [{"data": "Y2E="}],
            "identities": [{"oidcs": [{"issuer": issuer}]}],
            "vpcConfig": {"clusterSecurityGroupId": f"sg-{'0' * 17}"},
            "id": name,
            "name": name,
            "version": "1.36",
        }

    networks = {"cidrBlocks": ["3.5.64.0/21", "52.218.0.0/17"], "id": "pl-6da54004", "name": "s3"}
    return {"aws:eks/getCluster:getCluster": cluster, "aws:ec2/getPrefixList:getPrefixList": networks}
