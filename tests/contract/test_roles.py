"""One suite for every realization of every role: it gives what its Protocol promises."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import Protocol, get_type_hints

import pulumi
import pytest
import yaml

from infra import compute, feature_store, serving
from infra.base.paths import CHECKOUT
from infra.base.phases import LateRegistrationError
from infra.compute import JobSpec, Need, ScheduleSpec, ServiceSpec
from infra.monitoring import WatchSpec, Webhook
from infra.platform import Platform
from infra.serving import ModelServerSpec
from stacks import composition
from stacks.settings import parse, with_made_up_secrets
from stacks.surroundings import Surroundings
from tests import prod
from tests.clusters import image, pods

PROTOCOLS = get_type_hints(Platform)
STACKS = ["local", "dev", "prod"]


def settings_of(stack):
    config = with_made_up_secrets(yaml.safe_load((CHECKOUT / f"Pulumi.{stack}.yaml").read_text())["config"])
    return parse({key: json.dumps(value) for key, value in config.items()}, stack)


@pytest.fixture(params=STACKS)
def built(request, pulumi_run, kept):
    """The platform of a stack, and the graph it left."""
    if request.param not in kept:
        kept[request.param] = build(request, pulumi_run)
    return kept[request.param]


@pytest.fixture(scope="module")
def kept():
    """What `built` gave, by stack: nothing changes it."""
    return {}


def build(request, pulumi_run):
    made = {"stack": request.param}

    def program():
        surroundings = Surroundings(stack=request.param, folder=Path("/stack"), path=lambda: "/usr/bin", image=image)
        base = composition.build(settings_of(request.param), surroundings)
        platform, opts = base.platform, base.opts
        needs = [Need(store=platform.artifact_store, prefix="loan-default/x/", access="rw")]
        task = {"image": "workload", "command": ["true"], "environment": {"A": "b"}, "needs": needs}
        made["platform"] = platform
        made["service"] = platform.compute.service("service", ServiceSpec(**task, health_path="/healthz"), opts)
        made["job"] = platform.compute.job("job", JobSpec(**task, timeout_seconds=60), opts)
        platform.compute.schedule("schedule", ScheduleSpec(**task, cron="0 3 * * *"), opts)
        made["model"] = platform.serving.deploy("model", ModelServerSpec(**task, model_name="m"), opts)
        made["project"] = platform.feature_store.project("loan_default")
        made["features"] = made["project"].serve("features", "workloads/lifecycle/features/repository", opts)
        made["secret"] = platform.credentials.generate("token", opts=opts)
        made["url"] = platform.database.create("some-database", opts)
        webhook = Webhook(url=made["service"].url, token=made["secret"], matchers=['alertname="A"'])
        targets = {"m": made["model"].metrics_target}
        spec = WatchSpec(targets=targets, rules="groups: []", webhook=webhook, opts=opts)
        platform.monitoring.watch({"watch": spec})
        with pytest.raises(LateRegistrationError) as made["late"]:
            platform.monitoring.watch({"late-watch": spec})
        pulumi.export("service_url", made["service"].url)

    graph = prod.graph(program) if request.param == "prod" else pulumi_run(program)
    made["service_url"] = graph.outputs["service_url"]
    return made, graph


def missing(thing, protocol):
    """Members of the Protocol that a thing lacks or has as something else."""
    wrong = [
        name for name in protocol.__annotations__ if not isinstance(getattr(thing, name, ...), _type(protocol, name))
    ]
    methods = [name for name, member in vars(protocol).items() if callable(member) and not name.startswith("_")]
    return wrong + [name for name in methods if not callable(getattr(thing, name, None))]


def test_monitoring_refuses_what_comes_after_all_was_handed_over(built):
    made, graph = built
    assert str(made["late"].value).startswith("what Prometheus watches was registered after Alertmanager")
    assert not [each.name for each in graph.resources if each.name.startswith("late-watch")]


def _type(protocol, name):
    annotation = str(protocol.__annotations__[name])
    if "Optional" in annotation:
        return pulumi.Output | NoneType
    if "Mapping" in annotation:
        return Mapping
    if annotation == str(str):
        return str
    if "bool" in annotation:
        return bool
    return pulumi.Resource if "Resource" in annotation else pulumi.Output


def test_every_role_of_the_platform_has_a_protocol():
    assert len(PROTOCOLS) > 10
    assert [role for role, protocol in PROTOCOLS.items() if Protocol not in protocol.__bases__] == []


@pytest.mark.parametrize("role", PROTOCOLS)
def test_a_realization_gives_what_its_protocol_promises(built, role):
    made, _ = built
    assert missing(getattr(made["platform"], role), PROTOCOLS[role]) == []


@pytest.mark.parametrize(
    ("thing", "protocol"),
    [
        ("service", compute.Service),
        ("job", compute.Job),
        ("model", serving.ModelServer),
        ("project", feature_store.FeatureProject),
        ("features", feature_store.FeatureServer),
    ],
)
def test_what_a_role_makes_gives_what_its_protocol_promises(built, thing, protocol):
    made, _ = built
    assert missing(made[thing], protocol) == []


TASKS = {
    "local": {"service-process", "job-run", "model-service-process", "schedule-timer"},
    "dev": {"service-pods", "job-run", "model-predictor", "schedule-times"},
    "prod": {"service-pods", "job-run", "model-predictor", "schedule-times"},
}
"""Logical names of what runs the tasks."""
KEYS = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
"""What a store with keys of its own gives to its users; on AWS a role stands for them."""


def variables(graph, stack):
    """What each task is told: plain variables, and the names of those that hold a credential."""
    if stack == "local":
        processes = [each for each in graph.resources if each.name in TASKS[stack]]
        told = [each.inputs["environment"] for each in processes]
        hidden = [{path.removeprefix("environment.") for path in each.secret_inputs} for each in processes]
        return list(zip(told, hidden, strict=True))
    containers = [pod["containers"][0] for name, pod in pods(graph).items() if name in TASKS[stack]]
    told = [{each["name"]: each.get("value") for each in container["env"]} for container in containers]
    hidden = [{each["name"] for each in container["env"] if "valueFrom" in each} for container in containers]
    return list(zip(told, hidden, strict=True))


def test_task_gets_its_variables_and_credentials_of_stores_it_needs(built):
    made, graph = built
    tasks = variables(graph, made["stack"])
    assert len(tasks) == 4
    for told, _ in tasks:
        assert told["A"] == "b"
        assert set(told) >= KEYS if made["stack"] != "prod" else not KEYS & set(told)


def test_a_stores_credentials_are_secret_and_its_addresses_are_not(built):
    made, graph = built
    store = made["platform"].artifact_store
    for told, hidden in variables(graph, made["stack"]):
        keys = set(store.keys("loan-default/"))
        assert {*store.client_env, *keys} <= set(told)
        assert hidden == keys == (set() if made["stack"] == "prod" else KEYS)


def test_a_generated_credential_is_secret(built):
    made, graph = built
    if made["stack"] == "local":
        assert graph.one("host:index:File", "monitoring-watch-token").is_secret("content")
    else:
        graph.one("kubernetes:core/v1:Secret", "monitoring-watch-token").assert_secret("stringData.token")


def test_alerts_reach_webhook_by_token_and_no_secret_is_in_the_config(built):
    made, graph = built
    route, hook = (local_route if made["stack"] == "local" else cluster_route)(graph)
    assert route == {"alertname": "A"}
    assert hook == made["service_url"]


def local_route(graph):
    file = graph.one("host:index:File", "monitoring-alertmanager-configuration")
    assert not file.is_secret("content")
    configuration = json.loads(file.inputs["content"])
    (route,) = configuration["route"]["routes"]
    (hook,) = next(each for each in configuration["receivers"] if each["name"] == route["receiver"])["webhook_configs"]
    token = graph.one("host:index:File", "monitoring-watch-token")
    assert hook["http_config"]["authorization"]["credentials_file"] == token.outputs["absolute_path"]
    (matcher,) = route["matchers"]
    name, _, value = matcher.partition("=")
    return {name: value.strip('"')}, hook["url"]


def cluster_route(graph):
    config = graph.one("*:AlertmanagerConfig")
    assert not config.secret_inputs
    (hook,) = config.get("spec.receivers[0].webhookConfigs")
    token = graph.one("kubernetes:core/v1:Secret", "monitoring-watch-token")
    assert hook["httpConfig"]["authorization"]["credentials"]["name"] == token.outputs["metadata"]["name"]
    (matcher,) = config.get("spec.route.matchers")
    assert matcher["matchType"] == "="
    return {matcher["name"]: matcher["value"]}, hook["url"]
