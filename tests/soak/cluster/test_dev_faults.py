"""What goes wrong on a real control plane is said with the object, and the next up converges."""

import threading
import time

import pytest
from pytest_pulumi import EngineError
from pytest_pulumi.result import OperationError
from pytest_pulumi_kubernetes import ControlPlane, objects

from infra.namespaces.settings import Quota
from tests.part_of_dev import kserve, program, stack

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1500)]

OUTAGE_SECONDS = 10
BEFORE_OUTAGE = 180
"""Creations by then: the policies are there, and servers are being made."""
TIMEOUT_SECONDS = 20.0
"""What the provider waits for an object in these tests, instead of ten minutes."""


@pytest.fixture
def part(pulumi_stack, kube_cluster):
    """A part of the stack, not yet up, without KServe."""
    return stack(pulumi_stack, kube_cluster)


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(objects, "_TIMEOUT_SECONDS", TIMEOUT_SECONDS)


def urns(made):
    return {each["urn"] for each in made.resources()}


def test_api_server_outage_mid_update_loses_nothing_and_up_converges(dev):
    made = dev.provider.log

    def interrupt():
        while sum(one.kind == "create" for one in made) < BEFORE_OUTAGE:
            time.sleep(0.1)
        dev.cluster.stop_apiserver()
        time.sleep(OUTAGE_SECONDS)
        dev.cluster.start_apiserver()

    interruption = threading.Thread(target=interrupt)
    interruption.start()
    with pytest.raises(OperationError, match="does not answer"):
        dev.stack.up()
    interruption.join()
    known = urns(dev.stack)
    assert len(known) >= BEFORE_OUTAGE / 2
    dev.stack.up()
    assert known - urns(dev.stack) == set()
    dev.stack.assert_no_changes()
    assert {pod["status"].get("phase") for pod in dev.pods()} <= {"Running", "Succeeded"}


@pytest.mark.usefixtures("impatient")
def test_a_quota_that_is_too_small_is_named_with_what_was_asked_for(part, kube_cluster):
    with kserve(kube_cluster):
        part.program = program(kube_cluster.kubeconfig_path, quota=Quota(memory_mib=256))
        wanting = (
            r"'loan-default/(online-store\S*|model)' did not become ready in 20 s.*"
            r"exceeded quota: space-quota\S*, requested"
        )
        with pytest.raises(OperationError, match=wanting):
            part.up()
        part.program = program(kube_cluster.kubeconfig_path)
        part.up()
        part.assert_no_changes()


def test_a_definition_that_is_missing_is_named_with_the_object_of_it(pulumi_stack, kube_tools):
    with ControlPlane(kube_tools) as bare:
        part = stack(pulumi_stack, bare)
        with pytest.raises(
            OperationError,
            match=r"InferenceService 'loan-default/model' was not created .*no matches for kind \"InferenceService\"",
        ):
            part.up()
        with kserve(bare):
            part.up()
            part.assert_no_changes()
            part.destroy()


def test_a_cluster_that_does_not_answer_costs_nothing_of_the_state(part, kube_cluster):
    with kserve(kube_cluster):
        part.up()
        known = urns(part)
        kube_cluster.stop_apiserver()
        for operation in (part.refresh, part.destroy):
            with pytest.raises(
                OperationError, match=r"the Kubernetes API server https://127.0.0.1:\d+ does not answer"
            ):
                operation()
        kube_cluster.start_apiserver()
        assert urns(part) == known
        assert part.refresh().changes == ()
        part.destroy()


def test_a_user_without_rights_is_told_which_object_was_refused(part, kube_cluster):
    part.program = program(kube_cluster.kubeconfig_path, context="viewer")
    with pytest.raises(OperationError, match=r"Namespace 'loan-default' was not created.*cannot patch resource"):
        part.preview()


def test_missing_context_is_named_before_the_cluster_is_queried(part, kube_cluster):
    part.program = program(kube_cluster.kubeconfig_path, context="production")
    with pytest.raises(EngineError, match=r"no context 'production'.*correct `cluster.context`"):
        part.preview()
