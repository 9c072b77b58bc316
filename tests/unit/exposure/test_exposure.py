import pulumi
import pytest

from infra import exposure
from infra.exposure.settings import GatewaySettings, NodePortSettings, PortForwardSettings
from infra.exposure.spec import Address
from tests.clusters import on_cluster

PREDICT = "http://model.loan-default.svc.cluster.local:8080/v1/models/m:predict"
STATUS = "http://model.loan-default.svc.cluster.local:8080/v1/models/m"
RUNS = "http://tracking.mlplatform.svc.cluster.local:5000"
GATEWAY = GatewaySettings(kind="gateway", domain="ml.example.org", issuer="letsencrypt")
NODE_PORT = NodePortSettings(kind="node-port", domain="ml.example.org", issuer="own", port=31_000)


def exposed(settings):
    """A program that exposes a model server under two URLs, and a tracking server."""

    def build(substrate, opts):
        made = exposure.build("exposure", settings, substrate, opts)
        urls = {"prediction": ("model", "model-server", PREDICT), "status": ("model", "model-server", STATUS)}
        for key, (name, path, url) in {**urls, "runs": ("mlflow", "tracking", RUNS)}.items():
            pulumi.export(key, made.expose(name, path, pulumi.Output.from_input(url)))
        pulumi.export("forwards", [(each.name, each.local_port) for each in made.forwards()])

    return on_cluster(build)


def test_port_forwarding_gives_each_server_one_loopback_port(pulumi_run):
    outputs = pulumi_run(exposed(PortForwardSettings(kind="port-forward", first_port=20_000))).outputs
    assert outputs["prediction"] == "http://127.0.0.1:20000/v1/models/m:predict"
    assert outputs["status"] == "http://127.0.0.1:20000/v1/models/m"
    assert outputs["runs"] == "http://127.0.0.1:20001"
    assert outputs["forwards"] == [["model", 20_000], ["mlflow", 20_001]]


def test_port_forwarding_opens_nothing_on_the_cluster(pulumi_run):
    assert not pulumi_run(exposed(PortForwardSettings(kind="port-forward"))).all("kubernetes:*")


def test_a_gateway_gives_each_server_a_host_over_https(pulumi_run):
    graph = pulumi_run(exposed(GATEWAY))
    assert graph.outputs["prediction"] == "https://model.ml.example.org/v1/models/m:predict"
    assert graph.outputs["runs"] == "https://mlflow.ml.example.org"
    (listener,) = graph.one("*:Gateway").get("spec.listeners")
    assert (listener["protocol"], listener["tls"]["mode"]) == ("HTTPS", "Terminate")
    routes = {each.get("spec.hostnames")[0]: each for each in graph.all("*:HTTPRoute")}
    assert set(routes) == {"model.ml.example.org", "mlflow.ml.example.org"}
    route = routes["model.ml.example.org"]
    assert route.get("metadata.namespace") == "loan-default"
    assert route.get("spec.rules[0].backendRefs") == [{"name": "model", "port": 8080}]


def test_only_the_gateways_pods_reach_what_it_exposes_and_on_its_port_only(pulumi_run):
    policy = pulumi_run(exposed(GATEWAY)).one("NetworkPolicy", "exposure-model")
    assert policy.get("metadata.namespace") == "loan-default"
    assert policy.get("spec.podSelector.matchLabels") == {"mlplatform.dev/serves": "model-server"}
    (rule,) = policy.get("spec.ingress")
    assert rule["from"][0]["podSelector"]["matchLabels"] == {"gateway.envoyproxy.io/owning-gateway-name": "exposure"}
    assert rule["ports"] == [{"port": 8080, "protocol": "TCP"}]


def test_a_node_port_is_the_gateways_port_on_every_node(pulumi_run):
    graph = pulumi_run(exposed(NODE_PORT))
    assert graph.outputs["runs"] == "https://mlflow.ml.example.org:31000"
    service = graph.one("*:EnvoyProxy").get("spec.provider.kubernetes.envoyService")
    assert service["type"] == "NodePort"
    assert service["patch"]["value"]["spec"]["ports"][0]["nodePort"] == 31_000
    assert graph.one("*:Gateway").get("spec.infrastructure.parametersRef.kind") == "EnvoyProxy"


@pytest.mark.parametrize("settings", [GATEWAY, NODE_PORT], ids=["gateway", "node-port"])
def test_a_preview_shows_the_urls_before_there_is_a_cluster(pulumi_run, settings):
    assert pulumi_run(exposed(settings), preview=True).outputs["runs"].startswith("https://mlflow.ml.example.org")


@pytest.mark.parametrize("url", ["http://127.0.0.1:80/", "redis://", "https://a.example.org"])
def test_a_url_that_leads_to_no_service_is_refused(url):
    with pytest.raises(ValueError, match="no URL of a Service"):
        Address.of(url)
