import json

import pulumi
import pytest

from infra import monitoring
from infra.monitoring import WatchSpec, Webhook
from infra.monitoring.settings import PrometheusOnKubernetesSettings
from infra.monitoring.watching import MatcherError, matcher
from tests.clusters import loose, on_cluster, pods

RULES = json.dumps({"groups": [{"name": "g", "rules": [{"alert": "A", "expr": "up == 0"}]}]})
TARGET = "model.loan-default.svc.cluster.local:8080"
HOOK = "http://retraining.loan-default.svc.cluster.local:8090/alerts"


def declare(**settings):
    def build(substrate, opts):
        chosen = PrometheusOnKubernetesSettings(kind="prometheus-on-kubernetes", **settings)
        made = monitoring.build("monitoring", chosen, substrate, opts)
        webhook = Webhook(
            url=HOOK, token=pulumi.Output.secret("hunter2"), matchers=['alertname="A"', 'model=~"loan.*"']
        )
        spec = WatchSpec(targets={"model": TARGET}, rules=RULES, webhook=webhook, dashboards={"model": "{}"}, opts=opts)
        made.watch({"watch": spec})
        for name in ("prometheus_url", "alertmanager_url", "grafana_url", "pushgateway_url"):
            pulumi.export(name, getattr(made, name))

    return on_cluster(build)


@pytest.fixture
def graph(pulumi_run):
    return pulumi_run(declare())


def test_urls_are_those_of_the_charts_services(graph):
    values = graph.one("Release").get("values")
    assert values["fullnameOverride"] == "monitoring"
    assert graph.outputs == {
        "prometheus_url": "http://monitoring-prometheus.monitoring.svc.cluster.local:9090",
        "alertmanager_url": "http://monitoring-alertmanager.monitoring.svc.cluster.local:9093",
        "grafana_url": "http://monitoring-grafana.monitoring.svc.cluster.local:80",
        "pushgateway_url": "http://monitoring-pushgateway.monitoring.svc.cluster.local:9091",
    }


def test_monitoring_has_a_restricted_namespace_that_is_not_judged(graph):
    namespace = graph.one("Namespace")
    assert namespace.get("metadata.name") == graph.one("Release").get("namespace") == "monitoring"
    labels = namespace.get("metadata.labels")
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    assert labels["mlplatform.dev/platform"] == "true"
    assert "mlplatform.dev/judged" not in labels


def test_grafana_has_a_generated_password_in_a_secret(graph):
    secret = graph.one("Secret", "monitoring-grafana-admin")
    secret.assert_secret("stringData.admin-password")
    assert secret.get("stringData.admin-password") == "monitoring-grafana-password-value"
    admin = graph.one("Release").get("values.grafana.admin")
    assert admin == {"existingSecret": "monitoring-grafana-admin-1a2b3c4d"}
    assert graph.one("Release").secret_inputs == set()


def test_what_the_platforms_namespace_does_not_admit_is_left_out(graph):
    assert graph.one("Release").get("values.nodeExporter") == {"enabled": False}


def test_every_container_of_the_chart_that_we_know_of_is_bounded(graph):
    values = graph.one("Release").get("values")
    bounded = [
        values["alertmanager"]["alertmanagerSpec"],
        values["grafana"],
        values["grafana"]["sidecar"],
        values["kube-state-metrics"],
        values["prometheus"]["prometheusSpec"],
        values["prometheusOperator"],
        values["prometheusOperator"]["prometheusConfigReloader"],
    ]
    for part in bounded:
        assert set(part["resources"]) == {"requests", "limits"}
    assert values["grafana"]["resources"]["limits"]["memory"] == "512Mi"  # Grafana's own minimum


def test_prometheus_finds_what_workloads_ask_for(graph):
    spec = graph.one("Release").get("values.prometheus.prometheusSpec")
    assert {key for key, value in spec.items() if value is False} == {
        f"{kind}SelectorNilUsesHelmValues" for kind in ("podMonitor", "probe", "rule", "scrapeConfig", "serviceMonitor")
    }


def test_every_pod_behind_a_target_is_scraped_under_the_jobs_name(graph):
    scrape = graph.one("kubernetes:monitoring.coreos.com/v1alpha1:ScrapeConfig", "watch-model-scrape")
    assert scrape.get("spec.jobName") == "model"
    assert scrape.get("spec.kubernetesSDConfigs[0].namespaces.names") == ["loan-default"]
    assert scrape.get("spec.relabelings[0].regex") == "model:8080"
    assert graph.one("Release") in graph.dependencies(scrape)


def test_labels_that_were_pushed_are_kept(graph):
    assert graph.one("ScrapeConfig", "monitoring-pushgateway-scrape").get("spec.honorLabels") is True


def test_rules_are_the_workloads(graph):
    assert graph.one("PrometheusRule").get("spec.groups") == json.loads(RULES)["groups"]


def test_alerts_go_to_the_webhook_with_the_token_from_a_secret(graph):
    config = graph.one("AlertmanagerConfig")
    assert config.secret_inputs == set()
    route = config.get("spec.route")
    assert route["matchers"] == [
        {"name": "alertname", "matchType": "=", "value": "A"},
        {"name": "model", "matchType": "=~", "value": "loan.*"},
    ]
    (receiver,) = [each for each in config.get("spec.receivers") if each["name"] == route["receiver"]]
    (hook,) = receiver["webhookConfigs"]
    assert (hook["url"], hook["sendResolved"]) == (HOOK, True)
    token = hook["httpConfig"]["authorization"]["credentials"]
    assert token == {"name": "monitoring-watch-token-1a2b3c4d", "key": "token"}
    graph.one("Secret", "monitoring-watch-token").assert_secret("stringData.token")


def test_alerts_without_a_namespace_are_routed_too(graph):
    spec = graph.one("Release").get("values.alertmanager.alertmanagerSpec")
    assert spec["alertmanagerConfigMatcherStrategy"] == {"type": "None"}


@pytest.mark.parametrize(
    ("policy", "service", "port"),
    [("watch-model-scrape", "model", 8080), ("monitoring-watch-alerts", "retraining", 8090)],
)
def test_monitoring_is_let_in_where_it_scrapes_and_where_it_alerts(graph, policy, service, port):
    made = graph.one("NetworkPolicy", policy)
    assert made.get("metadata.namespace") == "loan-default"
    assert made.get("spec.podSelector.matchLabels") == {"app.kubernetes.io/name": service}
    (rule,) = made.get("spec.ingress")
    assert rule["from"][0]["podSelector"]["matchLabels"] == {"mlplatform.dev/serves": "monitoring"}
    assert rule["ports"] == [{"port": port, "protocol": "TCP"}]


def test_dashboards_are_found_by_grafanas_sidecar(graph):
    dashboard = graph.one("ConfigMap", "watch-model-dashboard")
    assert dashboard.get("metadata.labels")["grafana_dashboard"] == "1"
    assert dashboard.inputs["data"] == {"watch-model.json": "{}"}


def test_the_pushgateways_pod_is_as_restricted_as_can_be(graph):
    ((_, pod),) = pods(graph).items()
    assert loose(pod) == []


@pytest.mark.parametrize(("protection", "when"), [("delete", "Delete"), ("retain", "Retain"), ("protect", "Retain")])
def test_samples_go_with_the_stack_only_where_its_file_says_so(pulumi_run, protection, when):
    spec = pulumi_run(declare(volume={"protection": protection})).one("Release").get("values.prometheus.prometheusSpec")
    assert spec["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": when}


def test_samples_are_copied_if_configured_with_a_token_by_reference(pulumi_run):
    key = "prometheusSpec"
    assert "remoteWrite" not in pulumi_run(declare()).one("Release").get("values.prometheus")[key]
    wanted = {"url": "https://metrics.example.org/api/v1/push", "token_secret": "remote-write"}
    (copied,) = pulumi_run(declare(remote_write=wanted)).one("Release").get("values.prometheus")[key]["remoteWrite"]
    assert copied["url"] == wanted["url"]
    assert copied["authorization"]["credentials"] == {"name": "remote-write", "key": "token"}


@pytest.mark.parametrize("url", ["http://metrics.example.org", "https://user:pw@metrics.example.org", "metrics"])
def test_samples_are_copied_encrypted_and_without_a_plain_password(url):
    with pytest.raises(ValueError, match=r"remote_write\.url"):
        PrometheusOnKubernetesSettings(kind="prometheus-on-kubernetes", remote_write={"url": url})


def test_opencost_asks_the_stacks_prometheus_and_is_scraped_by_it(pulumi_run):
    graph = pulumi_run(declare(opencost=True))
    release = graph.one("Release", "monitoring-opencost")
    assert graph.one("Release", "monitoring") in graph.dependencies(release)
    values = release.get("values")
    assert values["opencost"]["prometheus"]["external"]["url"] == graph.outputs["prometheus_url"]
    assert values["opencost"]["metrics"]["serviceMonitor"]["enabled"] is True
    assert values["podLabels"]["mlplatform.dev/calls-monitoring"] == "true"
    ports = [
        port["port"]
        for port in graph.one("NetworkPolicy", "monitoring-metrics-callers").get("spec.ingress")[0]["ports"]
    ]
    assert 9003 in ports
    assert not [each.name for each in pulumi_run(declare()).all("Release") if "opencost" in each.name]


def test_a_matchers_quotes_are_read():
    assert matcher(r'a!~"x\"y"') == {"name": "a", "matchType": "!~", "value": 'x"y'}


@pytest.mark.parametrize("text", ["", "a", 'a~"b"', "a=b", '"a"="b"'])
def test_what_is_no_matcher_is_refused_with_an_example(text):
    with pytest.raises(MatcherError, match=r"give e\.g\."):
        matcher(text)
