"""What the program finds on this machine; tests give others."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from infra.base import images
from infra.host.substrate import PythonEnvironment
from stacks.settings import python_environment, search_path


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """Everything that is neither in the stack file nor in the checkout."""

    stack: str
    """The stack's name."""

    folder: Path
    """Where a local stack keeps everything."""

    path: Callable[[], str] = search_path
    """PATH of a local stack's processes."""

    environment: Callable[[str], PythonEnvironment] = python_environment
    """Python environment of a kind, by its name."""

    image: Callable[[images.Target], str] = images.reference
    """Image of a target, by digest."""

    today: dt.date | None = None
    """Day on which exemptions of the policies are judged; None is today, in UTC."""
