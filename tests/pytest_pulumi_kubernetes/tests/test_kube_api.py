"""The simulated provider before a real API server, driven by the real engine."""

import re

import pulumi
import pytest
from pytest_pulumi.result import OperationError

from pytest_pulumi_kubernetes import ApiError, KubernetesApi

k8s = pytest.importorskip("pulumi_kubernetes", reason="pulumi-kubernetes is not installed")

pytestmark = [pytest.mark.engine, pytest.mark.cluster]

LABELS = {"app": "web"}


def pod_spec(**container):
    return {"containers": [{"name": "c", "image": "registry.example/web:1", **container}]}


def deployment_spec(replicas=1, **container):
    template = {"metadata": {"labels": LABELS}, "spec": pod_spec(**container)}
    return {"replicas": replicas, "selector": {"match_labels": LABELS}, "template": template}


@pytest.fixture
def program(kube_cluster):
    """Turn `make(options)` into a program whose provider talks to the control plane."""

    def wrap(make, **provider):
        def run():
            settings = {"kubeconfig": kube_cluster.kubeconfig, "context": "admin"} | provider
            make(pulumi.ResourceOptions(provider=k8s.Provider("cluster", **settings)))

        return run

    return wrap


@pytest.fixture
def cluster():
    return KubernetesApi()


class TestLife:
    """One object of each core kind, from preview to destroy."""

    @pytest.fixture
    def stack(self, program, pulumi_stack, cluster):
        def make(options):
            space = k8s.core.v1.Namespace("team", opts=options)
            metadata = {"namespace": space.metadata.name}
            k8s.core.v1.ConfigMap("settings", metadata=metadata, data={"a": "b"}, opts=options)
            k8s.core.v1.Secret("password", metadata=metadata, string_data={"password": "hunter2"}, opts=options)
            made = k8s.apps.v1.Deployment("web", metadata=metadata, spec=deployment_spec(2), opts=options)
            service = k8s.core.v1.Service(
                "web", metadata=metadata, spec={"selector": LABELS, "ports": [{"port": 80}]}, opts=options
            )
            claims = {"access_modes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
            k8s.apps.v1.StatefulSet(
                "data",
                metadata=metadata,
                spec={
                    "service_name": "data",
                    "selector": {"match_labels": {"app": "data"}},
                    "template": {"metadata": {"labels": {"app": "data"}}, "spec": pod_spec()},
                    "volume_claim_templates": [{"metadata": {"name": "data"}, "spec": claims}],
                },
                opts=options,
            )
            k8s.batch.v1.Job(
                "once",
                metadata=metadata,
                spec={"template": {"spec": pod_spec() | {"restart_policy": "Never"}}},
                opts=options,
            )
            pulumi.export("space", space.metadata.name)
            pulumi.export("ready", made.status.ready_replicas)
            pulumi.export("ip", service.spec.cluster_ip)

        return pulumi_stack(program(make), providers=[cluster])

    def test_everything_is_made_awaited_left_alone_and_deleted(self, stack, kube_cluster):
        client = kube_cluster.client
        assert stack.preview().counts == {"create": 9}
        assert [o for o in client.list("v1", "Namespace") if o["metadata"]["name"].startswith("team")] == []

        outputs = stack.up().outputs
        space = outputs["space"]
        assert re.fullmatch(r"team-[0-9a-f]{8}", space)
        assert outputs["ready"] == 2
        assert outputs["ip"].startswith("10.96.")
        (secret,) = client.list("v1", "Secret", space)
        assert secret["data"] == {"password": "aHVudGVyMg=="}
        assert "hunter2" not in str(stack.export())
        assert "aHVudGVyMg" not in str(stack.export())

        stack.assert_no_changes()
        assert stack.refresh().changes == ()

        stack.destroy()
        assert client.find("v1", "Namespace", space) is None


def config_map(data, **metadata):
    def make(options):
        k8s.core.v1.ConfigMap("settings", metadata={"name": "settings"} | metadata, data=data, opts=options)

    return make


def live_config_map(kube_cluster):
    return kube_cluster.client.get("v1", "ConfigMap", "settings", "default")


def test_a_change_is_applied_and_what_others_added_stays(program, pulumi_stack, cluster, kube_cluster):
    mutable = {"enable_config_map_mutable": True}
    stack = pulumi_stack(program(config_map({"a": "1", "b": "1"}), **mutable), providers=[cluster])
    stack.up()
    kube_cluster.client.patch(live_config_map(kube_cluster), {"data": {"theirs": "x"}}, manager="someone")
    stack.program = program(config_map({"a": "2"}), **mutable)
    assert stack.up().counts == {"update": 1}
    assert live_config_map(kube_cluster)["data"] == {"a": "2", "theirs": "x"}


def test_refresh_sees_drift_of_own_fields_and_up_conflicts_or_forces(program, pulumi_stack, cluster, kube_cluster):
    mutable = {"enable_config_map_mutable": True}
    stack = pulumi_stack(program(config_map({"a": "1"}), **mutable), providers=[cluster])
    stack.up()
    kube_cluster.client.patch(live_config_map(kube_cluster), {"data": {"a": "9"}}, manager="someone")
    stack.assert_no_changes()
    stack.refresh()
    assert stack.preview().step("settings").changed == ("data.a",)
    with pytest.raises(OperationError, match=r'(?s)conflict with "someone".*\.data\.a.*field conflict detected'):
        stack.up()
    stack.program = program(config_map({"a": "1"}), **mutable, enable_patch_force=True)
    stack.up()
    assert live_config_map(kube_cluster)["data"] == {"a": "1"}


def test_an_object_that_is_gone_is_made_again_after_refresh(program, pulumi_stack, cluster, kube_cluster):
    stack = pulumi_stack(program(config_map({"a": "1"})), providers=[cluster])
    stack.up()
    kube_cluster.client.delete("v1", "ConfigMap", "settings", "default")
    assert stack.refresh().counts == {"delete": 1}
    assert stack.up().counts == {"create": 1}


def test_an_unreachable_server_is_an_error_and_drops_nothing(program, pulumi_stack, cluster, kube_cluster):
    stack = pulumi_stack(program(config_map({"a": "1"})), providers=[cluster])
    stack.up()
    kube_cluster.stop_apiserver()
    for operation in (stack.refresh, stack.destroy):
        with pytest.raises(OperationError, match=r"ConfigMap 'default/settings' was not .*does not answer"):
            operation()
    kube_cluster.start_apiserver()
    stack.assert_no_changes()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda o: k8s.core.v1.ConfigMap("c", metadata={"namespace": "nowhere"}, data={}, opts=o),
            r'namespaces "nowhere" not found',
        ),
        (
            lambda o: k8s.apps.v1.Deployment("web", spec=deployment_spec(image_pull_policy="Often"), opts=o),
            r'Deployment .* is invalid: spec.template.spec.containers\[0\].imagePullPolicy: .*"Often"',
        ),
        (
            lambda o: k8s.apiextensions.CustomResource("r", api_version="example.com/v1", kind="Robot", opts=o),
            'no matches for kind "Robot" in version "example.com/v1"',
        ),
    ],
)
def test_what_the_server_refuses_is_said_in_its_words(program, pulumi_stack, cluster, make, message):
    with pytest.raises(OperationError, match=message):
        pulumi_stack(program(make), providers=[cluster]).up()


def test_context_without_permission_is_refused_with_the_objects_name(program, pulumi_stack, cluster):
    stack = pulumi_stack(program(config_map({}), context="viewer"), providers=[cluster])
    with pytest.raises(OperationError, match=r"ConfigMap 'default/settings' was not created.*cannot patch resource"):
        stack.preview()


def test_a_context_that_there_is_not_is_named(program, pulumi_stack, cluster):
    stack = pulumi_stack(program(config_map({}), context="prod"), providers=[cluster])
    with pytest.raises(OperationError, match="no context 'prod'; there are: admin, nobody, viewer"):
        stack.preview()


def test_what_does_not_become_ready_in_time_stays_with_its_reasons(program, pulumi_stack, cluster, kube_cluster):
    greedy = {"limits": {"nvidia.com/gpu": "99"}}

    def make(options):
        limits = pulumi.ResourceOptions(custom_timeouts=pulumi.CustomTimeouts(create="3s")).merge(options)
        k8s.apps.v1.Deployment("web", metadata={"name": "web"}, spec=deployment_spec(resources=greedy), opts=limits)

    stack = pulumi_stack(program(make), providers=[cluster])
    with pytest.raises(
        OperationError, match=r"(?s)'default/web' did not become ready in 3 s: 0 of 1 .*Insufficient nvidia"
    ):
        stack.up()
    assert kube_cluster.client.get("apps/v1", "Deployment", "web", "default")
    greedy.clear()
    assert stack.up().counts == {"update": 1}


def test_an_immutable_field_replaces(program, pulumi_stack, cluster, kube_cluster):
    def make(image):
        def inner(options):
            spec = {"template": {"spec": pod_spec(image=image) | {"restart_policy": "Never"}}}
            k8s.batch.v1.Job("once", metadata={"name": "once"}, spec=spec, opts=options)

        return inner

    stack = pulumi_stack(program(make("registry.example/a:1")), providers=[cluster])
    stack.up()
    stack.program = program(make("registry.example/a:2"))
    assert stack.up().step("once").op == "replace"
    job = kube_cluster.client.get("batch/v1", "Job", "once", "default")
    assert job["spec"]["template"]["spec"]["containers"][0]["image"] == "registry.example/a:2"


def test_a_deletion_waits_for_finalizers_and_names_them(program, pulumi_stack, cluster, kube_cluster):
    def make(options):
        limits = pulumi.ResourceOptions(custom_timeouts=pulumi.CustomTimeouts(delete="2s")).merge(options)
        metadata = {"name": "settings", "finalizers": ["example.com/hold"]}
        k8s.core.v1.ConfigMap("settings", metadata=metadata, data={}, opts=limits)

    stack = pulumi_stack(program(make), providers=[cluster])
    stack.up()
    with pytest.raises(OperationError, match=r"is not gone after 2 s; finalizers left: example\.com/hold"):
        stack.destroy()
    kube_cluster.client.patch(live_config_map(kube_cluster), {"metadata": {"finalizers": None}})
    stack.destroy()
    with pytest.raises(ApiError, match="not found"):
        live_config_map(kube_cluster)


def test_a_patch_owns_its_fields_only_and_gives_them_up(program, pulumi_stack, cluster, kube_cluster):
    def make(options):
        metadata = {"name": "default", "labels": {"pod-security.kubernetes.io/enforce": "baseline"}}
        k8s.core.v1.NamespacePatch("default", metadata=metadata, opts=options)

    stack = pulumi_stack(program(make), providers=[cluster])
    stack.up()
    label = "pod-security.kubernetes.io/enforce"
    assert kube_cluster.client.get("v1", "Namespace", "default")["metadata"]["labels"][label] == "baseline"
    stack.destroy()
    assert label not in kube_cluster.client.get("v1", "Namespace", "default")["metadata"]["labels"]
