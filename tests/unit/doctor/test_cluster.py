"""Probes of a cluster, on a stand-in for `kubectl`; the last ones on a real API server with the real Gatekeeper."""

import copy
import datetime as dt
import os

import pytest

from infra.base import names
from infra.gpu_node_pool.settings import LabelledNodesSettings
from infra.kube.objects import JUDGED
from policies import gatekeeper
from policies.catalogue import rego_rules
from policies.settings import PolicySettings
from stacks.commands.doctor import cluster
from stacks.commands.kubectl import ClusterError, Kubectl
from stacks.settings import read

DAY = dt.date(2026, 1, 1)
DENIED = (
    'Error from server (Forbidden): admission webhook "validation.gatekeeper.sh" denied the request: [mlplatform] no'
)
WEBHOOK = {
    "metadata": {"name": cluster.WEBHOOK},
    "webhooks": [
        {"name": "validation.gatekeeper.sh", "failurePolicy": "Fail"},
        {"name": "check-ignore-label.gatekeeper.sh", "failurePolicy": "Fail"},
    ],
}
POD = {"serviceAccountName": "retraining", "containers": [{"envFrom": [{"secretRef": {"name": "keys"}}]}]}
RETRAINING = {
    "kind": "Deployment",
    "metadata": {"name": "retraining", "namespace": "loan-default"},
    "spec": {"template": {"spec": POD}},
}


class Cluster:
    """Answers as `kubectl` would of what it is given."""

    def __init__(self, tried=DENIED, **kinds):
        self._tried, self._kinds = tried, kinds

    def get(self, kinds, *flags):
        if kinds == cluster.WORKLOADS:
            return self._kinds.get("workloads", []) if "--namespace=loan-default" in flags else []
        return self._kinds.get(kinds, [])

    def run(self, *arguments, given=""):
        if arguments[0] == "apply":
            assert given == cluster.FORBIDDEN
            if self._tried:
                raise ClusterError(self._tried)
            return "configmap/mlplatform-doctor created (server dry run)"
        return "".join(f"loan-default {name}\n" for name in self._kinds.get(arguments[1], []))


def settings(stack="dev", **blocks):
    return read(stack).model_copy(update=blocks)


def strict(closed):
    return {"admission": read("dev").admission.model_copy(update={"failure_policy": "Fail" if closed else "Ignore"})}


def test_a_webhook_that_refuses_what_a_rule_forbids_is_at_work():
    found = cluster.admission(Cluster(validatingwebhookconfigurations=[WEBHOOK]), settings(**strict(True)))
    assert (found.status, found.detail) == ("ok", "what K8S-19 forbids is refused; failurePolicy Fail")


@pytest.mark.parametrize(
    ("there", "tried", "closed", "said"),
    [
        ([], DENIED, True, "nobody judges"),
        ([WEBHOOK], DENIED, False, "failurePolicy is Fail, the stack file asks for Ignore"),
        ([WEBHOOK], "", True, "what K8S-19 forbids was let in"),
    ],
)
def test_admission_that_does_not_do_its_work_is_said_with_a_fix(there, tried, closed, said):
    found = cluster.admission(Cluster(tried, validatingwebhookconfigurations=there), settings(**strict(closed)))
    assert found.status == "failed"
    assert said in found.detail
    assert found.fix


def test_a_refusal_by_somebody_else_is_no_proof_of_the_webhook():
    refused = Cluster(
        "Error from server (Forbidden): configmaps is forbidden", validatingwebhookconfigurations=[WEBHOOK]
    )
    with pytest.raises(ClusterError, match="forbidden"):
        cluster.admission(refused, settings(**strict(True)))


def test_a_rule_that_is_only_advisory_proves_nothing_and_is_unknown():
    loose = settings(policies=PolicySettings(levels={cluster.RULE: "advisory"}), **strict(True))
    assert cluster.admission(Cluster(validatingwebhookconfigurations=[WEBHOOK]), loose).status == "unknown"


def test_workloads_with_their_own_service_accounts_and_secrets_pass():
    found = cluster.identity(
        Cluster(workloads=[RETRAINING], serviceaccounts=["retraining"], secrets=["keys"]), settings()
    )
    assert found.status == "ok"
    assert found.detail.startswith("1 workloads")


@pytest.mark.parametrize(
    ("account", "accounts", "secrets", "said"),
    [
        ("retraining", [], ["keys"], "runs as loan-default/retraining, which is gone"),
        ("default", ["default"], ["keys"], "runs as loan-default/default, which is nobody"),
        ("retraining", ["retraining"], [], "Deployment retraining needs the Secret loan-default/keys"),
    ],
)
def test_a_workload_without_its_identity_is_named(account, accounts, secrets, said):
    one = copy.deepcopy(RETRAINING)
    one["spec"]["template"]["spec"]["serviceAccountName"] = account
    found = cluster.identity(Cluster(workloads=[one], serviceaccounts=accounts, secrets=secrets), settings())
    assert found.status == "failed"
    assert said in found.detail


def test_server_without_an_account_and_without_a_token_passes():
    one = copy.deepcopy(RETRAINING)
    pod = one["spec"]["template"]["spec"]
    del pod["serviceAccountName"]
    pod["automountServiceAccountToken"] = False
    assert cluster.identity(Cluster(workloads=[one], secrets=["keys"]), settings()).status == "ok"
    pod["automountServiceAccountToken"] = True
    assert "which is nobody" in cluster.identity(Cluster(workloads=[one], secrets=["keys"]), settings()).detail


def test_an_empty_cluster_has_no_identities_to_be_content_with():
    assert cluster.identity(Cluster(), settings()).status == "failed"


def node(name, gpus=0):
    return {"metadata": {"name": name}, "status": {"allocatable": {cluster.GPU: str(gpus)} if gpus else {}}}


def pod(name, gpus, phase="Pending"):
    limits = {cluster.GPU: str(gpus)} if gpus else {}
    containers = [{"resources": {"limits": limits}}]
    return {
        "metadata": {"name": name, "namespace": "a"},
        "status": {"phase": phase},
        "spec": {"containers": containers},
    }


def pool(**values):
    model = type(read("prod").gpu_node_pool)
    return {"gpu_node_pool": model.model_validate({**read("prod").gpu_node_pool.model_dump(), **values})}


def test_a_cluster_without_gpus_that_nobody_asks_for_is_content():
    found = cluster.gpus(Cluster(nodes=[node("a")], pods=[pod("p", 0)]), settings())
    assert (found.status, found.detail) == ("ok", "no GPU is there, and none is asked for")


def test_gpus_that_cannot_come_are_reported_with_the_pods_that_wait():
    found = cluster.gpus(Cluster(nodes=[node("a")], pods=[pod("p", 2), pod("done", 8, "Succeeded")]), settings())
    assert found.status == "failed"
    assert "2 GPUs are asked for (a/p), and there are 0 at most" in found.detail


def test_a_pool_that_can_grow_may_be_asked_for_more_than_is_there():
    there = Cluster(nodes=[node("a", 1)], pods=[pod("p", 3)])
    assert cluster.gpus(there, settings("prod", **pool(gpus_max=4))).detail == (
        "3 of 1 GPUs are asked for; there can be 4"
    )
    assert cluster.gpus(Cluster(nodes=[], pods=[pod("p", 5)]), settings("prod", **pool(gpus_max=4))).status == "failed"


def test_a_node_that_should_have_gpus_and_offers_none_is_named():
    model = {"kind": "labelled-nodes", "nodes": ["gpu-1", "gpu-2"]}
    labelled = {"gpu_node_pool": LabelledNodesSettings.model_validate(model)}
    found = cluster.gpus(Cluster(nodes=[node("gpu-1", 1), node("gpu-2")]), settings(**labelled))
    assert found.status == "failed"
    assert found.detail.startswith("gpu-2 should have GPUs")


@pytest.fixture
def kubectl(kube_gatekeeper, tmp_path, monkeypatch):
    """The program itself, on the test's control plane with our namespace and the constraint on it."""
    control_plane = kube_gatekeeper.control_plane
    monkeypatch.setenv("PATH", os.pathsep.join([str(control_plane.tools.find("kubectl").parent), os.environ["PATH"]]))
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": names.PLATFORM, "labels": JUDGED}}
    control_plane.client.apply(space)
    return Kubectl(control_plane.kubeconfig_path.read_text(), tmp_path)


@pytest.mark.cluster
def test_real_gatekeeper_refuses_the_probe_once_the_constraint_exists(kube_gatekeeper, kubectl):
    assert cluster.admission(kubectl, settings(**strict(True))).status == "failed"
    kind = gatekeeper.kind(rego_rules()[cluster.RULE])
    (template,) = [each for each in gatekeeper.templates() if each["metadata"]["name"] == kind.lower()]
    (constraint,) = [
        each for each in gatekeeper.constraints(PolicySettings(), [], JUDGED, "dev", DAY) if each["kind"] == kind
    ]
    kube_gatekeeper.constrain(template, constraint)
    found = cluster.admission(kubectl, settings(**strict(True)))
    assert (found.status, found.detail) == ("ok", "what K8S-19 forbids is refused; failurePolicy Fail")
    assert cluster.identity(kubectl, settings()).detail.startswith("nothing of the stack runs")
    assert cluster.gpus(kubectl, settings()).status == "ok"
