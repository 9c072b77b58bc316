"""Stores on AWS on the real engine, with simulated providers: every setting is edited once.

What AWS itself would refuse or replace is known to the simulated provider from a table, not from AWS.
"""

from itertools import zip_longest

import pytest
from pytest_pulumi import EngineError
from pytest_pulumi.command import NoEngineError, find_cli
from pytest_pulumi.engine import Stack
from simulated_pulumi.backend import TemporaryBackend
from simulated_pulumi.providers import Kubernetes, Random

from infra.artifact_store.settings import S3Settings
from infra.database.settings import RdsPostgresSettings
from infra.online_store.settings import ElastiCacheSettings
from tests import secrets
from tests.aws import simulated
from tests.stores_on_aws import stores

pytestmark = pytest.mark.engine

DATA = ("aws:s3/bucket:Bucket", "aws:elasticache/replicationGroup:ReplicationGroup", "aws:rds/instance:Instance")
KEY = "aws:kms/key:Key"

EDITS = {
    "artifact_store": {
        "abort_upload_days": 3,
        "noncurrent_days": 30,
        "data_role_arns": ["arn:aws:iam::111122223333:role/platform-admin"],
        "expire_days": {"loan-default/captures/": 90},
        "access_logs_days": 30,
        "replica_region": "eu-central-1",
        "protection": "retain",
    },
    "online_store": {
        "engine": "redis",
        "engine_version": "8.0",
        "node_type": "cache.r7g.large",
        "nodes": 3,
        "token_generation": 2,
        "apply_immediately": True,
        "snapshot_days": 14,
        "snapshot_window": "01:00-02:00",
        "maintenance_window": "mon:03:30-mon:04:30",
        "logs_days": 30,
        "protection": "retain",
    },
    "database": {
        "version": "18",
        "instance_class": "db.r7g.large",
        "multi_az": False,
        "storage_gib": 200,
        "storage_max_gib": 1000,
        "backup_days": 30,
        "backup_window": "02:00-03:00",
        "maintenance_window": "mon:03:30-mon:04:30",
        "insights": "advanced",
        "logs_days": 30,
        "slow_statement_ms": 500,
        "root_certificate": "tests/database-authority.pem",
        "apply_immediately": True,
        "password_generation": 2,
        "protection": "retain",
    },
}
"""Role and setting to another value."""

PREFIXES = {
    "artifact_store": "artifact-store",
    "online_store": "online-store",
    "database": ("database", "tracking-database"),
}
"""Role to the start of its resources' names: roles are edited side by side."""

TOGETHER = {("online_store", "engine"): {"engine_version": "7.1"}}
"""Settings that only go together with an edited one."""

REFUSED = {
    ("online_store", "engine"): "online-store-nodes",
    ("online_store", "engine_version"): "online-store-nodes",
}
"""Edits that only another store can bring, which protection refuses: from Valkey to Redis, and to an older version.
Source: https://docs.aws.amazon.com/AmazonElastiCache/latest/dg/VersionManagement.HowTo.html"""

REPLACED = {
    ("online_store", "token_generation"): {"online-store-token"},
    ("database", "password_generation"): {
        "tracking-database-password",
        "tracking-database-provision-secrets",
        "tracking-database-provision-job",
    },
    ("database", "root_certificate"): {"tracking-database-provision-job"},
}
"""What an edit makes anew; nothing of it holds data."""


@pytest.fixture(scope="module")
def up(tmp_path_factory):
    """The stores, up, what their `up` did, and what is simulated. Only the last test changes them."""
    try:
        cli = find_cli()
    except NoEngineError as error:
        pytest.skip(str(error))
    providers = [simulated(), Kubernetes(), Random()]
    backend = TemporaryBackend(tmp_path_factory.mktemp("pulumi"))
    stack = Stack(cli, backend, program=stores(), providers=providers)
    yield stack, stack.up(), providers
    stack.close()


@pytest.fixture
def stack(up):
    stack, _, _ = up
    stack.program = stores()
    return stack


def test_no_secret_is_plain_in_state_history_events_or_outputs(up):
    stack, done, (cloud, cluster, randomness) = up
    planted = secrets.planted(randomness, cluster)
    assert any(f":{password}@" in done.outputs["tracking"] for password in planted)
    assert "tracking-database-password" in secrets.told(done.events)
    places = secrets.files(stack.backend.folder), secrets.results(done), secrets.objects(cloud, cluster)
    assert secrets.leaks(planted, *places) == set()


def test_a_second_up_and_a_refresh_change_nothing(up, stack):
    _, done, _ = up
    assert done.outputs["uri"].startswith("s3://artifact-store-objects-bucket-")
    stack.assert_no_changes()
    assert not stack.refresh().changes


def test_editing_each_setting_once_replaces_nothing_that_holds_data(stack):
    assert {role: set(edits) for role, edits in EDITS.items()} == {
        role: set(model.model_fields) - {"kind"}
        for role, model in {
            "artifact_store": S3Settings,
            "online_store": ElastiCacheSettings,
            "database": RdsPostgresSettings,
        }.items()
    }
    replaced, untouched = {}, []
    for edits in zip_longest(*([(role, key) for key in edits] for role, edits in EDITS.items())):
        made = [edit for edit in edits if edit and edit not in REFUSED]
        stack.program = stores(**{role: {key: EDITS[role][key], **TOGETHER.get((role, key), {})} for role, key in made})
        changes = [step for step in stack.preview().steps if step.op not in ("same", "read")]
        for role, key in made:
            changed = [step for step in changes if step.name.startswith(PREFIXES[role])]
            if not changed and key != "protection":
                untouched.append((role, key))
            made_anew = {step.name for step in changed if "replace" in step.op or step.op == "delete"}
            if made_anew:
                replaced[role, key] = made_anew
            assert not [step for step in changed if step.name in made_anew and step.type in (*DATA, KEY)]
    assert untouched == []
    assert replaced == REPLACED


@pytest.mark.parametrize("edit", REFUSED, ids=".".join)
def test_edit_that_only_another_store_can_bring_is_refused(stack, edit):
    role, key = edit
    stack.program = stores(**{role: {key: EDITS[role][key], **TOGETHER.get(edit, {})}})
    with pytest.raises(EngineError, match=rf"(?s)unable to replace resource .*{REFUSED[edit]}.*marked for protection"):
        stack.preview()


def test_a_change_that_would_replace_a_protected_store_is_refused(stack, monkeypatch):
    monkeypatch.setattr("infra.database.aws.MASTER", "somebody")
    with pytest.raises(EngineError, match=r"(?s)unable to replace resource .*database-instance.*marked for protection"):
        stack.preview()


def test_stores_stay_while_they_are_protected_and_go_away_without(stack):
    with pytest.raises(EngineError, match="protect"):
        stack.destroy()
    assert {item["type"] for item in kept(stack)} >= {*DATA, KEY}
    stack.program = stores(**{role: {"protection": "delete"} for role in EDITS})
    stack.up()
    stack.destroy()
    assert kept(stack) == []


def kept(stack):
    return [each for each in stack.resources() if each.get("custom")]
