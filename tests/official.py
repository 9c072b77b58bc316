"""Stacks on the official provider `kubernetes`, where it is installed."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from pytest_pulumi.engine import Stack
from simulated_pulumi.providers import SimulatedProvider

from tools import provider_plugin


def stack(
    pulumi_stack: Callable[..., Any],
    program: Callable[[], None],
    others: Sequence[SimulatedProvider] = (),
    **options: Any,
) -> Stack:
    """A stack whose objects go to a real API server by the official provider, and other resources by simulated ones."""
    found = provider_plugin.find()
    if found is None:
        pytest.skip("the official provider kubernetes is not built: python3 -m tools.install kubernetes-provider")
    environment = {"PATH": f"{found.parent}{os.pathsep}{os.environ['PATH']}"}
    made: Stack = pulumi_stack(program, providers=list(others), environment=environment, **options)
    return made
