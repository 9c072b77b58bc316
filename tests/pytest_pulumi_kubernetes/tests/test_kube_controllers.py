"""Real controllers beside the control plane: definitions, Gatekeeper, KServe."""

import pytest

from pytest_pulumi_kubernetes import ApiError, Gatekeeper
from pytest_pulumi_kubernetes.controllers import Controller
from pytest_pulumi_kubernetes.crds import CRDS

pytestmark = pytest.mark.cluster

TEMPLATE = {
    "apiVersion": "templates.gatekeeper.sh/v1",
    "kind": "ConstraintTemplate",
    "metadata": {"name": "nolatest"},
    "spec": {
        "crd": {"spec": {"names": {"kind": "NoLatest"}}},
        "targets": [
            {
                "target": "admission.k8s.gatekeeper.sh",
                "rego": """
package nolatest
violation[{"msg": msg}] {
  endswith(input.review.object.spec.containers[_].image, ":latest")
  msg := "an image needs a version"
}""",
            }
        ],
    },
}
CONSTRAINT = {
    "apiVersion": "constraints.gatekeeper.sh/v1beta1",
    "kind": "NoLatest",
    "metadata": {"name": "all"},
    "spec": {"match": {"kinds": [{"apiGroups": [""], "kinds": ["Pod"]}]}},
}


def pod(name, tag):
    spec = {"containers": [{"name": "c", "image": f"registry.example/a:{tag}"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"}, "spec": spec}


def test_a_controller_can_follow_another_one_of_its_name(kube_cluster):
    for _ in range(2):
        Controller(kube_cluster, "again").close()


def test_gatekeeper_refuses_at_admission_and_audits_existing_objects(kube_gatekeeper):
    client = kube_gatekeeper.client
    client.apply(pod("before", "latest"))
    kube_gatekeeper.constrain(TEMPLATE, CONSTRAINT)
    with pytest.raises(
        ApiError, match=r"validation\.gatekeeper\.sh.* denied the request: \[all\] an image needs a version"
    ):
        client.apply(pod("after", "latest"))
    client.apply(pod("after", "1"))
    (found,) = kube_gatekeeper.violations(CONSTRAINT)
    assert (found["kind"], found["name"]) == ("Pod", "before")
    notes = client.list("status.gatekeeper.sh/v1beta1", "ConstraintTemplatePodStatus")
    assert notes
    owners = {owner["uid"] for note in notes for owner in note["metadata"]["ownerReferences"]}
    assert owners <= {pod["metadata"]["uid"] for pod in client.list("v1", "Pod")}, "whose notes nobody would remove"


def test_gatekeeper_starts_where_no_other_controller_runs(kube_cluster):
    kube_cluster.stop_controllers()
    with Gatekeeper(kube_cluster) as gatekeeper:
        gatekeeper.constrain(TEMPLATE, CONSTRAINT)


def test_kserve_makes_a_service_ready_and_refuses_a_wrong_one(kube_kserve):
    client = kube_kserve.client
    client.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}})
    predictor = {"minReplicas": 2, "maxReplicas": 3, "containers": [{"name": "kserve-container", "image": "a:1"}]}
    service = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "loan", "namespace": "team"},
    }
    with pytest.raises(
        ApiError, match=r"validator.* denied the request: .*MinReplicas.* cannot be greater than MaxReplicas"
    ):
        client.apply(service | {"spec": {"predictor": predictor | {"minReplicas": 9}}})
    client.apply(service | {"spec": {"predictor": predictor}})

    def ready(found):
        conditions = (found.get("status") or {}).get("conditions") or []
        return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)

    client.wait((service["apiVersion"], service["kind"], "loan", "team"), ready)
    made = ("apps/v1", "Deployment", "loan-predictor", "team")
    client.wait(made, lambda found: found["status"].get("readyReplicas") == 2, 240)  # the autoscaler's doing
    assert client.find("v1", "Service", "loan-predictor", "team")
    assert client.find("autoscaling/v2", "HorizontalPodAutoscaler", "loan-predictor", "team")
    assert client.find("gateway.networking.k8s.io/v1", "HTTPRoute", "loan", "team")
    assert client.list("serving.kserve.io/v1alpha1", "ClusterServingRuntime")


@pytest.mark.parametrize(
    ("project", "version", "kind"),
    [
        ("argo-workflows", "argoproj.io/v1alpha1", "Workflow"),
        ("cert-manager", "cert-manager.io/v1", "Certificate"),
        ("envoy-gateway", "gateway.envoyproxy.io/v1alpha1", "EnvoyProxy"),
        ("gatekeeper", "templates.gatekeeper.sh/v1", "ConstraintTemplate"),
        ("gateway-api", "gateway.networking.k8s.io/v1", "HTTPRoute"),
        ("karpenter", "karpenter.k8s.aws/v1", "EC2NodeClass"),
        ("kserve", "serving.kserve.io/v1beta1", "InferenceService"),
        ("prometheus-operator", "monitoring.coreos.com/v1", "PrometheusRule"),
        ("spark-operator", "sparkoperator.k8s.io/v1beta2", "SparkApplication"),
    ],
)
def test_definitions_of_every_project_can_be_had(kube_apiserver, kube_crds, project, version, kind):
    assert project in CRDS
    kube_crds(project)
    assert kube_apiserver.client.resource(version, kind)


def test_definitions_that_are_not_known_are_named(kube_crds):
    with pytest.raises(LookupError, match="no definitions called 'kubeflow'; known: argo-workflows, cert-manager"):
        kube_crds("kubeflow")
