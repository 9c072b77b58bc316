import pulumi
import pytest
import yaml
from pydantic import ValidationError

from infra import cluster
from infra.cluster.kind import configuration
from infra.cluster.kubeconfig import KubeconfigError
from infra.cluster.settings import ExistingClusterSettings, KindClusterSettings
from infra.host import HostProvider

KUBECONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "production",
    "contexts": [
        {"name": "production", "context": {"cluster": "far", "user": "root"}},
        {"name": "dev", "context": {"cluster": "near", "user": "me"}},
        {"name": "broken", "context": {"cluster": "near", "user": "nobody"}},
    ],
    "clusters": [
        {"name": "far", "cluster": {"server": "https://far:6443"}},
        {"name": "near", "cluster": {"server": "https://near:6443"}},
    ],
    "users": [{"name": "root", "user": {"token": "r"}}, {"name": "me", "user": {"token": "m"}}],
}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(KUBECONFIG))
    return path


def existing(path, context="dev"):
    """A program that stands on a context of a kubeconfig file."""

    def program():
        settings = ExistingClusterSettings(kind="existing-cluster", kubeconfig=str(path), context=context)
        made = cluster.build("cluster", settings)
        pulumi.export("kubeconfig", made.kubeconfig)
        pulumi.export("identifier", made.identifier)

    return program


def test_the_named_context_is_taken_whatever_is_current(pulumi_run, file):
    graph = pulumi_run(existing(file))
    chosen = yaml.safe_load(graph.outputs["kubeconfig"])
    assert chosen["current-context"] == "dev"
    assert (chosen["clusters"], chosen["users"]) == ([KUBECONFIG["clusters"][1]], [KUBECONFIG["users"][1]])
    assert graph.outputs["identifier"] == "https://near:6443"


def test_the_kubeconfig_is_secret(pulumi_run, file):
    assert pulumi_run(existing(file)).secret_outputs == {"kubeconfig"}


@pytest.mark.parametrize(
    ("context", "said"),
    [
        ("prod", "no context 'prod' .it has: broken, dev, production.: correct `cluster.context`"),
        ("broken", "no user 'nobody', which its context 'broken' names"),
    ],
)
def test_a_context_that_is_not_there_is_refused_with_those_that_are(pulumi_run, file, context, said):
    with pytest.raises(KubeconfigError, match=said):
        pulumi_run(existing(file, context))


@pytest.mark.parametrize("text", [None, "[", "- 1"])
def test_a_file_that_is_no_kubeconfig_is_refused_in_one_line(pulumi_run, tmp_path, text):
    path = tmp_path / "config"
    if text is not None:
        path.write_text(text)
    with pytest.raises(KubeconfigError, match=r"correct `cluster.kubeconfig`") as error:
        pulumi_run(existing(path))
    assert len(str(error.value).splitlines()) == 1


def test_a_context_must_be_named():
    with pytest.raises(ValidationError, match="context"):
        ExistingClusterSettings(kind="existing-cluster")


def test_a_kind_cluster_is_made_by_the_host_and_its_kubeconfig_is_secret(pulumi_run):
    def program():
        opts = pulumi.ResourceOptions(providers=[HostProvider("host", root="/stack")])
        made = cluster.build("cluster", KindClusterSettings(kind="kind-cluster", workers=2), opts)
        pulumi.export("kubeconfig", made.kubeconfig)

    graph = pulumi_run(program)
    graph.one("host:index:KindCluster").assert_inputs({"cluster_name": "mlplatform"})
    assert graph.secret_outputs == {"kubeconfig"}


def test_a_kind_clusters_api_server_listens_on_loopback_only():
    made = configuration(KindClusterSettings(kind="kind-cluster", workers=2))
    assert made["networking"] == {"apiServerAddress": "127.0.0.1"}
    assert [node["role"] for node in made["nodes"]] == ["control-plane", "worker", "worker"]
