"""A run that was cut short on AWS is mended by the next `make up`; the whole matrix is in `tests/soak`."""

import pytest
from simulated_pulumi.providers import Kubernetes, Random

from tests import faults
from tests.aws import simulated
from tests.stores_on_aws import stores

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]


@pytest.mark.parametrize("seed", range(5), ids=faults.WAYS)
def test_next_up_after_a_fault_leaves_no_orphans_or_duplicates(pulumi_stack, seed):
    cloud, cluster = simulated(), Kubernetes()
    stack = pulumi_stack(stores(), providers=[cloud, cluster, Random()])
    faults.strike(stack, faults.Fault(seed), cloud, cluster)
    faults.make_up(stack, cloud)
    assert faults.unlike(stack, cloud, cluster) == {}
    stack.assert_no_changes()
