"""Two workloads on one stack: each has what is its own, and neither reaches the other's."""

import json
from urllib.parse import urlsplit

import pytest

from infra.kube.objects import LABEL_PREFIX, OURS, WORKLOAD
from tests.clusters import pods
from tests.dev import program as dev
from tests.graph.test_local import program as local

BOTH = ["loan_default", "turbofan"]
SPACES = {"loan-default", "turbofan"}


@pytest.fixture(scope="module")
def graphs():
    """Graphs of this module: a run takes seconds, and a graph is frozen."""
    return {}


@pytest.fixture
def cluster(pulumi_run, graphs):
    if "dev" not in graphs:
        graphs["dev"] = pulumi_run(dev(workloads=BOTH))
    return graphs["dev"]


@pytest.fixture
def host(pulumi_run, graphs):
    if "local" not in graphs:
        graphs["local"] = pulumi_run(local(workloads=BOTH))
    return graphs["local"]


def variables(resource):
    return resource.inputs["environment"]


def test_each_workload_has_a_namespace_of_its_own(cluster):
    labels = {each.get("metadata.name"): each.get("metadata.labels") for each in cluster.all("Namespace")}
    assert {name for name, found in labels.items() if WORKLOAD in (found or {})} == SPACES
    quotas = {each.get("metadata.namespace") for each in cluster.all("ResourceQuota")}
    assert quotas >= SPACES


def test_every_pod_of_a_workload_is_in_its_namespace(cluster):
    of_pods = {name: space for name, space in spaces(cluster).items() if name.startswith(tuple(SPACES))}
    elsewhere = {name for name, space in of_pods.items() if not name.startswith(space)}
    assert len(of_pods) - len(elsewhere) > 8
    platforms = ("-features-server", "-creation-job")  # of the feature store and the database
    assert {name for name in elsewhere if not name.endswith(platforms)} == set()


def spaces(cluster):
    kinds = ("Deployment", "CronJob", "Job", "InferenceService", "StatefulSet")
    return {each.name: each.get("metadata.namespace") for kind in kinds for each in cluster.all(kind)}


def test_what_a_workload_serves_is_closed_to_the_other_ones_pods(cluster):
    opened = [each for each in cluster.all("NetworkPolicy") if each.get("metadata.namespace") in SPACES]
    opened = [each for each in opened if "ingress" in each.get("spec")]
    assert len(opened) >= 4
    for each in opened:
        for rule in each.get("spec")["ingress"]:
            for peer in rule["from"]:
                selector = peer.get("namespaceSelector")
                expected = {"matchLabels": OURS, "matchExpressions": [{"key": WORKLOAD, "operator": "DoesNotExist"}]}
                assert selector in (None, expected), each.name


def test_no_pod_of_a_workload_has_a_way_to_a_feature_server(cluster):
    """They look features up in the online store; a server asks nobody who they are."""
    serving = {"matchLabels": {f"{LABEL_PREFIX}/serves": "feature-server"}}
    opened = [each for each in cluster.all("NetworkPolicy") if each.get("spec").get("podSelector") == serving]
    assert len(opened) == len(SPACES)
    for each in opened:
        assert each.get("metadata.namespace") == "mlplatform"
        (rule,) = each.get("spec")["ingress"]
        same, platforms = (peer.get("namespaceSelector") for peer in rule["from"])
        assert same is None
        assert platforms["matchExpressions"] == [{"key": WORKLOAD, "operator": "DoesNotExist"}]


def test_each_workload_has_a_ledger_and_a_token_of_its_own(host):
    services = {name: host.one("host:index:Process", f"{name}-retraining-process") for name in SPACES}
    for key in ("RETRAIN_DATABASE", "RETRAIN_TOKEN"):
        assert len({json.dumps(variables(each)[key]) for each in services.values()}) == len(SPACES)
    assert {variables(each)["WORKLOAD"] for each in services.values()} == {
        "workloads.loan_default.definition:LOAN_DEFAULT",
        "workloads.turbofan.definition:TURBOFAN",
    }


def test_flat_outputs_are_those_of_the_default_workload(host, pulumi_run):
    endpoints = host.outputs["endpoints"]
    assert set(endpoints) == SPACES
    assert host.outputs["prediction_url"] == endpoints["loan-default"]["prediction_url"]
    other = pulumi_run(local(workloads=BOTH, default_workload="turbofan")).outputs
    assert other["prediction_url"] == other["endpoints"]["turbofan"]["prediction_url"]
    assert "/models/turbofan" in other["prediction_url"]


def test_a_second_workload_changes_nothing_of_the_first(host, pulumi_run):
    def first(graph):
        return {
            each.name: json.dumps(each.inputs, default=str, sort_keys=True)
            for each in graph.all("host:index:Process")
            if each.name.startswith("loan-default")
        }

    assert first(host) == first(pulumi_run(local()))


def test_pods_of_both_workloads_run_as_accounts_of_their_own(cluster):
    accounts = {each.get("metadata.namespace") for each in cluster.all("ServiceAccount")}
    assert accounts >= SPACES
    assert pods(cluster)


def told(cluster):
    """Secret variables of every pod, by the maker's name."""
    secrets = {each.outputs["metadata"]["name"]: each.get("stringData") for each in cluster.all("Secret")}
    found = {}
    for name, pod in pods(cluster).items():
        references = [
            (each["name"], each["valueFrom"]["secretKeyRef"])
            for each in pod["containers"][0].get("env", [])
            if "valueFrom" in each
        ]
        found[name] = {variable: secrets[of["name"]][of["key"]] for variable, of in references if of["name"] in secrets}
    return found


@pytest.mark.parametrize("variable", ["FEAST_REGISTRY", "RETRAIN_DATABASE"])
def test_each_workload_has_databases_and_roles_of_its_own(cluster, variable):
    urls = {
        name: {given[variable] for pod, given in told(cluster).items() if pod.startswith(name) and variable in given}
        for name in SPACES
    }
    assert {len(each) for each in urls.values()} == {1}
    known = [urlsplit(url) for (url,) in urls.values()]
    for part in ("username", "password", "path"):
        assert len({getattr(each, part) for each in known}) == len(SPACES), part


def test_each_workload_has_users_of_its_own_in_the_online_store(cluster):
    users = {pod: given["FEAST_ONLINE_STORE"] for pod, given in told(cluster).items() if "FEAST_ONLINE_STORE" in given}
    assert len(users) > 10
    for pod, connection in users.items():
        name = next(each for each in SPACES if pod.startswith(each))
        reads = any(part in pod for part in ("features-server", "model", "batch", "monitoring"))
        user = f"{name.replace('-', '_')}_{'reader' if reads else 'writer'}"
        assert f",username={user},password=online-store-{user.replace('_', '-')}-password-value" in connection


def test_no_pod_of_a_workload_has_the_password_of_a_store_itself(cluster):
    own = {f"{store}-password-value" for store in ("online-store", "database")}
    holders = {pod for pod, given in told(cluster).items() if own & set(given.values())}
    assert holders
    platforms = {"online-store-server", "database-server"}
    assert {each for each in holders - platforms if not each.endswith("-creation-job")} == set()
    assert {spaces(cluster)[each] for each in holders} == {"mlplatform"}


def test_each_workload_has_keys_of_the_artifact_store_of_its_own(cluster):
    keys = {pod: given["AWS_ACCESS_KEY_ID"] for pod, given in told(cluster).items() if "AWS_ACCESS_KEY_ID" in given}
    assert len(keys) > 10
    for pod, key in keys.items():
        owner = next((each for each in SPACES if pod.startswith(each)), "mlflow")
        assert key == f"artifact-store-{owner}-access-key-value", pod


def test_pipelines_of_a_workload_have_its_own_credentials(cluster):
    given = {name: cluster.one("Secret", f"{name}-pipeline-secrets").get("stringData") for name in SPACES}
    for variable in ("AWS_ACCESS_KEY_ID", "FEAST_ONLINE_STORE", "FEAST_REGISTRY"):
        assert len({each[variable] for each in given.values()}) == len(SPACES)
