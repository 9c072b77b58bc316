"""People are told of the alerts that they asked for; Alertmanager and its operator accept the configuration."""

import json
import shutil
import subprocess

import pulumi
import pytest
from pydantic import TypeAdapter, ValidationError

from infra.monitoring import receivers
from infra.monitoring.local import alertmanager_configuration
from infra.monitoring.spec import Webhook
from infra.monitoring.watching import receivers_config
from stacks.settings import StackFileError
from tests.dev import FOLDER, program, settings
from tests.graph.test_local import program as local

EVERY = TypeAdapter(tuple[receivers.Receiver, ...]).validate_python(
    [
        {"name": "chat", "kind": "slack", "channel": "#ml"},
        {"name": "oncall", "kind": "pagerduty", "severities": ["critical"]},
        {"name": "genie", "kind": "opsgenie", "workloads": ["loan-default"]},
        {
            "name": "mail",
            "kind": "email",
            "to": "ml@example.org",
            "sender": "alerts@example.org",
            "smarthost": "smtp.example.org:587",
            "username": "alerts",
        },
        {"name": "hook", "kind": "webhook"},
        {"name": "snitch", "kind": "heartbeat"},
    ]
)
SECRETS = {each.name: f"https://example.org/{each.name}" for each in EVERY}
ALERTS = {
    "ModelNotServing of turbofan": {"alertname": "ModelNotServing", "severity": "critical", "workload": "turbofan"},
    "ModelAge of loan-default": {"alertname": "ModelAge", "severity": "warning", "workload": "loan-default"},
    "BiasGap of loan-default": {"alertname": "BiasGap", "severity": "info", "workload": "loan-default"},
    "Heartbeat": {"alertname": receivers.HEARTBEAT, "severity": "none"},
}
TOLD = {
    "ModelNotServing of turbofan": {"retrain", "to-chat", "to-oncall", "to-mail", "to-hook"},
    "ModelAge of loan-default": {"to-chat", "to-genie", "to-mail", "to-hook"},
    "BiasGap of loan-default": {"page"},
    "Heartbeat": {"to-snitch"},
}


@pytest.fixture
def configuration(tmp_path):
    """`alertmanager.yml` of a stack with a retraining service and every kind of receiver."""
    if shutil.which("amtool") is None:
        pytest.skip("amtool is not on PATH; `make up` installs it")
    hook = Webhook(url="http://127.0.0.1:1/alert", token="t", matchers=['alertname="ModelNotServing"'])
    known = {each.name: receivers.integration(each, SECRETS[each.name]) for each in EVERY}
    made = alertmanager_configuration({}, {}, EVERY, SECRETS)
    made["route"]["routes"].insert(0, {"receiver": "retrain", "matchers": list(hook.matchers), "continue": True})
    made["receivers"] = [
        {"name": "page"},
        {"name": "retrain"},
        *({"name": f"to-{name}", **each} for name, each in known.items()),
    ]
    file = tmp_path / "alertmanager.yml"
    file.write_text(json.dumps(made))
    return file


def amtool(*words):
    done = subprocess.run(["amtool", *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_alertmanager_accepts_every_kind_of_receiver(configuration):
    assert f"{len(EVERY) + 2} receivers" in amtool("check-config", configuration)


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_goes_to_those_who_asked_for_it(configuration, alert):
    labels = [f"{key}={value}" for key, value in ALERTS[alert].items()]
    assert (
        set(amtool("config", "routes", "test", f"--config.file={configuration}", *labels).strip().split(","))
        == TOLD[alert]
    )


def test_what_follows_from_a_dead_server_is_not_told_beside_it(configuration):
    (rule,) = json.loads(configuration.read_text())["inhibit_rules"]
    assert rule["source_matchers"] == ['alertname="ModelNotServing"']
    assert "PredictionErrors" in rule["target_matchers"][0]
    assert rule["equal"] == ["workload"]


def given(**changes):
    people = [{"name": "oncall", "kind": "pagerduty"}, {"name": "snitch", "kind": "heartbeat"}]
    monitoring = settings().monitoring.model_dump() | {"receivers": people}
    return {"monitoring": monitoring, "alert_secrets": {"oncall": "key-1", "snitch": "https://example.org/2"}} | changes


@pytest.fixture
def graph(pulumi_run):
    return pulumi_run(program(FOLDER, **given()))


def test_cluster_names_the_key_of_a_secret_and_shows_no_secret(graph):
    secret = graph.one("Secret", "monitoring-receivers")
    assert set(secret.get("stringData")) == {"oncall", "snitch"}
    spec = graph.one("AlertmanagerConfig", "monitoring-people").get("spec")
    (_, oncall, snitch) = spec["receivers"]
    assert oncall["pagerdutyConfigs"][0]["routingKey"]["key"] == "oncall"
    assert snitch["webhookConfigs"][0]["urlSecret"]["key"] == "snitch"
    assert "key-1" not in json.dumps(graph.one("AlertmanagerConfig", "monitoring-people").inputs, default=str)


def test_alertmanager_of_a_cluster_may_leave_it_to_tell_people(graph):
    policy = graph.one("NetworkPolicy", "monitoring-people")
    assert policy.get("spec.podSelector.matchLabels") == {"app.kubernetes.io/name": "alertmanager"}
    assert [port["port"] for rule in policy.get("spec.egress") for port in rule["ports"]] == [443]


def test_heartbeat_is_an_alert_that_always_fires(graph):
    rules = graph.one("PrometheusRule", "monitoring-heartbeat").get("spec.groups")[0]["rules"]
    assert [(rule["alert"], rule["expr"]) for rule in rules] == [(receivers.HEARTBEAT, "vector(1)")]


def test_operator_spells_each_field_in_its_own_way():
    spec = receivers_config(EVERY, pulumi.Output.from_input("kept"))["spec"]
    fields = {key for each in spec["receivers"][1:] for kind in each if kind != "name" for key in each[kind][0]}
    assert {"apiURL", "routingKey", "apiKey", "authPassword", "requireTLS", "urlSecret", "sendResolved"} <= fields
    assert not {name for name in fields if "_" in name}


def test_stack_on_this_machine_keeps_the_configuration_secret(pulumi_run):
    people = [{"name": "hook", "kind": "webhook"}]
    graph = pulumi_run(
        local(monitoring={"kind": "prometheus-on-host", "receivers": people}, alert_secrets={"hook": "u"})
    )
    file = graph.one("host:index:File", "monitoring-alertmanager-configuration")
    assert file.secret_inputs == {"content"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"alert_secrets": {"oncall": "key"}}, "names snitch, which has no secret: `pulumi config set --secret --path"),
        ({"alert_secrets": {"oncall": "k", "snitch": "u", "gone": "x"}}, "alert_secrets names gone, which"),
    ],
    ids=["missing", "surplus"],
)
def test_receivers_and_secrets_that_do_not_match_are_refused(changes, said):
    with pytest.raises(StackFileError, match=said):
        settings(**given(**changes))


def test_two_receivers_of_one_name_are_refused():
    monitoring = given()["monitoring"]
    monitoring["receivers"] = monitoring["receivers"] + monitoring["receivers"][:1]
    with pytest.raises(StackFileError, match=r"receivers names oncall twice: give each receiver a name of its own"):
        settings(**given(monitoring=monitoring))


@pytest.mark.parametrize(
    "receiver",
    [
        {"name": "a", "kind": "slack", "channel": "no channel"},
        {"name": "a", "kind": "email", "to": "nobody", "sender": "a@b", "smarthost": "smtp:25", "username": "u"},
        {"name": "a", "kind": "pagerduty", "severities": []},
        {"name": "A!", "kind": "webhook"},
    ],
    ids=["channel", "address", "severities", "name"],
)
def test_receiver_that_cannot_work_is_refused(receiver):
    with pytest.raises(ValidationError):
        TypeAdapter(receivers.Receiver).validate_python(receiver)


BASE = "https://git.example.org/ml/platform/blob/main"


def test_alerts_link_to_their_runbooks_where_people_read_them(pulumi_run):
    monitoring = settings().monitoring.model_dump() | {"documents": f"{BASE}/"}
    graph = pulumi_run(program(FOLDER, monitoring=monitoring))
    groups = [group for each in graph.all("PrometheusRule") for group in each.get("spec.groups")]
    links = {rule["annotations"]["runbook_url"] for group in groups for rule in group["rules"]}
    assert f"{BASE}/docs/runbooks/DataDriftDetected.md" in links
    assert {link for link in links if not link.startswith(f"{BASE}/docs/runbooks/")} == set()


def test_links_stay_relative_and_rules_untouched_without_such_a_place():
    assert receivers.linked("groups: []  # as written", None) == "groups: []  # as written"
