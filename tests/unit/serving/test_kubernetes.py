import pulumi
import pytest

from infra import serving
from infra.serving import ModelServerSpec
from infra.serving.settings import KserveOnKubernetesSettings
from tests.clusters import NoStores, loose, on_cluster, pods


def server(**settings):
    """A program that deploys one model server."""

    def build(substrate, opts):
        chosen = KserveOnKubernetesSettings(kind="kserve-on-kubernetes", **settings)
        made = serving.build("serving", chosen, substrate, NoStores(), opts)
        spec = ModelServerSpec(
            image="serve", command=["serve"], model_name="m", secrets={"TOKEN": pulumi.Output.secret("x")}
        )
        model = made.deploy("model", spec, opts)
        pulumi.export("prediction_url", model.prediction_url)
        pulumi.export("metrics_target", model.metrics_target)

    return on_cluster(build)


def test_predictor_is_restricted_and_spelled_as_the_api_spells_it(pulumi_run):
    ((_, predictor),) = pods(pulumi_run(server())).items()
    assert loose(predictor) == []
    assert predictor["serviceAccountName"] == "model"
    assert predictor["containers"][0]["name"] == "kserve-container"
    assert predictor["containers"][0]["readinessProbe"]["httpGet"] == {"path": "/v2/health/live", "port": 8080}


def test_replicas_and_the_autoscalers_target_are_the_settings(pulumi_run):
    ((_, predictor),) = pods(pulumi_run(server(min_replicas=2, max_replicas=5, cpu_target_percent=60))).items()
    assert (predictor["minReplicas"], predictor["maxReplicas"], predictor["scaleTarget"]) == (2, 5, 60)


def test_up_waits_until_kserve_calls_it_ready(pulumi_run):
    service = pulumi_run(server()).one("kubernetes:serving.kserve.io/v1beta1:InferenceService")
    assert service.get("metadata.annotations")["pulumi.com/waitFor"] == "condition=Ready"


def test_its_address_is_known_before_kserve_has_seen_it(pulumi_run):
    graph = pulumi_run(server(), preview=True)
    base = "model.somewhere.svc.cluster.local:8080"
    assert graph.outputs["prediction_url"] == f"http://{base}/v1/models/m:predict"
    assert graph.outputs["metrics_target"] == base


def test_its_service_selects_the_predictors_pods(pulumi_run):
    graph = pulumi_run(server())
    ((_, predictor),) = pods(graph).items()
    selector = graph.one("kubernetes:core/v1:Service").get("spec.selector")
    assert selector.items() <= predictor["labels"].items()


def test_more_at_rest_than_at_most_is_refused():
    with pytest.raises(ValueError, match="min_replicas"):
        KserveOnKubernetesSettings(kind="kserve-on-kubernetes", min_replicas=4, max_replicas=3)
