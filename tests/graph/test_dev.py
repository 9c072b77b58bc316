"""The whole dev stack as a graph, without an engine or a cluster."""

import json
import re

import pytest

from infra.base import paths
from infra.kube.objects import GPU, LABEL_PREFIX
from stacks.outputs import SECRETS_OF_A_WORKLOAD
from tests.clusters import empty_maps, loose, pods
from tests.dev import program
from tests.limits import PROXIES, containers, ranges, refusals

CUDA = {"training": {"estimator": {"kind": "xgboost", "device": "cuda"}}}


@pytest.fixture(scope="module")
def runs():
    """Graphs of this module by name: a run takes seconds, and a graph is frozen."""
    return {}


@pytest.fixture
def graph(pulumi_run, runs):
    if "dev" not in runs:
        runs["dev"] = pulumi_run(program())
    return runs["dev"]


@pytest.fixture
def on_cuda(pulumi_run, runs):
    if "cuda" not in runs:
        runs["cuda"] = pulumi_run(program(loan_default=CUDA))
    return runs["cuda"]


def policies(graph, direction):
    """Network policies that let something through in a direction."""
    return [each for each in graph.all("NetworkPolicy") if (each.get("spec") or {}).get(direction)]


def test_the_graph_is_the_golden_one(graph, pulumi_golden):
    """Less the policies' templates and constraints, which have tests of their own."""
    blocks = graph.snapshot().replace(str(paths.CHECKOUT), "<checkout>").split("\n\n")
    text = "\n\n".join(each for each in blocks if "gatekeeper.sh/v1" not in each.split("\n", maxsplit=1)[0])
    pulumi_golden.hashed(re.sub("[0-9a-f]{64}", "<sha256>", text))


def test_the_stack_can_be_previewed_before_its_cluster_is_there(pulumi_run):
    graph = pulumi_run(program(), preview=True)
    assert graph.outputs["prediction_url"] == "http://127.0.0.1:18080/v1/models/loan-default:predict"


def test_every_pod_is_as_restricted_as_can_be(graph):
    found = pods(graph)
    assert len(found) > 10
    assert {name: wrong for name, pod in found.items() if (wrong := loose(pod))} == {}


def test_no_metadata_holds_an_empty_map(graph):
    """An API server drops it, so that the provider reports an update at every run."""
    assert empty_maps(graph) == []


def test_no_container_is_refused_by_its_namespaces_limits(graph):
    assert {PROXIES, "mlplatform", "loan-default"} <= set(ranges(graph))
    assert len({owner for owner, *_ in containers(graph)}) > 20
    assert refusals(graph) == []


def test_no_pod_has_a_token_of_the_cluster_that_does_not_need_one(graph):
    assert {name for name, pod in pods(graph).items() if pod.get("automountServiceAccountToken") is not False} == set()


def test_every_namespace_of_ours_is_closed_by_default(graph):
    namespaces = {each.get("metadata.name") for each in graph.all("kubernetes:core/v1:Namespace")}
    closed = {
        each.get("metadata.namespace")
        for each in graph.all("NetworkPolicy")
        if not each.get("spec.podSelector.matchLabels", {})
        and each.get("spec.policyTypes") == ["Ingress", "Egress"]
        and not each.get("spec.ingress", [])
        and not each.get("spec.egress", [])
    }
    assert {"mlplatform", "loan-default"} <= closed
    assert namespaces - closed == set()


def test_whoever_may_connect_is_named(graph):
    """Webhooks are asked by the API server, and gateways by anybody, which have no labels to be told by."""
    anybody = {
        each.name
        for each in policies(graph, "ingress")
        for rule in each.get("spec.ingress")
        if each.get("metadata.namespace") in {"mlplatform", "loan-default"}
        and not all(peer.get("podSelector", {}).get("matchLabels") for peer in rule.get("from", [{}]))
    }
    assert anybody == set()


def test_every_path_has_both_its_ends(graph):
    """What pods say they call is let out where they are, and let in where it is served."""
    paths_ = (
        "spec.template.metadata.labels",
        "spec.jobTemplate.spec.template.metadata.labels",
        "spec.predictor.labels",
    )
    labels = [each.get(path, {}) for each in graph.resources for path in paths_]
    called = {key.split("calls-")[1] for each in labels for key in each if "/calls-" in key} - {"api-server"}
    assert {"artifact-store", "database", "model-server", "online-store", "tracking"} <= called
    out = {
        key.split("calls-")[1]
        for each in policies(graph, "egress")
        for key in each.get("spec.podSelector.matchLabels", {})
        if "/calls-" in key
    }
    assert called - out == set()
    served = {
        value
        for each in policies(graph, "ingress")
        for key, value in each.get("spec.podSelector.matchLabels", {}).items()
        if key == f"{LABEL_PREFIX}/serves"
    }
    assert called - served == set()


def test_credentials_are_in_secrets_only_and_every_secret_is_secret(graph):
    for secret in graph.all("kubernetes:core/v1:Secret"):
        hidden = {path.removeprefix("stringData.") for path in secret.secret_inputs}
        assert "stringData" in hidden or set(secret.inputs["stringData"]) <= hidden, secret.name
    elsewhere = [
        each.name
        for each in graph.resources
        if each.secret_inputs and not each.type.endswith(("v1:Secret", "providers:kubernetes"))
    ]
    assert elsewhere == []


def test_only_pods_of_the_retraining_service_read_the_key_that_signs(graph):
    (secret,) = [each for each in graph.all("Secret") if "SIGNING_KEY" in each.get("stringData")]
    (reading,) = [name for name, pod in pods(graph).items() if f"{secret.name}-" in json.dumps(pod, default=str)]
    assert reading == "loan-default-retraining-pods"


def test_no_output_of_the_stack_carries_a_credential(graph):
    plain = {name: value for name, value in graph.outputs.items() if name not in graph.secret_outputs}
    assert "-value" not in json.dumps(plain)
    assert graph.secret_outputs == {"kubeconfig", *SECRETS_OF_A_WORKLOAD, *SECRETS_OF_A_WORKLOAD.values()}


def test_the_outputs_are_those_that_others_rely_on(graph):
    assert set(graph.outputs) - {"forwards"} == {
        "alertmanager_url",
        "artifact_store_uri",
        "drift_report_url",
        "endpoints",
        "feature_server_url",
        "grafana_url",
        "kubeconfig",
        "mlflow_url",
        "model_url",
        "online_store_url",
        "outcomes_token",
        "outcomes_tokens",
        "pipelines_url",
        "policy_url",
        "prediction_probe",
        "prediction_probes",
        "prediction_url",
        "prometheus_url",
        "retrain_token",
        "retrain_tokens",
        "retrain_url",
        "start_url",
        "workload",
        "workloads",
    }


def test_every_forwarded_port_leads_to_one_server(graph):
    forwards = graph.outputs["forwards"]
    ports = [each["local_port"] for each in forwards.values()]
    assert len(set(ports)) == len(ports)
    assert forwards["model"]["url"].startswith("http://loan-default-model.loan-default.svc.cluster.local:")


def test_only_training_on_cuda_asks_for_gpus(graph, on_cuda):
    def on_gpus(graph):
        found = pods(graph)
        return {name for name, pod in found.items() if GPU in pod["containers"][0]["resources"].get("limits", {})}

    assert on_gpus(graph) == set()
    assert on_gpus(on_cuda) == {"loan-default-release-run", "loan-default-retraining-pods"}


def test_only_tasks_that_request_a_gpu_are_placed_on_gpu_nodes(on_cuda):
    for pod in pods(on_cuda).values():
        asks = GPU in pod["containers"][0]["resources"].get("limits", {})
        assert asks == (f"{GPU}.present" in (pod.get("nodeSelector") or {}))
        assert asks == any(each.get("key") == GPU for each in pod.get("tolerations") or [])


def test_no_service_waits_for_pods_whose_own_error_says_more(graph):
    waiting = [
        each.name
        for each in graph.all("kubernetes:core/v1:Service")
        if (each.get("metadata.annotations") or {}).get("pulumi.com/skipAwait") != "true"
    ]
    assert waiting == []


def test_custom_resource_waits_for_controller_and_namespace_guards(graph):
    quota = graph.one("ResourceQuota", "loan-default-namespace-quota")
    assert quota in graph.dependencies(graph.one("*:InferenceService"))
    waits_for = {each.name for each in graph.dependencies(quota)}
    assert {"controllers-kserve", "admission-gatekeeper", "loan-default-namespace-closed"} <= waits_for


def test_pin_changes_the_server_and_not_the_release_and_is_proved(pulumi_run, graph):
    pinned = {"serving": {"model_version": "7"}, "retraining": {"enabled": False}}
    before, after = graph, pulumi_run(program(loan_default=pinned))

    def server(graph):
        (main,) = graph.one("*:InferenceService").get("spec.predictor.containers")
        return {each["name"]: each.get("value") for each in main["env"]}

    assert json.loads(server(after)["WORKLOAD_SETTINGS"])["serving"] == {"model_version": "7"}
    assert server(before) != server(after)
    (job,) = pods(after)["loan-default-pinned-run"]["containers"]
    assert job["command"][-2:] == ["workloads.lifecycle.pipelines.deployment", "7"]
    release = [pods(each)["loan-default-release-run"]["containers"][0] for each in (before, after)]
    assert release[0] == release[1]
    gone = {each.name for each in before.resources} - {each.name for each in after.resources}
    assert {"loan-default-scheduled-retrain-times", "loan-default-pipeline-run"} <= gone


def test_scheduled_retrain_goes_to_the_service_and_not_to_pipelines(graph):
    pod = pods(graph)["loan-default-scheduled-retrain-times"]
    (main,) = pod["containers"]
    variables = {each["name"]: each.get("value") for each in main["env"]}
    assert variables["RETRAIN_URL"] == "http://loan-default-retraining.loan-default.svc.cluster.local:8080/retrain"
    timed = [each.get("spec.jobTemplate.spec.template.spec") for each in graph.all("CronJob")]
    assert "workloads.lifecycle.pipelines.kubeflow" not in json.dumps(timed)


def test_spark_spreads_over_as_many_pods_as_the_stack_file_says(pulumi_run):
    graph = pulumi_run(program(loan_default={"spark_executors": 3}))
    (main,) = pods(graph)["loan-default-nightly-times"]["containers"]
    variables = {each["name"]: each.get("value") for each in main["env"]}
    ingestion = json.loads(variables["WORKLOAD_SETTINGS"])["ingestion"]
    assert ingestion["spark_master"].startswith("k8s://")
    assert ingestion["spark_kubernetes"]["executors"] == 3
    assert ingestion["spark_kubernetes"]["namespace"] == "loan-default"
    assert graph.one("*:ServiceAccount", "loan-default-spark-account").get("metadata.name") == "loan-default-spark"
