"""The whole prod stack on the real engine; AWS, the cluster and random values are simulated, nothing else is."""

import json

import pytest
from pytest_pulumi.command import NoEngineError, find_cli
from pytest_pulumi.engine import Stack
from simulated_pulumi.backend import TemporaryBackend
from simulated_pulumi.providers import Kubernetes, Random

from policies import catalogue
from stacks.commands.holdings import holdings, refusals
from stacks.outputs import SECRETS_OF_A_WORKLOAD
from tests import edits, prod, secrets
from tests.aws import simulated

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1200)]

STATEFUL = (
    "aws:s3/bucket:Bucket",
    "aws:rds/instance:Instance",
    "aws:elasticache/replicationGroup:ReplicationGroup",
    "aws:eks/cluster:Cluster",
    "aws:kms/key:Key",
    "aws:ec2/vpc:Vpc",
)
LIMIT_SECONDS = 900.0
SAMPLE = {
    "cluster.name": "stopped: ",
    "database.storage_gib": "update aws:rds/instance:Instance",
    "loan_default.alerts.drift_share": "update kubernetes:",
    "network.nat": "delete aws:ec2/eip:Eip, aws:ec2/natGateway:NatGateway",
    "online_store.engine": "stopped: ",
}
"""Edits and a part of what they do; all of them are in `tests/soak/test_prod_edits.py`."""
ALWAYS = ("cluster.name", "database.storage_gib")
"""Edits that run whatever changed: one that the guard stops, one that it lets pass."""


@pytest.fixture(scope="module")
def up(tmp_path_factory):
    """The stack, up for all tests, none of which changes it; what its first `up` did, and what is simulated."""
    try:
        cli = find_cli()
    except NoEngineError as error:
        pytest.skip(str(error))
    providers = [simulated(), Kubernetes(), Random()]
    judged = json.dumps(prod.config()["mlplatform:policies"])
    stack = Stack(
        cli,
        TemporaryBackend(tmp_path_factory.mktemp("pulumi")),
        program=prod.program(),
        providers=providers,
        project="mlplatform",
        name=prod.NAME,
        environment=prod.UNINTERRUPTED | {catalogue.SETTINGS: judged, catalogue.STEPS_JUDGED: "1"},
        timeout_seconds=LIMIT_SECONDS,
    )
    yield stack, stack.up(), providers
    stack.close()


def test_one_up_makes_everything(up):
    _, first, (cloud, *_) = up
    assert set(first.counts) == {"create"}
    assert first.diagnostics == ()
    assert {item.type for item in cloud.items.values()} >= set(STATEFUL)
    assert first.secret_outputs == {"kubeconfig", *SECRETS_OF_A_WORKLOAD, *SECRETS_OF_A_WORKLOAD.values()}


def test_a_refresh_changes_nothing(up):
    stack, _, _ = up
    stack.program = prod.program()
    assert stack.refresh().changes == ()


def test_second_preview_changes_nothing_decides_and_breaks_no_rule(up):
    stack, _, _ = up
    stack.program = prod.program()
    done = stack.preview(policy_packs=[str(catalogue.PACK)])
    assert done.changes == ()
    assert [told for told in done.violations if "exempted: " not in told] == []
    assert [told for told in done.diagnostics if "can't run policy" in told] == []
    [summary] = [event.summary_event for event in done.events if event.summary_event]
    assert [pack.partition("|")[0] for pack in summary.policy_packs] == ["mlplatform"]


def test_no_secret_is_plain_in_state_history_events_or_outputs(up):
    """What commands print and reports say is in `tests/soak/test_prod_secrets.py`."""
    stack, first, (cloud, cluster, randomness) = up
    planted = secrets.planted(randomness, cluster)
    assert len(planted) >= 30
    assert first.outputs["retrain_token"] in planted
    places = secrets.files(stack.backend.folder), secrets.results(first), secrets.objects(cloud, cluster)
    assert secrets.leaks(planted, *places) == set()


def test_what_holds_data_is_named_and_protected(up):
    stack, _, _ = up
    found = holdings(stack.export())
    assert {each.role for each in found if each.holds_data} >= {"artifact-store", "database", "online-store"}
    stores = {each["type"] for each in stack.resources() if each.get("protect")}
    assert stores >= {"aws:s3/bucket:Bucket", "aws:rds/instance:Instance", "aws:eks/cluster:Cluster"}
    assert any("LOSE=" in line for line in refusals(found, [], prod.NAME))


@pytest.mark.parametrize(
    ("key", "part"),
    [
        pytest.param(key, part, id=key, marks=[] if key in ALWAYS else pytest.mark.tier("prod-edits"))
        for key, part in SAMPLE.items()
    ],
)
def test_edit_of_a_field_does_the_expected_and_loses_no_data(up, key, part):
    stack, _, _ = up
    effect = edits.effect(stack, edits.edits()[key])
    assert part in effect
    assert edits.lost(effect) == []
