"""The dev stack's program with blocks of its stack file replaced."""

import datetime as dt
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pytest_pulumi.result import Result

from infra.base.paths import CHECKOUT
from policies.destruction import Step, losses
from stacks import composition
from stacks.settings import StackSettings, parse
from stacks.surroundings import Surroundings
from tests import edits
from tests.clusters import image

FOLDER = Path("/stack")
EDITS = Path(__file__).with_name("dev_edits.yaml")
LOSING = {
    "artifact_store.volume.storage_class": "artifact-store-data",
    "database.volume.storage_class": "database-data",
    "monitoring.pushgateway_volume.storage_class": "monitoring-pushgateway-data",
    "online_store.volume.storage_class": "online-store-data",
    "pipelines.mysql.volume.storage_class": "pipelines-database-data",
}
"""Edits that only another volume can bring, and the claim that `make up` asks about: the dev file protects none."""


def settings(**blocks: Any) -> StackSettings:
    """What the stack file says, with blocks replaced."""
    config = yaml.safe_load((CHECKOUT / "Pulumi.dev.yaml").read_text())["config"]
    config |= {f"mlplatform:{key}": value for key, value in blocks.items()}
    return parse({key: json.dumps(value) for key, value in config.items()}, "dev")


def program(folder: Path = FOLDER, **blocks: Any) -> Callable[[], None]:
    """The whole stack as a program; what is kept about it is in `folder`."""
    return declared(settings(**blocks), folder)


def declared(chosen: StackSettings, folder: Path = FOLDER) -> Callable[[], None]:
    """The program that these settings make."""

    def run() -> None:
        surroundings = Surroundings(stack="dev", folder=folder, image=image, today=dt.date(2026, 1, 1))
        composition.declare(chosen, surroundings)

    return run


def edits_of(start: StackSettings, folder: Path = edits.MIRROR, **values: Any) -> dict[str, Mapping[str, Any]]:
    """An edit for each field and kind, as `tests.edits.of` gives them.

    `folder`: the mirror's; `values`: other values of single fields.
    """
    common, own = edits.given(folder), edits.given(folder, EDITS)
    merged = {part: {**common[part], **own.get(part, {})} for part in common}
    merged["values"] |= values
    return edits.of(start, merged)


def lost(result: Result) -> set[str]:
    """Names of what the question before `make up` would be about."""
    steps = (Step(step.op, step.urn, step.type) for step in result.changes)
    return {found.resource.rpartition("::")[2] for found in losses(steps)}
