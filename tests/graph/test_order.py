"""Nothing depends on an order that is no data dependency: of workloads in a stack file, of roles in the program."""

import random

import pytest

from stacks import roles
from tests.dev import program as dev
from tests.graph.test_local import program as local

BOTH = ["loan_default", "turbofan"]
PROGRAMS = {"local": local, "dev": dev}


@pytest.fixture(scope="module")
def graphs():
    """What each program registers in the usual order, by stack: a run takes seconds, and a graph is frozen."""
    return {}


@pytest.fixture(params=PROGRAMS)
def ordered(request, pulumi_run, graphs):
    """Gives what the program registers for two workloads, and one that registers it in another order."""
    name = request.param

    def run(workloads=BOTH):
        return facts(pulumi_run(PROGRAMS[name](workloads=workloads, default_workload="loan_default")))

    if name not in graphs:
        graphs[name] = run()
    return graphs[name], run


def facts(graph):
    return graph.snapshot(), {name: str(value) for name, value in graph.outputs.items()}


def test_the_order_of_workloads_in_the_stack_file_means_nothing(ordered):
    usual, run = ordered
    assert run(BOTH[::-1]) == usual


@pytest.mark.parametrize("seed", [1, 2])
def test_the_order_in_which_roles_are_made_means_nothing(ordered, monkeypatch, seed):
    usual, run = ordered
    shuffled = random.Random(seed).sample(roles.ORDER, len(roles.ORDER))
    assert shuffled != list(roles.ORDER)
    monkeypatch.setattr(roles, "ORDER", shuffled)
    assert run() == usual
