import dataclasses
import json
import re

import pytest
import yaml
from pulumi_kubernetes.kustomize import v2 as kustomize
from pulumi_kubernetes.yaml import v2 as plain

from infra.base import pins
from infra.base.supply import Supply
from infra.pipelines.manifests import OVERLAY, ManifestsError, apply, built
from tests.clusters import on_cluster

MANIFESTS = """\
kind: Deployment
spec:
  template:
    spec:
      initContainers: [{name: wait, image: "docker.io/alpine:3.23"}]
      containers:
      - name: server
        image: ghcr.io/kubeflow/kfp-api-server:2.17.0
        env:
        - {name: V2_DRIVER_IMAGE, value: "ghcr.io/kubeflow/kfp-driver:2.17.0"}
        - {name: LOG_LEVEL, value: info}
---
kind: Service
"""


@pytest.fixture
def folder(tmp_path):
    file = tmp_path / "manifests" / f"kubeflow-pipelines-{pins.KUBEFLOW_PIPELINES}.yaml"
    file.parent.mkdir()
    file.write_text(MANIFESTS)
    return tmp_path


def kustomization():
    return yaml.safe_load((OVERLAY / "kustomization.yaml").read_text())


def patches():
    return [
        document
        for each in kustomization()["patches"]
        if "path" in each
        for document in yaml.safe_load_all((OVERLAY / each["path"]).read_text())
    ]


def test_every_resource_is_of_the_pinned_version():
    refs = {re.search(r"\?ref=(.+)$", each).group(1) for each in kustomization()["resources"]}
    assert refs == {pins.KUBEFLOW_PIPELINES}


@pytest.mark.parametrize("patch", patches(), ids=lambda patch: patch["metadata"]["name"])
def test_every_patched_container_is_bounded_and_its_image_read_only(patch):
    spec = patch["spec"]["template"]["spec"]
    for container in spec["containers"]:
        assert set(container["resources"]["limits"]) == {"cpu", "memory"}
        # Argo's has a read-only root of its own.
        if container["name"] != "workflow-controller":
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
    for container in spec.get("initContainers", []):
        assert container["securityContext"]["readOnlyRootFilesystem"] is True


def test_the_server_has_no_default_keys_and_no_first_version():
    (server,) = [patch for patch in patches() if patch["metadata"]["name"] == "ml-pipeline"]
    (container,) = server["spec"]["template"]["spec"]["containers"]
    env = {each["name"]: each for each in container["env"] if "name" in each}
    assert container["env"][0] == {"$patch": "replace"}
    for name in ("OBJECTSTORECONFIG_ACCESSKEY", "OBJECTSTORECONFIG_SECRETACCESSKEY"):
        assert env[name]["valueFrom"]["secretKeyRef"]["name"] == "pipelines-store"
    assert env["BLOCK_V1_PIPELINES"]["value"] == "true"


def test_the_server_speaks_mysql_and_encrypted_only():
    (server,) = [patch for patch in patches() if patch["metadata"]["name"] == "ml-pipeline"]
    (container,) = server["spec"]["template"]["spec"]["containers"]
    env = {each["name"]: each.get("value") for each in container["env"] if "name" in each}
    assert env["DBDRIVERNAME"] == "mysql"
    assert json.loads(env["DBCONFIG_MYSQLCONFIG_EXTRAPARAMS"]) == {"tls": "skip-verify"}
    assert not [name for name in env if "POSTGRES" in name]


def test_metadata_store_makes_no_database_and_encrypts_as_configured():
    (deployment,) = [patch for patch in patches() if patch["metadata"]["name"] == "metadata-grpc-deployment"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert "--postgres_config_skip_db_creation=true" in container["args"]
    assert "--postgres_config_sslmode=$(DB_SSLMODE)" in container["args"]


def test_from_a_folder_every_image_comes_from_the_mirror(folder):
    deployment, service = built(Supply(folder=folder, registry="mirror.example"))
    pod = deployment["spec"]["template"]["spec"]
    assert pod["initContainers"][0]["image"] == "mirror.example/docker.io/alpine:3.23"
    assert pod["containers"][0]["image"] == "mirror.example/ghcr.io/kubeflow/kfp-api-server:2.17.0"
    assert [each["value"] for each in pod["containers"][0]["env"]] == [
        "mirror.example/ghcr.io/kubeflow/kfp-driver:2.17.0",
        "info",
    ]
    assert service == {"kind": "Service"}


def test_going_over_to_a_mirror_and_back_the_objects_keep_their_names(pulumi_run, folder):
    def aliases(kind, supply):
        def build(substrate, opts):
            apply("pipelines", dataclasses.replace(substrate, supply=supply), opts)

        return pulumi_run(on_cluster(build)).one(kind).aliases

    assert aliases(kustomize.Directory, Supply()) == ("type=kubernetes:yaml/v2:ConfigGroup",)
    assert aliases(plain.ConfigGroup, Supply(folder=folder)) == ("type=kubernetes:kustomize/v2:Directory",)


def test_missing_manifests_name_the_command_that_makes_them(tmp_path):
    with pytest.raises(ManifestsError, match=r"kubectl kustomize .*/infra/pipelines/kubeflow > "):
        built(Supply(folder=tmp_path))


def test_a_mirror_without_a_folder_is_refused_with_the_fix(pulumi_run):
    def build(substrate, opts):
        mirrored = dataclasses.replace(substrate, supply=Supply(registry="mirror.example"))
        apply("pipelines", mirrored, opts)

    with pytest.raises(ManifestsError, match=r"substrate\.supply\.folder"):
        pulumi_run(on_cluster(build))
