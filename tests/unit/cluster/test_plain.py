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


def written(tmp_path, user, **cluster):
    """A kubeconfig of one context, as a cloud's command line writes it."""
    path = tmp_path / "config"
    config = {
        "contexts": [{"name": "dev", "context": {"cluster": "near", "user": "me"}}],
        "clusters": [{"name": "near", "cluster": {"server": "https://near", **cluster}}],
        "users": [{"name": "me", "user": user}],
    }
    path.write_text(yaml.safe_dump(config))
    return path


GKE = {
    "apiVersion": "client.authentication.k8s.io/v1beta1",
    "command": "gke-gcloud-auth-plugin",
    "installHint": "Install gke-gcloud-auth-plugin for use with kubectl by following\n  https://cloud.google.com/kubernetes-engine",
    "provideClusterInfo": True,
}
AKS = {
    "apiVersion": "client.authentication.k8s.io/v1beta1",
    "command": "kubelogin",
    "args": ["get-token", "--login", "azurecli", "--server-id", "6dae42f8-4368-4678-94ff-3960e28e3630"],
}


@pytest.mark.parametrize("login", [GKE, AKS], ids=["gke", "aks"])
def test_clouds_login_program_is_kept_as_its_command_line_wrote_it(pulumi_run, tmp_path, monkeypatch, login):
    program = tmp_path / login["command"]
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    graph = pulumi_run(existing(written(tmp_path, {"exec": login})))
    assert yaml.safe_load(graph.outputs["kubeconfig"])["users"][0]["user"]["exec"] == login


@pytest.mark.parametrize(
    ("login", "said"),
    [
        (GKE, "logs in by the program 'gke-gcloud-auth-plugin', which is not here: Install gke-gcloud-auth-plugin for"),
        (AKS, "logs in by the program 'kubelogin', which is not here: install it, or put it on PATH"),
    ],
    ids=["gke", "aks"],
)
def test_missing_login_program_is_named_with_its_hint_in_one_line(pulumi_run, tmp_path, monkeypatch, login, said):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(KubeconfigError, match=said) as error:
        pulumi_run(existing(written(tmp_path, {"exec": login})))
    assert len(str(error.value).splitlines()) == 1


def test_files_are_looked_for_beside_the_kubeconfig(pulumi_run, tmp_path):
    user = {"client-certificate": "me.crt", "client-key": "/keys/me.key"}
    graph = pulumi_run(existing(written(tmp_path, user, **{"certificate-authority": "ca/near.crt"})))
    chosen = yaml.safe_load(graph.outputs["kubeconfig"])
    assert chosen["clusters"][0]["cluster"]["certificate-authority"] == str(tmp_path / "ca" / "near.crt")
    assert chosen["users"][0]["user"] == {"client-certificate": str(tmp_path / "me.crt"), "client-key": "/keys/me.key"}


def test_a_context_must_be_named():
    with pytest.raises(ValidationError, match="context"):
        ExistingClusterSettings(kind="existing-cluster")


def test_host_makes_a_kind_cluster_and_its_kubeconfig_is_secret(pulumi_run):
    def program():
        opts = pulumi.ResourceOptions(providers=[HostProvider("host", root="/stack")])
        made = cluster.build("cluster", KindClusterSettings(kind="kind-cluster", workers=2), opts)
        pulumi.export("kubeconfig", made.kubeconfig)

    graph = pulumi_run(program)
    graph.one("host:index:KindCluster").assert_inputs({"cluster_name": "mlplatform", "registry_port": 5001})
    assert graph.secret_outputs == {"kubeconfig"}


def test_a_kind_clusters_api_server_listens_on_loopback_only():
    made = configuration(KindClusterSettings(kind="kind-cluster", workers=2))
    assert made["networking"] == {"apiServerAddress": "127.0.0.1"}
    assert [node["role"] for node in made["nodes"]] == ["control-plane", "worker", "worker"]
