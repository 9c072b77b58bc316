"""One seeded fault of a run of the CLI on AWS, and the next `make up`, which must mend it without anybody's help."""

import contextlib
import json
import random
import signal
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import psutil
from pulumi.automation import CommandError
from pytest_pulumi.engine import Stack
from pytest_pulumi.result import OperationError
from simulated_pulumi.providers import Aws, Kubernetes, SimulatedProvider
from simulated_pulumi.providers.faults import CHANGES

from infra.base.aws_types import STACK_TAG
from stacks.commands import adopt
from stacks.commands.pulumi_cli import PulumiError
from tests.aws import ACCOUNT
from tools import state_repair

WAYS = ("fail", "hang", "lose_answer", "crash", "kill")
EDITS: tuple[Mapping[str, dict[str, Any]], ...] = (
    {"artifact_store": {"access_logs_days": 30}, "database": {"logs_days": 30}},
    {"database": {"version": "18", "storage_gib": 200}},
    {"online_store": {"nodes": 3, "logs_days": 30}},
    {"artifact_store": {"replica_region": "eu-central-1"}},
)
GO_WITH_THEIR_OWNER = ("aws:kms/alias:Alias", "aws:iam/rolePolicy:RolePolicy")
"""AWS deletes them with the key or role that they belong to; they carry no tags, and cost nothing."""
MOST = 30
"""About as many changes as a run of the stack under test makes."""


@dataclass(frozen=True)
class Fault:
    """What goes wrong, drawn from a seed."""

    seed: int
    how: str = field(init=False)
    on_cluster: bool = field(init=False)
    nth: int = field(init=False)

    def __post_init__(self) -> None:
        dice = random.Random(self.seed)
        object.__setattr__(self, "how", WAYS[self.seed % len(WAYS)])
        object.__setattr__(self, "on_cluster", dice.random() < 0.2)
        object.__setattr__(self, "nth", dice.randint(1, 6 if self.on_cluster else MOST))


@dataclass
class SimulatedRegion:
    """What AWS' tagging API says about a simulated account."""

    cloud: Aws

    def tagged(self, key: str, value: str) -> dict[str, dict[str, str]]:
        tags = {
            item.values.get("arn") or item.values.get("associationArn"): item.values.get("tagsAll") or {}
            for item in self.cloud.items.values()
        }
        return {arn: given for arn, given in tags.items() if arn and given.get(key) == value}

    def going(self, arn: str) -> bool:
        return not arn

    def log_group(self, name: str) -> str | None:
        found = self._all("aws:cloudwatch/logGroup:LogGroup")
        return next((item.values["arn"] for item in found if item.values.get("name") == name), None)

    def _all(self, type_: str) -> list[Any]:
        return [item for item in self.cloud.items.values() if item.type == type_]


def strike(stack: Stack, fault: Fault, cloud: Aws, cluster: Kubernetes) -> None:
    """Run `up` with the fault; that it fails is no failure of the test."""
    provider = cluster if fault.on_cluster and fault.how != "lose_answer" else cloud
    if fault.how != "kill":
        provider.faults.add(fault.how, on=CHANGES, nth=fault.nth)
    sent = {"kill": signal.SIGKILL, "hang": signal.SIGINT}.get(fault.how)
    watching = signalled(provider, sent, fault.nth) if sent else contextlib.nullcontext()
    with watching, contextlib.suppress(OperationError):
        stack.up()
    cloud.faults.clear()
    cluster.faults.clear()


@contextlib.contextmanager
def signalled(provider: SimulatedProvider, sent: signal.Signals, nth: int) -> Iterator[None]:
    """Send the CLI a signal once the provider has begun its n-th change."""
    before, over = len(_changes(provider)), threading.Event()

    def watch() -> None:
        while not over.is_set():
            if len(_changes(provider)) - before >= nth:
                for child in psutil.Process().children():
                    if child.name() == "pulumi":
                        child.send_signal(sent)
                return
            time.sleep(0.002)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _changes(provider: SimulatedProvider) -> list[Any]:
    return [each for each in provider.log if each.kind in CHANGES and not each.preview]


def make_up(stack: Stack, cloud: Aws) -> None:
    """What `make up` does on AWS: clear what the dead run left in the backend, take over what it made, update."""
    state_repair.sweep(stack.backend.url)
    stack.cancel()
    import_left(stack, cloud)
    stack.up()


def import_left(stack: Stack, cloud: Aws, untagged: Mapping[str, str] = MappingProxyType({})) -> list[str]:
    """Import what is in the simulated account and not in the state; gives the names."""
    regions, tag = [SimulatedRegion(cloud)], ACCOUNT.tags[STACK_TAG]
    return adopt.adopt(
        lambda words: _cli(stack, words), lambda: _planned(stack), regions, stack.name, tag, untagged=untagged
    )


def _cli(stack: Stack, words: Sequence[str]) -> str:
    try:
        return stack.pulumi(*words)
    except CommandError as error:
        raise PulumiError(str(error)) from error


def _planned(stack: Stack) -> adopt.Plan:
    with tempfile.NamedTemporaryFile() as file:
        events = stack.preview(import_file=file.name).events
        steps = [event.resource_pre_event.metadata for event in events if event.resource_pre_event]
        return [vars(step.new) for step in steps if step.op == "create"], json.load(file)


def unlike(stack: Stack, *providers: SimulatedProvider) -> dict[str, set[tuple[str, str]]]:
    """What is in the clouds and not in the state (orphans, duplicates), and the reverse; empty when they agree."""
    known = {(each["type"], each["id"]) for each in stack.resources() if each.get("id")}
    there = {(item.type, item.id) for provider in providers for item in provider.items.values()}
    packages = tuple(f"{provider.package}:" for provider in providers)
    known = {each for each in known if each[0].startswith(packages)}
    found = {"orphans": there - known, "lost": known - there}
    return {
        word: kept
        for word, some in found.items()
        if (kept := {each for each in some if each[0] not in GO_WITH_THEIR_OWNER})
    }
