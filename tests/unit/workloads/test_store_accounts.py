"""Accounts of a cluster's artifact store, on a versitygw that is started as its pod is: each reaches its own folder."""

import runpy
import shutil
from pathlib import Path

import boto3
import pytest
import requests
from botocore.config import Config
from botocore.exceptions import ClientError

from workloads.lifecycle.base.environment import Environment
from workloads.lifecycle.base.errors import WorkloadError
from workloads.lifecycle.base.store import Store

from .servers import free_port, running

VERSITYGW = runpy.run_path(str(Path(__file__).parents[3] / "infra" / "artifact_store" / "versitygw.py"))
BUCKET = VERSITYGW["BUCKET"]
OURS, THEIRS = "loan-default", "turbofan"
ACCOUNTS = {
    f"{name}/": VERSITYGW["Keys"](access=f"{name}-access", secret=f"{name}-secret") for name in (OURS, THEIRS, "mlflow")
}
REFERENCES = {
    OURS: "workloads.loan_default.definition:LOAN_DEFAULT",
    THEIRS: "workloads.turbofan.definition:TURBOFAN",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """URL of the S3 API, on the data of a server that knew one account only."""
    if shutil.which("versitygw") is None:
        pytest.skip("versitygw is not on PATH; `make test` puts it there")
    folder = tmp_path_factory.mktemp("versitygw")
    (folder / "accounts").mkdir()
    (folder / "data" / "objects" / BUCKET / OURS).mkdir(parents=True)
    (folder / "data" / "objects" / BUCKET / OURS / "former").write_text("of before")
    (folder / "accounts" / "users.json").write_text(VERSITYGW["users"](ACCOUNTS))
    (folder / "accounts" / "policy.json").write_text(VERSITYGW["policy"](ACCOUNTS))
    address = f"127.0.0.1:{free_port()}"
    command = ["sh", "-c", VERSITYGW["start"](address, f"{folder}/data", f"{folder}/accounts")]
    root = {"ROOT_ACCESS_KEY": "root-access", "ROOT_SECRET_KEY": "root-secret"}
    with running(command, f"http://{address}/healthz", folder / "versitygw.log", **root):
        yield f"http://{address}"


def client(server, name):
    return boto3.client(
        "s3",
        endpoint_url=server,
        region_name=VERSITYGW["REGION"],
        aws_access_key_id=f"{name}-access",
        aws_secret_access_key=f"{name}-secret",
        config=Config(signature_version="s3v4"),
    )


@pytest.fixture
def store(server, monkeypatch):
    """Opens a workload's store with the keys of another, or of itself."""

    def opened(keys, workload):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", f"{keys}-access")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", f"{keys}-secret")
        monkeypatch.setenv("AWS_REGION", VERSITYGW["REGION"])
        environment = {"artifact_store_uri": f"s3://{BUCKET}", "aws_endpoint_url_s3": server}
        return Store.open(Environment(workload=REFERENCES[workload], **environment))

    return opened


def test_a_workload_does_in_its_folder_all_that_the_store_does(store, tmp_path):
    mine = store(OURS, OURS)
    assert mine.read("former") == b"of before"
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "x").write_bytes(b"x" * 11_000_000)  # more than one part
    mine.upload_tree(tmp_path / "source", "features/run")
    mine.write("a/b.json", b"1")
    assert (mine.read("a/b.json"), mine.read("a/c.json"), mine.names("nothing")) == (b"1", None, [])
    mine.download_tree("features/run", tmp_path / "target")
    assert (tmp_path / "target" / "x").stat().st_size == 11_000_000
    mine.remove_tree("features/run")
    assert mine.names("features") == []


def test_a_workload_neither_reads_nor_writes_what_is_anothers(store):
    store(OURS, OURS).write("secret.json", b"1")
    other = store(THEIRS, OURS)
    with pytest.raises(WorkloadError, match="ACCESS_DENIED"):
        other.read("secret.json")
    with pytest.raises(WorkloadError, match="ACCESS_DENIED"):
        other.write("secret.json", b"2")
    assert store(OURS, OURS).read("secret.json") == b"1"


CALLS = {
    "get_object": {"Key": f"{OURS}/row"},
    "head_object": {"Key": f"{OURS}/row"},
    "delete_object": {"Key": f"{OURS}/row"},
    "put_object": {"Key": f"{OURS}/row", "Body": b"2"},
    "create_multipart_upload": {"Key": f"{OURS}/row"},
    "get_object_tagging": {"Key": f"{OURS}/row"},
    "get_object_acl": {"Key": f"{OURS}/row"},
    "copy_object": {"Key": f"{THEIRS}/row", "CopySource": f"{BUCKET}/{OURS}/row"},
    "get_bucket_policy": {},
    "put_bucket_policy": {"Policy": '{"Statement": []}'},
    "delete_bucket_policy": {},
    "put_bucket_acl": {"ACL": "public-read"},
    "delete_bucket": {},
}


@pytest.mark.parametrize("call", CALLS)
def test_no_call_of_the_api_leads_around_the_policy(server, call):
    client(server, OURS).put_object(Bucket=BUCKET, Key=f"{OURS}/row", Body=b"1")
    with pytest.raises(ClientError) as refused:
        getattr(client(server, THEIRS), call)(Bucket=BUCKET, **CALLS[call])
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] in (403, 405), refused.value
    assert client(server, OURS).get_object(Bucket=BUCKET, Key=f"{OURS}/row")["Body"].read() == b"1"


def test_a_copy_within_a_folder_is_made(server):
    mine = client(server, OURS)
    mine.put_object(Bucket=BUCKET, Key=f"{OURS}/row", Body=b"1")
    mine.copy_object(Bucket=BUCKET, Key=f"{OURS}/twin", CopySource=f"{BUCKET}/{OURS}/row")
    assert mine.get_object(Bucket=BUCKET, Key=f"{OURS}/twin")["Body"].read() == b"1"


def test_a_form_posts_nothing_into_anothers_folder(server):
    form = client(server, THEIRS).generate_presigned_post(BUCKET, f"{OURS}/posted")
    answer = requests.post(form["url"], data=form["fields"], files={"file": b"2"}, timeout=30)
    assert answer.status_code in (403, 405), answer.text
    assert "Contents" not in client(server, OURS).list_objects_v2(Bucket=BUCKET, Prefix=f"{OURS}/posted")


def test_a_batch_of_deletions_leaves_what_is_anothers(server):
    client(server, OURS).put_object(Bucket=BUCKET, Key=f"{OURS}/row", Body=b"1")
    for key in (f"{OURS}/row", f"{THEIRS}/../{OURS}/row"):
        answer = client(server, THEIRS).delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": key}]})
        assert [each["Code"] for each in answer["Errors"]] == ["AccessDenied"], answer
    assert client(server, OURS).get_object(Bucket=BUCKET, Key=f"{OURS}/row")["Body"].read() == b"1"


def test_an_account_makes_no_account_and_no_bucket(server):
    with pytest.raises(ClientError):
        client(server, OURS).create_bucket(Bucket="another")
