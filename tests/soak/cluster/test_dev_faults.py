"""What goes wrong with the dev stack on a real control plane is said with the object, and mended by the next up.

Not run to its end yet.
"""

import threading
import time

import pytest
from pytest_pulumi import EngineError
from pytest_pulumi.engine import OperationError

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1200)]


def test_an_api_server_that_goes_in_the_middle_costs_nothing_and_the_next_up_converges(dev):
    def interrupt():
        time.sleep(15)
        dev.cluster.stop_apiserver()

    interruption = threading.Thread(target=interrupt)
    interruption.start()
    with pytest.raises(OperationError, match="does not answer"):
        dev.stack.up()
    interruption.join()
    known = {each["urn"] for each in dev.stack.export()["deployment"]["resources"]}
    dev.cluster.start_apiserver()
    dev.stack.up()
    after = {each["urn"] for each in dev.stack.export()["deployment"]["resources"]}
    assert known - after == set()
    dev.stack.assert_no_changes()
    assert {pod["status"].get("phase") for pod in dev.pods()} <= {"Running", "Succeeded"}


def test_a_user_without_rights_is_told_which_object_was_refused(dev):
    cluster = {"kind": "existing-cluster", "kubeconfig": str(dev.cluster.kubeconfig_path), "context": "viewer"}
    dev.stack.program = dev.program(cluster=cluster)
    with pytest.raises(OperationError, match=r"Namespace '\S+' was not created.*cannot patch resource"):
        dev.stack.preview()


def test_a_context_that_is_not_there_is_named_before_the_cluster_is_asked(dev):
    cluster = {"kind": "existing-cluster", "kubeconfig": str(dev.cluster.kubeconfig_path), "context": "production"}
    dev.stack.program = dev.program(cluster=cluster)
    with pytest.raises(EngineError, match=r"no context 'production'.*correct `cluster.context`"):
        dev.stack.preview()
