import json
import os
import stat

import pytest

from infra.base.aws_types import STACK_TAG
from infra.cluster.settings import ExistingClusterSettings, KindClusterSettings
from stacks.commands import sweep
from stacks.commands.aws_account import iam_region
from stacks.commands.kubectl import ClusterError
from stacks.commands.sweep import Cluster, SweepError
from tests import prod

KUBECONFIG = """\
apiVersion: v1
kind: Config
contexts: [{name: dev, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: u, user: {token: t}}]
"""
FAKE = """#!/bin/sh
# Stands in for kubectl: gives what is written in a file called like the kinds that are asked for.
[ -e "{folder}/unreachable" ] && {{ echo "connection refused" >&2; exit 1; }}
shift 3
case "$1" in
  api-resources) echo configmaps; echo namespaces ;;
  get) cat "{folder}/$2" 2>/dev/null ;;
esac
exit 0
"""


def on_path(tmp_path, monkeypatch, name, text):
    program = tmp_path / name
    program.write_text(text)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    on_path(tmp_path, monkeypatch, "kubectl", FAKE.format(folder=tmp_path))
    (tmp_path / "config").write_text(KUBECONFIG)
    settings = ExistingClusterSettings(kind="existing-cluster", kubeconfig=str(tmp_path / "config"), context="dev")
    return Cluster(settings, ["mlplatform", "loan-default"], tmp_path)


def there(folder, kinds, *items):
    (folder / kinds).write_text(json.dumps({"items": items}))


def thing(kind, name, **more):
    namespace = {"namespace": more.pop("namespace")} if "namespace" in more else {}
    metadata = {"name": name, **namespace, **more.pop("metadata", {})}
    return {"kind": kind, "metadata": metadata, **more}


def test_an_empty_cluster_has_no_orphans(cluster, tmp_path):
    there(tmp_path, "namespaces", thing("Namespace", "default"))
    assert list(cluster.orphans()) == []


def test_labelled_object_is_an_orphan_and_its_finalizers_are_named(cluster, tmp_path):
    stuck = {"finalizers": ["example.com/hold"], "deletionTimestamp": "2026-01-01T00:00:00Z"}
    there(tmp_path, "configmaps,namespaces", thing("ConfigMap", "c", namespace="mlplatform", metadata=stuck))
    assert list(cluster.orphans()) == ["ConfigMap/mlplatform/c: waits for example.com/hold"]


def test_a_webhook_whose_service_is_gone_is_an_orphan(cluster, tmp_path):
    there(tmp_path, "namespaces", thing("Namespace", "here"))
    hooks = [{"clientConfig": {"service": {"namespace": space}}} for space in ("here", "gone")]
    there(tmp_path, ",".join(sweep.WEBHOOKS), thing("ValidatingWebhookConfiguration", "w", webhooks=hooks))
    (orphan,) = cluster.orphans()
    assert orphan.startswith("ValidatingWebhookConfiguration/w: asks a Service in gone, which is gone")


def test_a_volume_whose_claim_went_with_our_namespace_is_an_orphan(cluster, tmp_path):
    ours, others = ({"claimRef": {"namespace": space, "name": "data"}} for space in ("mlplatform", "others"))
    there(
        tmp_path,
        "persistentvolumes",
        thing("PersistentVolume", "a", spec=ours),
        thing("PersistentVolume", "b", spec=others),
    )
    assert list(cluster.orphans()) == ["PersistentVolume/a: data of mlplatform/data, and its bill"]


def test_definitions_of_our_controllers_are_told_from_others(cluster, tmp_path):
    named = ("certificates.cert-manager.io", "robots.example.com")
    there(tmp_path, "customresourcedefinitions", *(thing("CustomResourceDefinition", name) for name in named))
    assert cluster.definitions() == ["certificates.cert-manager.io"]


def test_a_cluster_that_does_not_answer_is_no_empty_cluster(cluster, tmp_path):
    (tmp_path / "unreachable").touch()
    with pytest.raises(ClusterError, match="connection refused"):
        list(cluster.orphans())


def test_a_kind_cluster_that_is_there_still_is_an_orphan(tmp_path, monkeypatch):
    on_path(tmp_path, monkeypatch, "kind", "#!/bin/sh\necho mlplatform\n")
    assert sweep.kind_orphans(KindClusterSettings(kind="kind-cluster")) == ["kind cluster mlplatform"]
    assert sweep.kind_orphans(KindClusterSettings(kind="kind-cluster", name="other")) == []


@pytest.mark.parametrize(
    ("left", "code"),
    [(([], []), 0), ((["ConfigMap/x"], []), 1), (SweepError("unreachable"), 2), (ClusterError("unreachable"), 2)],
)
def test_the_exit_code_says_whether_something_is_left(monkeypatch, left, code):
    def swept(_stack):
        if isinstance(left, Exception):
            raise left
        return left

    monkeypatch.setattr(sweep, "_swept", swept)
    assert sweep.main(["--stack", "dev"]) == code


class Region:
    """One region of an account that holds what a test puts into it."""

    def __init__(self, going=(), logs=None, **tagged):
        self.tags, self.ends, self.logs = tagged, going, logs

    def log_group(self, name):
        return self.logs if name == "/aws/eks/mlplatform/cluster" else None

    def tagged(self, key, value):
        return (
            self.tags.get({STACK_TAG: "ours", "kubernetes.io/cluster/mlplatform": "clusters"}[key], ()) if value else ()
        )

    def going(self, arn):
        return arn in self.ends


def test_resource_with_the_stacks_or_clusters_tag_is_left_on_aws():
    here = Region(ours=["arn:b", "arn:a"], clusters=["arn:volume", "arn:a"])
    there_too = Region(ours=["arn:role"])
    assert sweep.on_aws(prod.settings(), [here, there_too]) == (["arn:a", "arn:b", "arn:volume", "arn:role"], [])


def test_what_waits_for_its_end_is_kept_and_not_left():
    assert sweep.on_aws(prod.settings(), [Region(ours=["arn:key"], going=["arn:key"])]) == ([], ["arn:key"])


def test_a_cluster_of_somebody_else_is_not_swept():
    settings = prod.settings(cluster={"kind": "existing-eks", "name": "theirs"})
    assert sweep.on_aws(settings, [Region(ours=[], clusters=["arn:volume"])]) == ([], [])


def test_all_regions_of_a_stack_are_swept():
    assert sweep.regions(prod.settings()) == ["eu-west-1", "us-east-1"]
    assert sweep.regions(prod.settings(artifact_store={"replica_region": "eu-central-1"})) == [
        "eu-west-1",
        "us-east-1",
        "eu-central-1",
    ]


def test_the_log_group_that_eks_makes_again_is_left_once():
    logs = "arn:aws:logs:eu-west-1:1:log-group:/aws/eks/mlplatform/cluster"
    assert sweep.on_aws(prod.settings(), [Region(logs=logs)]) == ([logs], [])
    assert sweep.on_aws(prod.settings(), [Region(logs=logs, ours=[logs])]) == ([logs], [])
    theirs = prod.settings(cluster={"kind": "existing-eks", "name": "theirs"})
    assert sweep.on_aws(theirs, [Region(logs=logs)]) == ([], [])


@pytest.mark.parametrize(("region", "asked"), [("cn-northwest-1", "cn-north-1"), ("us-gov-east-1", "us-gov-west-1")])
def test_iam_is_asked_in_the_partitions_own_region(region, asked):
    assert iam_region(region) == asked
