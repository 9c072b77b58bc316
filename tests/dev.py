"""The dev stack's program with blocks of its stack file replaced."""

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from infra.core.paths import CHECKOUT
from stacks import composition
from stacks.settings import StackSettings, parse
from stacks.surroundings import Surroundings
from tests.clusters import image

FOLDER = Path("/stack")


def settings(**blocks: Any) -> StackSettings:
    """What the stack file says, with blocks replaced."""
    config = yaml.safe_load((CHECKOUT / "Pulumi.dev.yaml").read_text())["config"]
    config |= {f"mlplatform:{key}": value for key, value in blocks.items()}
    return parse({key: json.dumps(value) for key, value in config.items()}, "dev")


def program(folder: Path = FOLDER, **blocks: Any) -> Callable[[], None]:
    """The whole stack as a program; what is kept about it is in `folder`."""

    def run() -> None:
        surroundings = Surroundings(stack="dev", folder=folder, image=image, today=dt.date(2026, 1, 1))
        composition.declare(settings(**blocks), surroundings)

    return run
