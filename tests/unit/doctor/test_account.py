"""Probes of an account, on a stand-in for it."""

import json

import pytest

from infra.cluster.eks_versions import ADDONS
from infra.identity.settings import IrsaSettings
from stacks.commands.doctor import account
from stacks.settings import read

PROD = read("prod")
KUBECONFIG = json.dumps(
    {"users": [{"user": {"exec": {"command": "aws", "args": ["eks", "get-token", "--cluster-name", "mlp-1"]}}}]}
)
PODS = ("loan-default/retraining", "loan-default/serving")


class Account:
    """Allows everything but what a test says."""

    def hosted_zone(self, _zone_id):
        return "example.com"

    def __init__(self, quota=100_000.0, bound=PODS, offered=None):
        self._quota, self._bound, self._offered = quota, bound, offered or {}

    def cluster_version(self, _name):
        return None

    def has_parameter(self, _path):
        return True

    def service_linked_roles(self):
        return frozenset({"autoscaling.amazonaws.com", "spot.amazonaws.com"})

    def quota(self, _code):
        return self._quota

    def zones_of(self, instance_types):
        return {each: frozenset(PROD.network.zones) for each in instance_types}

    def addon_versions(self, kubernetes):
        return {addon: frozenset([self._offered.get(addon, version)]) for addon, version in ADDONS[kubernetes].items()}

    def pod_identities(self, cluster):
        assert cluster == "mlp-1"
        return frozenset(self._bound)


class Cluster:
    """Service accounts, one of them annotated."""

    def get(self, kind, *_flags):
        assert kind == "serviceaccounts"
        role = {account.ROLE_ANNOTATION: "arn:aws:iam::111122223333:role/a"}
        return [
            {"metadata": {"namespace": "loan-default", "name": "retraining", "annotations": role}},
            {"metadata": {"namespace": "loan-default", "name": "serving"}},
        ]


def test_account_that_allows_all_and_offers_every_add_on_passes():
    assert account.quotas(Account(), PROD).status == "ok"


def test_a_quota_that_is_too_small_fails_with_what_preflight_says():
    found = account.quotas(Account(quota=0.0), PROD)
    assert found.status == "failed"
    assert "request-service-quota-increase" in found.detail


def test_an_add_on_that_is_not_offered_any_more_is_named_with_what_is():
    found = account.quotas(Account(offered={"coredns": "v9.9.9-eksbuild.1"}), PROD)
    assert found.status == "failed"
    assert "cluster.addon_versions.coredns" in found.detail
    assert "give one of v9.9.9-eksbuild.1" in found.detail


def test_service_accounts_with_their_associations_have_their_roles():
    found = account.bindings(Account(), Cluster(), PROD, KUBECONFIG, PODS)
    assert (found.status, found.detail) == ("ok", "2 service accounts have their roles")


def test_a_service_account_whose_association_is_gone_is_named():
    found = account.bindings(Account(bound=PODS[:1]), Cluster(), PROD, KUBECONFIG, PODS)
    assert found.status == "failed"
    assert found.detail == "without their role: loan-default/serving"


def test_with_irsa_the_annotation_is_what_binds():
    irsa = PROD.model_copy(update={"identity": IrsaSettings(kind="irsa")})
    found = account.bindings(Account(bound=()), Cluster(), irsa, KUBECONFIG, PODS)
    assert found.detail == "without their role: loan-default/serving"


def test_with_irsa_add_ons_keep_to_their_associations():
    irsa = PROD.model_copy(update={"identity": IrsaSettings(kind="irsa")})
    pods = ("kube-system/aws-node", "loan-default/retraining")
    assert account.bindings(Account(bound=("kube-system/aws-node",)), Cluster(), irsa, KUBECONFIG, pods).status == "ok"


def test_the_program_names_the_pods_that_have_a_role():
    access_matrix = pytest.importorskip("stacks.commands.access_matrix", reason="pulumi-aws is not installed")
    pods = access_matrix.pods(access_matrix.declared("prod"))
    assert "loan-default/loan-default-retraining" in pods
    assert all(pod.count("/") == 1 for pod in pods)
