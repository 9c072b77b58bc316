"""The simulated cluster in memory against the types of the installed SDK; no test here talks to an API server."""

import re

import pulumi
import pytest
from pytest_pulumi.result import OperationError
from pytest_pulumi_kubernetes.manifests import is_remote

from simulated_pulumi.providers import Kubernetes, Planned
from simulated_pulumi.providers.kubernetes import IMMUTABLE
from simulated_pulumi.providers.schema import shape_of

k8s = pytest.importorskip("pulumi_kubernetes", reason="pulumi-kubernetes is not installed")

LABELS = {"app": "web"}


def spec(replicas=1, image="web:1", labels=None):
    labels = labels or LABELS
    return {
        "replicas": replicas,
        "selector": {"match_labels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": image}]}},
    }


def program(make, **provider):
    def run():
        made = k8s.Provider("cluster", kubeconfig="{}", **provider)
        make(pulumi.ResourceOptions(provider=made))

    return run


def planned(token, **inputs):
    return Planned(f"urn:pulumi:test::project::kubernetes:{token}::it", inputs)


@pytest.mark.parametrize(
    ("token", "inputs", "path", "reason"),
    [
        (
            "core/v1:Pod",
            {"spec": {"containers": [{"image": "a"}]}},
            "spec.containers[0].name",
            "missing required property",
        ),
        (
            "core/v1:Pod",
            {"spec": {"containers": [{"name": "a", "imag": "b"}]}},
            "spec.containers[0].imag",
            "did you mean image",
        ),
        ("core/v1:Service", {"spec": {"ports": [{"port": "80"}]}}, "spec.ports[0].port", "expected a whole number"),
        ("core/v1:Namespace", {"metadata": {"name": "Bad_Name"}}, "metadata.name", "'Bad_Name' is no valid name"),
        ("core/v1:ConfigMap", {"kind": "Map"}, "kind", "'Map' is not 'ConfigMap'"),
        ("serving.kserve.io/v1beta1:InferenceService", {"kind": "InferenceService"}, "apiVersion", "missing required"),
        ("helm.sh/v3:Release", {}, "chart", "missing required property"),
    ],
)
def test_wrong_inputs_are_named_by_path(token, inputs, path, reason):
    found = {p.path: p.reason for p in Kubernetes().check(planned(token, **inputs))}
    assert reason in found[path]


@pytest.mark.parametrize("token", sorted(token for token in IMMUTABLE if "*" not in token))
def test_every_immutable_path_is_an_input_of_its_type(token):
    inputs = shape_of("pulumi_kubernetes", token).inputs
    assert [path for path in IMMUTABLE[token] if path.split(".")[0] not in inputs] == []


@pytest.mark.engine
class TestOnTheEngine:
    @pytest.fixture
    def cluster(self):
        return Kubernetes()

    @pytest.mark.parametrize(("annotations", "changes"), [({}, ["update"]), (None, [])])
    def test_empty_map_in_metadata_is_an_update_each_time(self, pulumi_stack, cluster, annotations, changes):
        def make(opts):
            metadata = {"name": "a", "labels": LABELS, **({} if annotations is None else {"annotations": annotations})}
            k8s.apiextensions.CustomResource(
                "it", api_version="e.example/v1", kind="Thing", metadata=metadata, spec={}, opts=opts
            )

        stack = pulumi_stack(program(make), providers=[cluster])
        stack.up()
        assert [step.op for step in stack.up().changes] == changes

    def test_names_are_generated_and_dependants_see_them_at_preview(self, pulumi_stack, cluster):
        seen = []

        def make(options):
            space = k8s.core.v1.Namespace("team", opts=options)
            k8s.core.v1.ConfigMap(
                "settings", metadata={"namespace": space.metadata.name}, data={"a": "b"}, opts=options
            )
            space.metadata.name.apply(seen.append)

        stack = pulumi_stack(program(make), providers=[cluster])
        stack.preview()
        assert re.fullmatch(r"team-[0-9a-f]{8}", seen[0])
        stack.up()
        assert seen == [cluster.item("*:Namespace").id] * 2
        assert cluster.item("*:ConfigMap").id.startswith(f"{seen[0]}/settings-")
        stack.assert_no_changes()

    def test_objects_without_namespace_go_to_the_providers(self, pulumi_stack, cluster):
        make = program(lambda options: k8s.core.v1.ConfigMap("c", data={}, opts=options), namespace="mine")
        pulumi_stack(make, providers=[cluster]).up()
        assert cluster.item("*:ConfigMap").id.startswith("mine/c-")

    def test_what_is_awaited_has_the_status_of_something_ready(self, pulumi_stack, cluster):
        def make(options):
            made = k8s.apps.v1.Deployment("web", spec=spec(2), opts=options)
            service = k8s.core.v1.Service("web", spec={"type": "LoadBalancer", "ports": [{"port": 80}]}, opts=options)
            pulumi.export("ready", made.status.ready_replicas)
            pulumi.export("host", service.status.load_balancer.ingress[0].hostname)
            pulumi.export("ip", service.spec.cluster_ip)

        stack = pulumi_stack(program(make), providers=[cluster])
        outputs = stack.up().outputs
        assert outputs["ready"] == 2
        assert outputs["host"].endswith(".elb.simulated")
        assert outputs["ip"].startswith("10.96.0.")
        stack.assert_no_changes()

    def test_what_never_becomes_ready_fails_the_update_and_stays(self, pulumi_stack):
        cluster = Kubernetes(unready=["web"])
        make = program(lambda options: k8s.apps.v1.Deployment("web", spec=spec(), opts=options))
        stack = pulumi_stack(make, providers=[cluster])
        with pytest.raises(OperationError, match=r"Deployment 'default/web-[0-9a-f]{8}' did not become ready in time"):
            stack.up()
        assert cluster.item("*:Deployment")
        cluster.unready.clear()
        stack.up()
        stack.assert_no_changes()

    def test_an_image_updates_and_a_selector_replaces(self, pulumi_stack, cluster):
        def deployment(**changes):
            return program(lambda options: k8s.apps.v1.Deployment("web", spec=spec(**changes), opts=options))

        stack = pulumi_stack(deployment(), providers=[cluster])
        stack.up()
        stack.program = deployment(image="web:2")
        stack.assert_only_updates("web")
        stack.program = deployment(labels={"app": "other"})
        step = stack.preview().step("web")
        assert step.op == "replace"
        assert step.replaced_by == ("spec.selector.matchLabels.app",)

    @pytest.mark.parametrize(("flag", "op"), [(None, "replace"), (True, "update")])
    def test_a_config_map_is_replaced_unless_the_provider_lets_it_change(self, pulumi_stack, cluster, flag, op):
        def settings(value):
            make = lambda options: k8s.core.v1.ConfigMap("c", data={"a": value}, opts=options)  # noqa: E731
            return program(make, enable_config_map_mutable=flag)

        stack = pulumi_stack(settings("1"), providers=[cluster])
        stack.up()
        before = cluster.item("*:ConfigMap").id
        stack.program = settings("2")
        assert stack.preview().step("c").op == op
        stack.up()
        assert (cluster.item("*:ConfigMap").id == before) == (op == "update")

    def test_a_fixed_name_that_is_taken_is_refused(self, pulumi_stack, cluster):
        def make(options):
            k8s.core.v1.Namespace("a", metadata={"name": "same"}, opts=options)
            k8s.core.v1.Namespace("b", metadata={"name": "same"}, opts=options)

        with pytest.raises(OperationError, match="kubernetes:core/v1:Namespace 'same' already exists"):
            pulumi_stack(program(make), providers=[cluster]).up()

    def test_secrets_stay_secret(self, pulumi_stack, cluster):
        make = program(lambda o: k8s.core.v1.Secret("s", string_data={"password": "hunter2"}, opts=o))
        stack = pulumi_stack(make, providers=[cluster])
        stack.up()
        assert "hunter2" not in str(stack.export())

    def test_custom_resources_are_kept_as_they_are(self, pulumi_stack, cluster):
        def make(options):
            k8s.apiextensions.CustomResource(
                "model",
                api_version="serving.kserve.io/v1beta1",
                kind="InferenceService",
                spec={"predictor": {"minReplicas": 1}},
                opts=options,
            )

        stack = pulumi_stack(program(make), providers=[cluster])
        stack.up()
        assert cluster.item("*:InferenceService").values["spec"] == {"predictor": {"minReplicas": 1}}
        stack.assert_no_changes()

    def test_a_release_is_recorded_with_its_values(self, pulumi_stack, cluster):
        def release(replicas):
            return program(
                lambda options: pulumi.export(
                    "status",
                    k8s.helm.v3.Release(
                        "gateway", chart="envoy", version="1.2.3", values={"replicas": replicas}, opts=options
                    ).status.status,
                )
            )

        stack = pulumi_stack(release(1), providers=[cluster])
        assert stack.up().outputs == {"status": "deployed"}
        assert cluster.item("*:Release").values["values"] == {"replicas": 1}
        stack.assert_no_changes()
        stack.program = release(2)
        stack.assert_only_updates("gateway")

    def test_rendering_is_left_to_the_real_provider_and_says_so(self, pulumi_stack, cluster):
        make = program(lambda o: k8s.kustomize.Directory("k", directory=".", opts=o.merge(pulumi.ResourceOptions())))
        with pytest.raises(OperationError, match="which the simulated provider leaves to the real one"):
            pulumi_stack(make, providers=[cluster]).preview()


@pytest.mark.parametrize("kind", ["overlay", "text"])
def test_components_of_manifests_are_recorded_without_what_is_in_them(pulumi_stack, tmp_path, kind):
    (tmp_path / "kustomization.yaml").write_text("resources: [https://example.com/manifests?ref=1]\n")

    def program():
        options = pulumi.ResourceOptions(provider=k8s.Provider("cluster"))
        if kind == "overlay":
            k8s.kustomize.v2.Directory("all", directory=str(tmp_path), opts=options)
        else:
            k8s.yaml.v2.ConfigGroup("all", yaml="{kind: ConfigMap, apiVersion: v1, metadata: {name: a}}", opts=options)

    stack = pulumi_stack(program, providers=[Kubernetes()])
    assert stack.up().step("all").op == "create"
    stack.assert_no_changes()


def test_an_overlay_over_the_network_is_known_as_one(tmp_path):
    (tmp_path / "kustomization.yaml").write_text("resources: [https://example.com/manifests?ref=1]\n")
    assert is_remote(str(tmp_path))
    (tmp_path / "kustomization.yaml").write_text("resources: [objects.yaml]\n")
    assert not is_remote(str(tmp_path))
