import pulumi
import pytest

from infra import exposure
from infra.exposure.settings import GatewaySettings, NodePortSettings, PortForwardSettings
from infra.exposure.spec import Address, LoginError, Server
from tests.clusters import on_cluster

PREDICT = "http://model.loan-default.svc.cluster.local:8080/v1/models/m:predict"
STATUS = "http://model.loan-default.svc.cluster.local:8080/v1/models/m"
PAGES = "http://grafana.monitoring.svc.cluster.local:80"
RUNS = "http://tracking.mlplatform.svc.cluster.local:5000"
CACHE = "rediss://master.cache.amazonaws.com:6379"
OIDC = {"kind": "oidc", "issuer": "https://login.example.org/realms/ml", "client_id": "ml"}
GATEWAY = GatewaySettings(kind="gateway", domain="ml.example.org", issuer="letsencrypt", login=OIDC)
NODE_PORT = NodePortSettings(
    kind="node-port", domain="ml.example.org", issuer="own", port=31_000, login={"kind": "none"}
)
POLICIES = "*:SecurityPolicy"


def gateway(**settings):
    """A gateway with other settings."""
    return GatewaySettings.model_validate({**GATEWAY.model_dump(), **settings})


def exposed(settings, secret="s3cret"):
    """A program that exposes a model server under two URLs, a tracking server, pages, and a cache."""

    def build(substrate, opts):
        made = exposure.build("exposure", settings, substrate, secret, opts)
        model = Server(name="model", path="model-server", model=True)
        for key, server, url in [
            ("prediction", model, PREDICT),
            ("status", model, STATUS),
            ("runs", Server(name="mlflow", path="tracking"), RUNS),
            ("pages", Server(name="grafana", path="monitoring", pod_port=3000), PAGES),
            ("cache", Server(name="cache", path="online-store", http=False), CACHE),
        ]:
            pulumi.export(key, made.expose(server, pulumi.Output.from_input(url)))
        pulumi.export("forwards", [(each.name, each.local_port) for each in made.forwards()])
        pulumi.export("hosts", made.hosts("mlflow"))

    return on_cluster(build)


def test_port_forwarding_gives_each_server_one_loopback_port(pulumi_run):
    outputs = pulumi_run(exposed(PortForwardSettings(kind="port-forward", first_port=20_000))).outputs
    assert outputs["prediction"] == "http://127.0.0.1:20000/v1/models/m:predict"
    assert outputs["status"] == "http://127.0.0.1:20000/v1/models/m"
    assert outputs["runs"] == "http://127.0.0.1:20001"
    assert outputs["forwards"][:2] == [["model", 20_000], ["mlflow", 20_001]]
    assert outputs["hosts"] == []


@pytest.mark.parametrize("settings", [PortForwardSettings(kind="port-forward"), GATEWAY])
def test_a_server_exposed_after_the_ports_were_listed_is_refused(pulumi_run, settings):
    def build(substrate, opts):
        made = exposure.build("exposure", settings, substrate, "s3cret", opts)
        made.forwards()
        made.expose(Server(name="late", path="late"), pulumi.Output.from_input(PAGES))

    with pytest.raises(Exception, match="a server of the outputs was registered after the list of ports"):
        pulumi_run(on_cluster(build))


def test_port_forwarding_opens_nothing_on_the_cluster(pulumi_run):
    assert not pulumi_run(exposed(PortForwardSettings(kind="port-forward"))).all("kubernetes:*")


def test_a_gateway_gives_each_server_a_host_over_https(pulumi_run):
    graph = pulumi_run(exposed(GATEWAY))
    assert graph.outputs["prediction"] == "https://model.ml.example.org/v1/models/m:predict"
    assert graph.outputs["runs"] == "https://mlflow.ml.example.org"
    (listener,) = graph.one("*:Gateway").get("spec.listeners")
    assert (listener["protocol"], listener["tls"]["mode"]) == ("HTTPS", "Terminate")
    routes = {each.get("spec.hostnames")[0]: each for each in graph.all("*:HTTPRoute")}
    assert set(routes) == {f"{name}.ml.example.org" for name in ("model", "mlflow", "grafana")}
    route = routes["model.ml.example.org"]
    assert route.get("metadata.namespace") == "loan-default"
    assert route.get("spec.rules[0].backendRefs") == [{"name": "model", "port": 8080}]


def test_only_gateway_pods_reach_what_it_exposes_and_on_its_port_only(pulumi_run):
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


def test_gateway_pods_reach_server_pods_whose_service_port_differs(pulumi_run):
    policy = pulumi_run(exposed(GATEWAY)).one("NetworkPolicy", "exposure-grafana")
    (rule,) = policy.get("spec.ingress")
    assert rule["ports"] == [{"port": 3000, "protocol": "TCP"}]


def test_what_does_not_speak_http_keeps_its_url_and_has_no_route(pulumi_run):
    graph = pulumi_run(exposed(GATEWAY))
    assert graph.outputs["cache"] == CACHE
    assert not [each.name for each in graph.resources if "cache" in each.name]


def test_a_server_that_checks_its_host_is_told_all_that_it_has(pulumi_run):
    assert pulumi_run(exposed(GATEWAY)).outputs["hosts"] == ["mlflow.ml.example.org", "mlflow.ml.example.org:443"]
    assert pulumi_run(exposed(NODE_PORT)).outputs["hosts"][1] == "mlflow.ml.example.org:31000"


def test_gateway_requires_a_login_and_its_routes_come_later(pulumi_run):
    graph = pulumi_run(exposed(GATEWAY))
    policy = graph.one(POLICIES)
    assert policy.get("spec.targetRefs") == [
        {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "exposure"}
    ]
    oidc = policy.get("spec.oidc")
    assert oidc["provider"] == {"issuer": "https://login.example.org/realms/ml"}
    assert oidc["redirectURL"] == "https://start.ml.example.org/oauth2/callback"
    assert oidc["cookieDomain"] == "ml.example.org"
    for route in graph.all("*:HTTPRoute"):
        assert policy in graph.dependencies(route)


def test_programs_go_past_a_login_by_forwarded_ports(pulumi_run):
    forwards = pulumi_run(exposed(GATEWAY)).outputs["forwards"]
    assert forwards == [["model", 18_080], ["mlflow", 18_081], ["grafana", 18_082]]
    assert pulumi_run(exposed(NODE_PORT)).outputs["forwards"] == []


def test_the_clients_secret_is_in_a_secret_and_secret_in_the_state(pulumi_run):
    secret = pulumi_run(exposed(GATEWAY)).one("Secret")
    assert secret.get("stringData.client-secret") == "s3cret"
    secret.assert_secret("stringData.client-secret")


def test_login_without_client_secret_is_refused_with_the_command(pulumi_run):
    with pytest.raises(LoginError, match="pulumi config set --secret mlplatform:login_client_secret"):
        pulumi_run(exposed(GATEWAY, secret=None))


@pytest.mark.parametrize("sources", [[], ["0.0.0.0/0"], ["10.0.0.0/8", "198.51.100.0/22"]])
def test_gateway_without_login_reached_by_the_internet_is_refused(sources):
    with pytest.raises(ValueError, match=r"login\.kind is none.*give login\.kind oidc"):
        gateway(login={"kind": "none"}, sources=sources)


def test_gateway_without_login_admits_private_networks_only(pulumi_run):
    graph = pulumi_run(exposed(gateway(login={"kind": "none"}, sources=["10.0.0.0/8"])))
    service = graph.one("*:EnvoyProxy").get("spec.provider.kubernetes.envoyService")
    assert service == {"type": "LoadBalancer", "loadBalancerSourceRanges": ["10.0.0.0/8"]}
    assert not graph.all(POLICIES)


def test_programs_reach_the_model_from_their_networks_and_no_other(pulumi_run):
    graph = pulumi_run(exposed(gateway(model_access={"kind": "network", "cidrs": ["10.0.0.0/8"]})))
    policy = graph.one(POLICIES, "exposure-model-access")
    (target,) = policy.get("spec.targetRefs")
    route = next(each for each in graph.all("*:HTTPRoute") if each.get("metadata.name") == target["name"])
    assert route.get("spec.hostnames") == ["model.ml.example.org"]
    assert policy.get("metadata.namespace") == route.get("metadata.namespace") == "loan-default"
    authorization = policy.get("spec.authorization")
    assert authorization["defaultAction"] == "Deny"
    assert [rule["principal"] for rule in authorization["rules"]] == [{"clientCIDRs": ["10.0.0.0/8"]}]
    assert len(graph.all(POLICIES)) == 2


def test_programs_reach_the_model_with_a_token_for_its_audience(pulumi_run):
    keys = "https://login.example.org/keys"
    access = {"kind": "token", "audience": "loan-default", "keys_url": keys}
    policy = pulumi_run(exposed(gateway(model_access=access))).one(POLICIES, "exposure-model-access")
    (provider,) = policy.get("spec.jwt.providers")
    assert provider["issuer"] == OIDC["issuer"]
    assert provider["audiences"] == ["loan-default"]
    assert provider["remoteJWKS"] == {"uri": keys}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"model_access": {"kind": "network", "cidrs": ["0.0.0.0/0"]}}, "lets everybody use the model"),
        ({"login": {**OIDC, "issuer": "http://login.example.org"}}, "login.oidc.issuer"),
        ({"login": {**OIDC, "client_id": ""}}, "login.oidc.client_id"),
        ({"login": None}, "login"),
        (
            {
                "login": {"kind": "none"},
                "sources": ["10.0.0.0/8"],
                "model_access": {"kind": "token", "audience": "a", "keys_url": "https://a.example.org"},
            },
            "model_access.kind token needs an issuer",
        ),
    ],
)
def test_what_cannot_be_or_opens_the_model_to_everybody_is_refused(settings, said):
    with pytest.raises(ValueError, match=said):
        gateway(**settings)


@pytest.mark.parametrize("settings", [GATEWAY, NODE_PORT], ids=["gateway", "node-port"])
def test_a_preview_shows_the_urls_before_there_is_a_cluster(pulumi_run, settings):
    assert pulumi_run(exposed(settings), preview=True).outputs["runs"].startswith("https://mlflow.ml.example.org")


@pytest.mark.parametrize("url", ["http://127.0.0.1:80/", "redis://", "https://a.example.org"])
def test_a_url_that_leads_to_no_service_is_refused(url):
    with pytest.raises(ValueError, match="no URL of a Service"):
        Address.of(url)


@pytest.mark.parametrize("settings", [GATEWAY, NODE_PORT], ids=["gateway", "node-port"])
def test_servers_admit_proxies_of_envoys_namespace_only(pulumi_run, settings):
    policies = pulumi_run(exposed(settings)).all("NetworkPolicy")
    peers = [peer for each in policies for rule in each.get("spec.ingress") or [] for peer in rule["from"]]
    envoy = {"matchLabels": {"kubernetes.io/metadata.name": "envoy-gateway-system"}}
    assert peers
    assert [peer for peer in peers if peer["namespaceSelector"] != envoy] == []


@pytest.mark.parametrize("settings", [GATEWAY, NODE_PORT], ids=["gateway", "node-port"])
def test_gateway_proxies_have_requests_and_limits(pulumi_run, settings):
    proxy = pulumi_run(exposed(settings)).one("*:EnvoyProxy")
    resources = proxy.get("spec.provider.kubernetes.envoyDeployment.container.resources")
    assert resources["limits"]["memory"] == resources["requests"]["memory"]
