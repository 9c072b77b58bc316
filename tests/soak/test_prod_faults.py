"""Two hundred seeded faults of runs on AWS: failures, hangs, lost answers, crashes of a provider, `kill -9` of the CLI.

AWS and the cluster are simulated, the engine and its CLI are real. Each stack suffers one fault while it is made and
one while it is changed; after each, one `make up` must leave neither orphans nor duplicates.
"""

import random

import pytest
from simulated_pulumi.providers import Kubernetes, Random

from tests import faults
from tests.aws import simulated
from tests.stores_on_aws import stores

pytestmark = [pytest.mark.soak, pytest.mark.timeout(600)]

RUNS = 200


@pytest.mark.parametrize("seed", range(0, RUNS, 2))
def test_faults_are_mended_by_the_next_up(pulumi_stack, seed):
    cloud, cluster = simulated(), Kubernetes()
    stack = pulumi_stack(stores(), providers=[cloud, cluster, Random()])
    for fault in (faults.Fault(seed), faults.Fault(seed + 1)):
        if fault.seed > seed:
            stack.program = stores(**random.Random(seed).choice(faults.EDITS))
        faults.strike(stack, fault, cloud, cluster)
        faults.make_up(stack, cloud)
        assert not faults.unlike(stack, cloud, cluster), fault
        assert not stack.preview().counts, fault
