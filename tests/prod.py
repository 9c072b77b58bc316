"""The prod stack as its file in this checkout says, with blocks changed; nothing here talks to AWS."""

import contextlib
import datetime as dt
import functools
import gc
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from simulated_pulumi import runner
from simulated_pulumi.facts import Facts
from simulated_pulumi.graph import Graph

from infra.base.paths import CHECKOUT
from stacks import composition
from stacks.aws_settings import AwsStack
from stacks.settings import parse, with_made_up_secrets
from stacks.surroundings import Surroundings
from tests.aws import ANSWERS, Outputs
from tests.clusters import image

NAME = "prod"
TODAY = dt.date(2026, 11, 25)
LIMIT_SECONDS = 120

UNINTERRUPTED = {"PULUMI_SKIP_CHECKPOINTS": "true"}
"""Environment of an engine that nobody interrupts: it writes the state once, at the end, instead of after each step.
With 600 resources that takes 50 s less of CPU time."""

RELEASED = {
    "artifact_store.protection": "delete",
    "cluster.deletion_protection": False,
    "controllers.keep_crds": False,
    "database.protection": "delete",
    "monitoring.volume.protection": "delete",
    "monitoring.pushgateway_volume.protection": "delete",
    "network.deletion_protection": False,
    "online_store.protection": "delete",
    "pipelines.mysql.protection": "delete",
    "registry.protection": "delete",
}
"""The changes of docs/how-to/take-a-stack-down.md before `make down`; definitions, which a stack keeps, go too."""


def config(**blocks: Mapping[str, Any]) -> dict[str, Any]:
    """The stack file's configuration, with keys of blocks replaced; a block that names a `kind` is replaced whole."""
    made: dict[str, Any] = yaml.safe_load((CHECKOUT / f"Pulumi.{NAME}.yaml").read_text())["config"]
    for role, changes in blocks.items():
        key = f"mlplatform:{role}"
        made[key] = dict(changes) if "kind" in changes else {**made.get(key, {}), **changes}
    return with_made_up_secrets(made)


def settings(**blocks: Mapping[str, Any]) -> AwsStack:
    """What the program makes of it."""
    parsed = parse({key: json.dumps(value) for key, value in config(**blocks).items()}, NAME)
    assert isinstance(parsed, AwsStack)
    return parsed


def program(**blocks: Mapping[str, Any]) -> Callable[[], None]:
    """The whole program."""
    return declared(settings(**blocks))


def declared(chosen: AwsStack) -> Callable[[], None]:
    """The program that these settings make."""

    def run() -> None:
        composition.declare(chosen, Surroundings(stack=NAME, folder=Path("/stack"), image=image, today=TODAY))

    return run


@contextlib.contextmanager
def without_collections() -> Iterator[None]:
    """No garbage is collected while a program runs, as its own process does it: that takes 40 % of its time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def graph(program: Callable[[], None]) -> Graph:
    """What a program of the stack registers, without an engine; what AWS and the cluster answer is simulated."""
    facts = Facts(project="mlplatform", stack=NAME, answers=ANSWERS, outputs=Outputs(), timeout_seconds=LIMIT_SECONDS)
    return runner.run(program, facts)


@functools.cache
def whole() -> Graph:
    """What the program registers for the file as it is, made once in a process; graphs are frozen."""
    return graph(program())
