"""What becomes of definitions of custom resources once a stack is down, on a real control plane."""

import json
import os

import pytest
import yaml
from pytest_pulumi_kubernetes.crds import is_established

from infra.base.paths import CHECKOUT
from stacks.commands.sweep import on_cluster
from stacks.settings import parse

pytestmark = pytest.mark.cluster


def definition(plural):
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.left.cert-manager.io"},
        "spec": {
            "group": "left.cert-manager.io",
            "scope": "Cluster",
            "names": {"plural": plural, "kind": plural.capitalize()},
            "versions": [version],
        },
    }


@pytest.fixture
def swept(kube_cluster, monkeypatch):
    """Sweeps after a dev stack that is down, of which two definitions and an object of one of them are left."""
    folders = os.pathsep.join(str(folder) for folder in kube_cluster.tools.folders)
    monkeypatch.setenv("PATH", f"{folders}{os.pathsep}{os.environ['PATH']}")
    client = kube_cluster.client
    for plural in ("stones", "leaves"):
        found = client.apply(definition(plural))
        client.wait((found["apiVersion"], found["kind"], found["metadata"]["name"], None), is_established)
    stone = {"apiVersion": "left.cert-manager.io/v1", "kind": "Stones", "metadata": {"name": "somebodys"}}
    client.apply(stone)

    def run(*, keep_crds):
        config = yaml.safe_load((CHECKOUT / "Pulumi.dev.yaml").read_text())["config"]
        config["mlplatform:cluster"] = {
            "kind": "existing-cluster",
            "kubeconfig": str(kube_cluster.kubeconfig_path),
            "context": "admin",
        }
        config["mlplatform:controllers"]["keep_crds"] = keep_crds
        left, noted = on_cluster(parse({key: json.dumps(value) for key, value in config.items()}, "dev"))
        known = client.list("apiextensions.k8s.io/v1", "CustomResourceDefinition")
        names = {each["metadata"]["name"] for each in known}
        return left, noted, {name for name in names if name.endswith(".left.cert-manager.io")}

    return run


def test_definitions_are_all_kept_where_the_stack_file_says_so(swept):
    _, (noted,), there = swept(keep_crds=True)
    assert there == {"stones.left.cert-manager.io", "leaves.left.cert-manager.io"}
    assert noted.startswith("kept: ")


def test_else_those_are_deleted_that_nobody_has_an_object_of(swept, monkeypatch):
    monkeypatch.setattr("stacks.commands.sweep.GROUPS", ("left.cert-manager.io",))  # the others are this session's
    left, noted, there = swept(keep_crds=False)
    assert (left, there) == ([], {"stones.left.cert-manager.io"})
    assert noted == [
        "deleted: 1 definitions of custom resources, e.g. leaves.left.cert-manager.io",
        "kept: 1 definitions of custom resources, e.g. stones.left.cert-manager.io",
    ]
