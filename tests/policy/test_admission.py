"""Samples at the real Gatekeeper, through a real API server; those of every rule are tried by `make soak`."""

import pytest
from pytest_pulumi_kubernetes import MissingToolError

from infra.kube.objects import UNJUDGED

from . import admission

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

CASES = admission.cases("K8S-14", "K8S-15", "K8S-19", "ML-01")
"""A request to connect, a rule left to the audit, what may be malformed, and a custom resource."""


@pytest.fixture(scope="module")
def judge(kube_apiserver, kube_crds):
    kube_crds("kserve")
    try:
        with admission.judging(kube_apiserver, CASES) as running:
            yield running
    except MissingToolError as error:
        pytest.skip(str(error))


def test_samples_get_their_verdicts_at_admission(judge):
    assert sorted(admission.wrong_verdicts(judge, CASES)) == []


def test_the_audit_finds_what_was_there_before(judge):
    assert sorted(admission.missed_by_audit(judge, CASES)) == []


def test_without_webhook_judged_namespaces_close_and_cluster_heals(judge):
    def refused(space):
        thing = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": space}}
        return "failed calling webhook" in admission.refusal(judge.client, thing)

    judge.client.apply(admission.namespace("controller", UNJUDGED))
    judge.control_plane.processes.stop(judge.process)
    spaces = (admission.SPACE, "kube-system", "controller")
    assert [space for space in spaces if refused(space)] == [admission.SPACE]
    admission.ask(judge, "Ignore")
    assert not refused(admission.SPACE)
