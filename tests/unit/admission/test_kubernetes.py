import datetime as dt

import pytest

from infra import admission
from infra.admission.settings import GatekeeperSettings
from infra.core.kubernetes import OURS
from policies import gatekeeper
from policies.settings import PolicySettings
from tests.clusters import on_cluster

TODAY = dt.date(2026, 11, 25)


def declare(**settings):
    rules = admission.Rules(
        templates=gatekeeper.templates(),
        constraints=gatekeeper.constraints(PolicySettings(), [], OURS, "dev", TODAY),
        inventory=[gatekeeper.inventory()],
    )

    def build(substrate, opts):
        admission.build("admission", GatekeeperSettings(kind="gatekeeper", **settings), substrate, rules, opts)

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


@pytest.mark.parametrize(("closed", "failure"), [(True, "Fail"), (False, "Ignore")])
def test_what_happens_without_an_answer_is_the_stack_files_choice(pulumi_run, closed, failure):
    values = pulumi_run(declare(fail_closed=closed)).one("Release").get("values")
    assert values["validatingWebhookFailurePolicy"] == failure


def test_the_webhook_goes_before_the_controller_so_that_teardown_is_not_refused(pulumi_run):
    values = pulumi_run(declare()).one("Release").get("values")
    assert values["preUninstall"]["deleteWebhookConfigurations"]["enabled"] is True
