"""Seeded faults of runs on AWS: failures, hangs, lost answers, crashes of a provider, `kill -9` of the CLI.

AWS and the cluster are simulated, the engine and its CLI are real. Each stack suffers one fault while it is made and
one while it is changed; after each, one `make up` must leave neither orphans nor duplicates. Not run to its end yet.
"""

import random
import sys
from collections import Counter

import pytest
from pytest_pulumi.providers import Kubernetes, Random

from tests import faults
from tests.aws import simulated
from tests.stores_on_aws import stores

pytestmark = [pytest.mark.soak, pytest.mark.timeout(7200)]

RUNS = 200


def test_every_fault_is_mended_by_the_next_up(pulumi_stack, capsys):
    wrong, seen = {}, Counter()
    for seed in range(0, RUNS, 2):
        cloud, cluster = simulated(), Kubernetes()
        stack = pulumi_stack(stores(), providers=[cloud, cluster, Random()])
        for fault in (faults.Fault(seed), faults.Fault(seed + 1)):
            if fault.seed > seed:
                stack.program = stores(**random.Random(seed).choice(faults.EDITS))
            faults.strike(stack, fault, cloud, cluster)
            faults.make_up(stack, cloud)
            seen[fault.how] += 1
            if unlike := faults.unlike(stack, cloud, cluster) or stack.preview().counts:
                wrong[fault] = unlike
        stack.close()
    with capsys.disabled():
        sys.stdout.write(f"{dict(seen)}, not mended: {len(wrong)}\n")
    assert wrong == {}
