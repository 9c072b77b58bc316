"""Spark's driver asks a real Kubernetes API server for executors; the nodes are simulated, so none of them runs."""

import json
import os
import subprocess
import time

import pytest

from infra.base import paths

IMAGE = "registry.example/ingest@sha256:" + "0a" * 32
NAMESPACE = "loans"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
DRIVER = "ingest-x7"
SECONDS = 120
START = """
import os, sys
from pathlib import Path
from pyspark.sql import SparkSession
from workloads.lifecycle.base.ingestion_settings import IngestionSettings
from workloads.lifecycle.ingestion.spark import Driver, options_on_kubernetes

settings = IngestionSettings.model_validate_json(os.environ["INGESTION"])
work = Path(os.environ["WORK_DIR"])
driver = Driver("127.0.0.1", os.environ["DRIVER"])
options = options_on_kubernetes(settings, settings.spark_kubernetes, work, driver, {}, name="loan-default")
login = "spark.kubernetes.authenticate"  # in a pod, the mounted token does
options |= {f"{login}.caCertFile": str(work / "ca.crt"), f"{login}.oauthTokenFile": str(work / "token")}
builder = SparkSession.builder.master(settings.spark_master)
for name, value in options.items():
    builder = builder.config(name, value)
spark = builder.getOrCreate()
print("started", flush=True)
sys.stdin.read()
spark.stop()
"""

pytestmark = [pytest.mark.cluster, pytest.mark.tier("spark-on-cluster")]


@pytest.fixture
def client(kube_cluster):
    """A namespace with the restricted security standard, where the driver's pod runs."""
    client = kube_cluster.client
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    client.request("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE, "labels": labels}})
    client.request("POST", f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", {"metadata": {"name": "ingest"}})
    container = {
        "name": "ingest",
        "image": IMAGE,
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    security = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
    spec = {"serviceAccountName": "ingest", "containers": [container], "securityContext": security}
    client.request("POST", PODS, {"metadata": {"name": DRIVER}, "spec": spec})
    return client


@pytest.fixture
def driver(client, tmp_path):
    """Spark in the workloads' environment, in client mode, told by the settings alone what its executors are."""
    python = paths.environment_dir("workloads") / "bin" / "python"
    if not python.exists():
        pytest.skip("the workloads environment is not there: run `python3 -m tools.install workloads`")
    (tmp_path / "ca.crt").write_text(client.connection.authority)
    (tmp_path / "token").write_text(client.connection.token)
    pods = {"image": IMAGE, "namespace": NAMESPACE, "service_account": "ingest", "store_secret": "loan-default"}
    ingestion = {"spark_master": f"k8s://{client.connection.server}", "spark_kubernetes": pods | {"executors": 2}}
    environ = os.environ | {
        "INGESTION": json.dumps(ingestion),
        "WORK_DIR": str(tmp_path),
        "DRIVER": DRIVER,
        "PYSPARK_PYTHON": str(python),
        "SPARK_LOCAL_IP": "127.0.0.1",
    }
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [python, "-c", START],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environ,
            cwd=paths.CHECKOUT,
        )
    with process:
        assert process.stdout.readline() == b"started\n", (tmp_path / "log").read_text()
        yield process
        process.stdin.close()


def executors(client):
    found = client.request("GET", PODS)["items"]
    return [each for each in found if each["metadata"]["name"] != DRIVER]


def wait_for_executors(client, count):
    deadline = time.monotonic() + SECONDS
    while len(found := executors(client)) != count:
        assert time.monotonic() < deadline, f"{len(found)} executors, not {count}"
        time.sleep(0.2)
    return found


def test_api_server_admits_executors_and_spark_deletes_them(client, driver):
    pod = wait_for_executors(client, 2)[0]
    (owner,) = pod["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"]) == ("Pod", DRIVER)
    spec = pod["spec"]
    (container,) = spec["containers"]
    assert (container["image"], container["args"]) == (IMAGE, ["executor"])
    assert (spec["serviceAccountName"], spec["automountServiceAccountToken"]) == ("ingest", False)
    assert container["resources"]["limits"] == {"cpu": "1", "memory": "1536Mi"}
    references = {
        each["name"]: each["valueFrom"]["secretKeyRef"]["name"]
        for each in container["env"]
        if "secretKeyRef" in each.get("valueFrom", {})
    }
    assert references == dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "loan-default")
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    driver.stdin.close()
    assert wait_for_executors(client, 0) == []
