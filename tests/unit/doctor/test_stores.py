"""Probes of the stores of a cluster run in the retraining service's pod, whose Deployment Pulumi named."""

import json

import pytest

from stacks.commands.doctor import stores
from stacks.commands.kubectl import ClusterError

DEPLOYMENT = {"metadata": {"name": "loan-default-retraining-pods-1a2b3c4d"}}
LABEL = "--selector=app.kubernetes.io/name=loan-default-retraining"


class Cluster:
    """Answers as `kubectl` would of a namespace with these Deployments."""

    def __init__(self, *deployments):
        self._deployments = deployments

    def get(self, kinds, *flags):
        assert (kinds, flags) == ("deployments", ("--namespace=loan-default", LABEL))
        return list(self._deployments)

    def run(self, *arguments, seconds):
        assert seconds == stores.SECONDS
        assert arguments[:3] == ("exec", "--namespace=loan-default", "deployment/loan-default-retraining-pods-1a2b3c4d")
        return "a warning\n" + json.dumps({"store": "s3://artifacts", "champion": ""})


def test_stage_is_asked_in_the_pod_of_the_retraining_service():
    found = stores.objects("dev", "loan-default", Cluster(DEPLOYMENT))
    assert (found.status, "s3://artifacts takes objects" in found.detail) == ("ok", True)


def test_cluster_without_the_retraining_service_is_an_error():
    with pytest.raises(ClusterError, match="the namespace loan-default has no Deployment with the label"):
        stores.objects("dev", "loan-default", Cluster())
