"""What a task may do in the bucket of the prod stack, put before an S3 API that enforces it, suffices for the store."""

import json
import re
import secrets
import subprocess
from pathlib import Path

import boto3
import pytest

from workloads.lifecycle.base.environment import Environment
from workloads.lifecycle.base.errors import WorkloadError
from workloads.lifecycle.base.names import CAPTURES
from workloads.lifecycle.base.store import Store

from . import servers

GOLDEN = (
    Path(__file__).parents[2] / "graph" / "golden" / "test_prod" / "test_rights_in_the_store_are_the_golden_ones.txt"
)
"""Policies of the prod stack by resource, in JSON."""

WITHIN = ("OnlyGranted", "NoPlainHttp")
"""Statements of the bucket's own policy that this API can enforce; it knows no `NotResource`, TLS version, or role."""
WORKLOAD = "workloads.loan_default.definition:LOAN_DEFAULT"
TASK = {"access_key": "task", "secret": secrets.token_hex(16)}


def rights(task):
    """The statements about objects in the policy that the prod stack binds to a task, for the bucket of the test."""
    statements = json.loads(GOLDEN.read_text())[f"{task}-identity-policy"]["Statement"]
    text = json.dumps([each for each in statements if each["Sid"].startswith(("List", "Objects"))])
    return [
        {**each, "Principal": {"AWS": [TASK["access_key"]]}}
        for each in json.loads(re.sub(r"arn:aws:s3:::[\w-]+", "arn:aws:s3:::bucket", text))
    ]


def refusals(sid):
    """A statement of the bucket's own policy, for a principal that was granted nothing."""
    statements = json.loads(GOLDEN.read_text())["artifact-store-objects-policy"]["Statement"]
    (statement,) = (each for each in statements if each["Sid"] == sid)
    conditions = {test: keys for test, keys in statement["Condition"].items() if "aws:SecureTransport" in keys}
    text = json.dumps({**statement, "Principal": {"AWS": [TASK["access_key"]]}, "Condition": conditions})
    return json.loads(re.sub(r"arn:aws:s3:::[\w-]+", "arn:aws:s3:::bucket", text))


@pytest.fixture
def store(tmp_path, monkeypatch):
    """Opens the store as a task of the prod stack."""
    with servers.versitygw(tmp_path, "--iam-dir", str(tmp_path)) as (url, keys):
        create = ["create-user", "--access", TASK["access_key"], "--secret", TASK["secret"], "--role", "user"]
        root = ["--access", keys["AWS_ACCESS_KEY_ID"], "--secret", keys["AWS_SECRET_ACCESS_KEY"]]
        subprocess.run(["versitygw", "admin", *root, "--endpoint-url", url, *create], check=True, capture_output=True)

        def as_task(name, *further, workload=WORKLOAD):
            client = boto3.client(
                "s3",
                endpoint_url=url,
                region_name=keys["AWS_REGION"],
                aws_access_key_id=keys["AWS_ACCESS_KEY_ID"],
                aws_secret_access_key=keys["AWS_SECRET_ACCESS_KEY"],
            )
            client.put_bucket_policy(Bucket="bucket", Policy=json.dumps({"Statement": [*rights(name), *further]}))
            monkeypatch.setenv("AWS_ACCESS_KEY_ID", TASK["access_key"])
            monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", TASK["secret"])
            monkeypatch.setenv("AWS_REGION", keys["AWS_REGION"])
            return Store.open(Environment(workload=workload, artifact_store_uri="s3://bucket", aws_endpoint_url_s3=url))

        yield as_task


def test_a_task_that_runs_stages_may_do_all_that_the_store_does(store, tmp_path):
    mine = store("loan-default-release")
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "x").write_text("x")
    mine.upload_tree(tmp_path / "source", "features/run")
    mine.upload_file(tmp_path / "source" / "x", "raw/x.csv")
    mine.write("a/b.json", b"1")
    assert (mine.read("a/b.json"), mine.read("a/c.json"), mine.names("nothing")) == (b"1", None, [])
    mine.download_tree("features/run", tmp_path / "target")
    assert (tmp_path / "target" / "x").read_text() == "x"
    mine.remove_tree("features/run")
    assert mine.names("features") == []


def test_the_model_server_may_write_captures_and_nothing_else(store):
    mine = store("loan-default-model")
    mine.write(f"{CAPTURES}/dt=2026-01-01/hour=00/a.parquet", b"1")
    with pytest.raises(WorkloadError, match="ACCESS_DENIED"):
        mine.write("champion.json", b"1")


@pytest.mark.parametrize(
    "task", ["loan-default-release", "loan-default-model", "loan-default-retraining", "pipelines-loan-default"]
)
def test_no_task_reaches_the_objects_of_another_workload(store, task):
    other = store(task, workload="workloads.turbofan.definition:TURBOFAN")
    for reached in (lambda: other.read("a/b.json"), lambda: other.write("a/b.json", b"1")):
        with pytest.raises(WorkloadError, match="ACCESS_DENIED"):
            reached()


@pytest.mark.parametrize("sid", WITHIN)
def test_bucket_policy_stops_identities_whom_iam_allows_everything(store, sid):
    """Nobody granted it anything, or it comes without TLS."""
    mine = store("pipelines-loan-default", refusals(sid))
    with pytest.raises(WorkloadError, match="ACCESS_DENIED"):
        mine.write("a/b.json", b"1")
    with pytest.raises(WorkloadError, match="ACCESS_DENIED"):
        mine.read("a/b.json")


def test_identity_without_grants_may_list_but_has_no_right_on_objects(store):
    assert store("pipelines-loan-default", refusals("OnlyGranted")).names("a") == []
