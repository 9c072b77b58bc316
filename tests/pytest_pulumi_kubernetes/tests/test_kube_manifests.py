"""Manifests, overlays and charts, applied to a real API server by the simulated provider."""

import textwrap

import pulumi
import pytest
from pytest_pulumi.result import OperationError

from pytest_pulumi_kubernetes import KubernetesApi

k8s = pytest.importorskip("pulumi_kubernetes", reason="pulumi-kubernetes is not installed")

pytestmark = [pytest.mark.engine, pytest.mark.cluster]

MANIFEST = """
apiVersion: example.com/v1
kind: Robot
metadata: {name: one, namespace: team}
spec: {arms: 2}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: team}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: c
        image: registry.example/web:1
        resources: {limits: {cpu: 1, memory: 1Gi}}
---
apiVersion: v1
kind: Secret
metadata: {name: key, namespace: team}
stringData: {key: hunter2}
---
apiVersion: v1
kind: Namespace
metadata: {name: team}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: robots.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: robots, singular: robot, kind: Robot}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties: {spec: {type: object, properties: {arms: {type: integer}}}}
"""


@pytest.fixture
def cluster(kube_tools):
    return KubernetesApi(tools=kube_tools)


@pytest.fixture
def stack(kube_cluster, pulumi_stack, cluster):
    def make(build):
        def program():
            provider = k8s.Provider("cluster", kubeconfig=kube_cluster.kubeconfig)
            build(provider)

        return pulumi_stack(program, providers=[cluster])

    return make


def in_component(provider):
    return pulumi.ResourceOptions(providers=[provider])


@pytest.mark.parametrize("how", ["text", "file", "kustomize"])
def test_a_set_of_manifests_comes_up_in_the_order_that_it_needs(stack, kube_cluster, tmp_path, how):
    (tmp_path / "all.yaml").write_text(MANIFEST)
    (tmp_path / "kustomization.yaml").write_text("resources: [all.yaml]\ncommonLabels: {made-by: kustomize}\n")
    build = {
        "text": lambda p: k8s.yaml.v2.ConfigGroup("all", yaml=MANIFEST, opts=in_component(p)),
        "file": lambda p: k8s.yaml.v2.ConfigFile("all", file=str(tmp_path / "all.yaml"), opts=in_component(p)),
        "kustomize": lambda p: k8s.kustomize.v2.Directory("all", directory=str(tmp_path), opts=in_component(p)),
    }[how]
    made = stack(build)
    result = made.up()
    assert result.step("all:team/web").op == "create"
    client = kube_cluster.client
    assert client.get("example.com/v1", "Robot", "one", "team")["spec"] == {"arms": 2}
    assert client.get("apps/v1", "Deployment", "web", "team")["status"]["readyReplicas"] == 1
    assert "hunter2" not in str(made.export())
    made.assert_no_changes()
    made.destroy()
    assert client.find("v1", "Namespace", "team") is None
    assert client.find("apiextensions.k8s.io/v1", "CustomResourceDefinition", "robots.example.com") is None


def test_a_manifest_that_is_not_there_is_named(stack):
    made = stack(lambda p: k8s.yaml.v2.ConfigFile("all", file="/nowhere/all.yaml", opts=in_component(p)))
    with pytest.raises(OperationError, match=r"there is no file '/nowhere/all\.yaml'"):
        made.up()


@pytest.fixture
def chart(tmp_path):
    folder = tmp_path / "chart"
    (folder / "templates").mkdir(parents=True)
    (folder / "Chart.yaml").write_text("apiVersion: v2\nname: web\nversion: 1.0.0\n")
    (folder / "values.yaml").write_text("image: registry.example/web:1\nextra: false\n")
    (folder / "templates" / "all.yaml").write_text(
        textwrap.dedent(
            """
            apiVersion: v1
            kind: Pod
            metadata: {name: "{{ .Release.Name }}"}
            spec: {containers: [{name: c, image: "{{ .Values.image }}"}]}
            {{- if .Values.extra }}
            ---
            apiVersion: v1
            kind: ConfigMap
            metadata: {name: extra}
            {{- end }}
            """
        )
    )
    return folder


def release(chart, extra, **options):
    def build(provider):
        k8s.helm.v3.Release(
            "web",
            name="web",
            chart=str(chart),
            namespace="team",
            values={"extra": extra},
            opts=pulumi.ResourceOptions(provider=provider),
            **options,
        )

    return build


def test_a_release_of_a_chart_on_this_machine_is_rendered_and_applied(stack, kube_cluster, cluster, chart):
    client = kube_cluster.client
    made = stack(release(chart, extra=True, create_namespace=True))
    made.up()
    assert client.get("v1", "Pod", "web", "team")["status"]["phase"] == "Running"
    assert client.find("v1", "ConfigMap", "extra", "team")
    made.assert_no_changes()
    (chart / "values.yaml").write_text("image: registry.example/web:2\nextra: false\n")
    made.destroy()
    assert client.find("v1", "Pod", "web", "team") is None
    assert client.find("v1", "Namespace", "team")
    assert cluster.unproven == []


def test_release_of_a_remote_chart_is_recorded_and_listed_as_unproven(stack, kube_cluster, cluster):
    made = stack(release("oci://registry.example/charts/web", extra=False, create_namespace=True))
    made.up()
    assert cluster.unproven == ["Release team/web"]
    assert kube_cluster.client.find("v1", "Namespace", "team")
    made.assert_no_changes()
    made.destroy()


def test_a_release_without_its_namespace_is_refused(stack):
    with pytest.raises(OperationError, match=r'Release .* was not installed.*namespaces "team" not found'):
        stack(release("oci://registry.example/charts/web", extra=False)).up()


def test_a_chart_that_helm_cannot_render_is_refused_at_preview(stack, chart):
    (chart / "templates" / "all.yaml").write_text('{{ fail "no image given" }}')
    with pytest.raises(OperationError, match=r"helm template: .*no image given"):
        stack(release(chart, extra=True, create_namespace=True)).preview()
