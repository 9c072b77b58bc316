import json

import pytest

from infra.pipelines import store
from infra.pipelines.store import Store

OURS = Store.of("s3://mlplatform", "us-east-1", "http://artifact-store.mlplatform.svc.cluster.local:7070", keys=True)
AWS = Store.of("s3://bucket-1a2b", "eu-west-1", None, keys=False)


def test_server_reaches_a_store_in_the_cluster_by_port_and_plain_http():
    assert store.server(OURS) == {
        "bucket": "mlplatform",
        "endpoint": "artifact-store.mlplatform.svc.cluster.local:7070",
        "host": "artifact-store.mlplatform.svc.cluster.local",
        "port": "7070",
        "region": "us-east-1",
        "secure": "false",
    }


def test_the_server_reaches_aws_by_its_regional_endpoint_encrypted():
    assert store.server(AWS) == {
        "bucket": "bucket-1a2b",
        "endpoint": "s3.eu-west-1.amazonaws.com",
        "host": "s3.eu-west-1.amazonaws.com",
        "port": "",
        "region": "eu-west-1",
        "secure": "true",
    }


@pytest.mark.parametrize(("known", "keys"), [(OURS, True), (AWS, False)])
def test_launchers_have_keys_only_where_the_store_wants_them(known, keys):
    data = store.launcher(known)
    provider = json.loads(data["providers"])["s3"]["default"]
    assert provider["credentials"]["fromEnv"] is not keys
    assert ("secretRef" in provider["credentials"]) is keys
    assert provider["disableSSL"] is keys
    assert data["defaultPipelineRoot"] == f"s3://{known.bucket}/pipelines"


@pytest.mark.parametrize(("known", "keys"), [(OURS, True), (AWS, False)])
def test_argo_has_keys_only_where_the_store_wants_them(known, keys):
    repository = json.loads(store.workflow_controller(known, 60)["artifactRepository"])["s3"]
    assert ("accessKeySecret" in repository) is ("secretKeySecret" in repository) is keys
    assert repository.get("useSDKCreds", False) is not keys
    assert repository["insecure"] is keys


def test_every_pod_of_a_run_is_restricted_connected_and_expires():
    data = store.workflow_controller(OURS, 3600)
    spec = json.loads(data["workflowDefaults"])["spec"]
    assert spec["ttlStrategy"] == {"secondsAfterCompletion": 3600}
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["podMetadata"]["labels"]["mlplatform.dev/calls-tracking"] == "true"
    executor = json.loads(data["executor"])
    assert executor["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert set(executor["resources"]) == {"requests", "limits"}


@pytest.mark.parametrize(
    ("query", "mode"),
    [("", "prefer"), ("?sslmode=require", "require"), ("?sslmode=verify-full&sslrootcert=/rds.pem", "require")],
)
def test_metadata_store_gets_a_url_in_parts_as_encrypted_as_others(query, mode):
    assert store.connection(f"postgresql+psycopg://runs:pw@db.example:5432/runs{query}") == {
        "host": "db.example",
        "port": "5432",
        "username": "runs",
        "password": "pw",
        "database": "runs",
        "sslmode": mode,
    }


def test_a_store_in_china_has_the_endpoint_of_its_partition():
    assert Store.of("s3://objects", "cn-north-1", None, keys=False).endpoint == "s3.cn-north-1.amazonaws.com.cn"
