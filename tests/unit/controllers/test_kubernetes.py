import pulumi
import pytest

from infra import controllers
from infra.controllers.settings import OfficialChartsSettings
from tests.clusters import on_cluster


def declare(**settings):
    def build(substrate, opts):
        chosen = OfficialChartsSettings(kind="official-charts", **settings)
        made = controllers.build("controllers", chosen, substrate, ["loan-default"], opts)
        pulumi.export("ready", [each.urn for each in made.ready])

    return on_cluster(build)


@pytest.fixture
def graph(pulumi_run):
    return pulumi_run(declare())


def before(graph, resource):
    """Everything that must be there before a resource is made."""
    found, todo = set(), [resource]
    while todo:
        for each in graph.dependencies(todo.pop()):
            if each.urn not in found:
                found.add(each.urn)
                todo.append(each)
    return {graph_name(urn) for urn in found}


def graph_name(urn):
    return urn.rpartition("::")[2]


def test_each_controller_has_a_closed_namespace_for_restricted_pods(graph):
    namespaces = graph.all("Namespace")
    names = {each.get("metadata.name") for each in namespaces}
    assert names == {"cert-manager", "envoy-gateway-system", "kserve", "spark-operator"}
    for namespace in namespaces:
        assert namespace.get("metadata.labels")["pod-security.kubernetes.io/enforce"] == "restricted"
        closed = graph.one("NetworkPolicy", f"{namespace.name}-closed")
        assert closed.get("spec.policyTypes") == ["Ingress", "Egress"]
        assert {"ingress", "egress"} & set(closed.get("spec")) == set()


def test_a_controller_is_installed_once_its_namespace_is_closed(graph):
    for release in graph.all("Release"):
        known = before(graph, release)
        assert [name for name in known if name.endswith("-closed")]


def test_kserve_comes_after_certificates_gateways_and_its_definitions(graph):
    known = before(graph, graph.one("Release", "controllers-kserve"))
    assert {
        "controllers-cert-manager",
        "controllers-gateway",
        "controllers-envoy-internal-class",
        "controllers-models",
        "controllers-kserve-crds",
    } <= known


def test_kserve_runs_without_knative_and_routes_by_our_gateway(graph):
    values = graph.one("Release", "controllers-kserve").get("values.kserve")
    assert values["controller"]["deploymentMode"] == "Standard"
    gateway = values["controller"]["gateway"]["ingressGateway"]
    made = graph.one("kubernetes:gateway.networking.k8s.io/v1:Gateway")
    assert gateway["kserveGateway"] == f"kserve/{made.get('metadata.name')}"
    assert gateway["enableGatewayApi"] is True


def test_models_are_not_exposed_by_kserves_own_gateway(graph):
    made = graph.one("kubernetes:gateway.networking.k8s.io/v1:Gateway")
    (chosen,) = [
        each
        for each in graph.all("kubernetes:gateway.networking.k8s.io/v1:GatewayClass")
        if each.get("metadata.name") == made.get("spec.gatewayClassName")
    ]
    proxy = graph.one("kubernetes:gateway.envoyproxy.io/v1alpha1:EnvoyProxy", "*internal")
    assert chosen.get("spec.parametersRef.name") == proxy.get("metadata.name")
    assert proxy.get("spec.provider.kubernetes.envoyService.type") == "ClusterIP"


def test_every_gateway_class_gives_its_proxies_requests_and_limits(graph):
    proxies = {each.get("metadata.name"): each for each in graph.all("*:EnvoyProxy")}
    for gateway_class in graph.all("*:GatewayClass"):
        proxy = proxies[gateway_class.get("spec.parametersRef.name")]
        resources = proxy.get("spec.provider.kubernetes.envoyDeployment.container.resources")
        assert resources["limits"]["memory"] == resources["requests"]["memory"]


def test_runtimes_wait_for_the_controller_whose_webhook_judges_them(pulumi_run):
    graph = pulumi_run(declare(runtimes=True))
    runtimes = graph.one("Release", "controllers-kserve-runtimes")
    assert graph.one("Release", "controllers-kserve") in graph.dependencies(runtimes)
    assert runtimes.get("values.kserve.servingruntime.enabled") is True


def test_whoever_needs_controllers_waits_for_all_of_them(graph):
    ready = {graph_name(urn) for urn in graph.outputs["ready"]}
    assert {"controllers-cert-manager", "controllers-kserve", "controllers-spark-operator"} <= ready


def test_without_spark_namespaces_there_is_no_spark_operator(pulumi_run):
    graph = pulumi_run(declare(spark_namespaces=[]))
    assert "controllers-spark-operator" not in {each.name for each in graph.all("Release")}


@pytest.mark.parametrize("keep", [True, False])
def test_stack_file_decides_whether_certificates_outlive_the_stack(pulumi_run, keep):
    release = pulumi_run(declare(keep_crds=keep)).one("Release", "controllers-cert-manager")
    assert release.get("values.crds") == {"enabled": True, "keep": keep}


@pytest.mark.parametrize("keep", [True, False])
def test_kserves_definitions_stay_unless_the_stack_file_drops_them(pulumi_run, keep):
    release = pulumi_run(declare(keep_crds=keep)).one("Release", "controllers-kserve-crds")
    assert bool(release.options.get("retainOnDelete")) is keep


def test_a_controller_without_a_webhook_admits_nobody_from_outside(graph):
    opened = {
        each.name.removesuffix("-open"): each for each in graph.all("NetworkPolicy") if each.name.endswith("-open")
    }
    rules = opened["controllers-envoy-gateway-system"].get("spec.ingress")
    assert rules == [{"from": [{"podSelector": {}}]}]
