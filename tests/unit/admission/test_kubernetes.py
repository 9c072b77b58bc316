import datetime as dt

import pytest
import yaml
from pytest_pulumi_kubernetes import MissingToolError

from infra import admission
from infra.admission.settings import GatekeeperSettings
from infra.base.paths import CHECKOUT
from infra.kube.objects import OURS
from policies import gatekeeper
from policies.settings import PolicySettings
from tests.clusters import on_cluster
from tests.gatekeeper import rendered_webhook

TODAY = dt.date(2026, 11, 25)


def declare(**settings):
    rules = admission.Rules(
        templates=gatekeeper.templates(),
        constraints=gatekeeper.constraints(PolicySettings(), [], OURS, "dev", TODAY),
        inventory=[gatekeeper.inventory()],
    )

    def build(substrate, opts):
        chosen = GatekeeperSettings(kind="gatekeeper", failure_policy="Fail", **settings)
        admission.build("admission", chosen, substrate, rules, opts)

    return on_cluster(build)


@pytest.fixture(scope="module")
def templates():
    return gatekeeper.templates()


def test_every_policy_is_enforced_on_the_platforms_namespaces(pulumi_run, templates):
    graph = pulumi_run(declare())
    made = graph.all("kubernetes:templates.gatekeeper.sh/v1:ConstraintTemplate")
    assert {each.get("metadata.name") for each in made} == {each["metadata"]["name"] for each in templates}
    constraints = graph.all("kubernetes:constraints.gatekeeper.sh/v1beta1:*")
    assert len(constraints) == len(templates) > 10
    for constraint in constraints:
        assert constraint.get("spec.match.namespaceSelector.matchLabels") == OURS


def test_constraints_wait_until_their_kinds_exist(pulumi_run):
    graph = pulumi_run(declare())
    templates = graph.all("kubernetes:templates.gatekeeper.sh/v1:ConstraintTemplate")
    for template in templates:
        assert template.get("metadata.annotations")["pulumi.com/waitFor"] == "jsonpath={.status.created}=true"
        assert graph.one("Release") in graph.dependencies(template)
    constraints = graph.all("kubernetes:constraints.gatekeeper.sh/v1beta1:*")
    assert len(constraints) == len(templates) > 10
    for constraint in constraints:
        assert set(templates) <= set(graph.dependencies(constraint))


def webhook(kube_tools, **settings):
    """What the API server is told to ask, as the official chart makes it of the stack's values."""
    try:
        return rendered_webhook(kube_tools, GatekeeperSettings(kind="gatekeeper", **settings))
    except MissingToolError as error:
        pytest.skip(str(error))


def names(webhook, key):
    (found,) = [each["values"] for each in webhook["namespaceSelector"]["matchExpressions"] if each["key"] == key]
    return found


@pytest.mark.parametrize("policy", ["Fail", "Ignore"])
def test_what_happens_without_an_answer_is_the_stack_files_choice(kube_tools, policy):
    assert webhook(kube_tools, failure_policy=policy)["failurePolicy"] == policy


@pytest.mark.parametrize(("stack", "policy"), [("dev", "Ignore"), ("prod", "Fail")])
def test_each_stack_file_chooses(stack, policy):
    config = yaml.safe_load((CHECKOUT / f"Pulumi.{stack}.yaml").read_text())["config"]
    assert config["mlplatform:admission"]["failure_policy"] == policy


def test_a_stack_file_that_does_not_choose_is_refused():
    with pytest.raises(ValueError, match=r"failure_policy\n  Field required"):
        GatekeeperSettings(kind="gatekeeper")


def test_a_cluster_without_an_answer_heals_itself(kube_tools):
    """Its own namespaces, those of controllers, and whatever is in no namespace, such as nodes, are not asked about."""
    asked = webhook(kube_tools, failure_policy="Fail", exempt_namespaces=["kube-system", "rook"])
    assert names(asked, "kubernetes.io/metadata.name") == ["kube-system", "rook", "gatekeeper-system"]
    assert names(asked, "mlplatform.dev/judged") == ["false"]
    scopes = {rule["scope"]: rule["resources"] for rule in asked["rules"]}
    assert set(scopes) == {"Namespaced", "Cluster"}
    assert scopes["Cluster"] == ["namespaces"]


def test_a_request_for_a_shell_is_asked_about(kube_tools):
    (rule, _) = webhook(kube_tools, failure_policy="Fail")["rules"]
    assert "CONNECT" in rule["operations"]
    assert {"pods/exec", "pods/attach"} <= set(rule["resources"])


def test_webhook_goes_before_the_controller_so_teardown_is_admitted(pulumi_run):
    values = pulumi_run(declare()).one("Release").get("values")
    assert values["preUninstall"]["deleteWebhookConfigurations"]["enabled"] is True


def test_audit_has_the_memory_that_the_stack_file_says(pulumi_run):
    values = pulumi_run(declare(audit_memory_mib=2048)).one("Release").get("values")
    assert values["audit"]["resources"]["limits"]["memory"] == "2048Mi"
    assert values["controllerManager"]["resources"]["limits"]["memory"] == "512Mi"
