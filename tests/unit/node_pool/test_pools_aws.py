"""Node pools on AWS and what scales them: settings, and the graphs they make."""

import json
import shutil
import subprocess

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as k8s
import pytest
from pulumi_aws import cloudwatch, ec2, eks, iam, sqs
from pydantic import TypeAdapter, ValidationError

from infra import autoscaler, cluster, gpu_node_pool, identity, network, node_pool
from infra.autoscaler.settings import AutoscalerSettings
from infra.aws.substrate import Aws
from infra.base.paths import CHECKOUT
from infra.base.resources import Resources
from infra.cluster.settings import EksSettings
from infra.gpu_node_pool import alerts
from infra.gpu_node_pool.settings import EksGpuNodePoolSettings
from infra.identity.settings import PodIdentitySettings
from infra.kube.objects import node_selector, tolerations
from infra.kube.substrate import Kubernetes
from infra.network.settings import VpcSettings
from infra.node_pool.settings import NodePoolSettings
from tests.aws import ACCOUNT, ADMIN, REGION, ZONES, Outputs

pytestmark = pytest.mark.aws

CPU = {"kind": "karpenter-nodes", "instance_types": ["m7i.xlarge", "m6i.xlarge"], "cpus_max": 64}
GPU = {"kind": "karpenter-gpu-nodes", "instance_types": ["g6.xlarge", "g5.xlarge"], "gpus_max": 4}


@pytest.fixture
def pulumi_outputs():
    return Outputs({"kubernetes:helm.sh/v3:Release": {"status": {"status": "deployed"}}})


class FakeMonitoring:
    """Keeps what it is asked to watch."""

    watched = ()

    def start(self, opts):
        self.ready = k8s.core.v1.ConfigMap("operator", metadata={"namespace": "x"}, opts=opts)


@pytest.fixture
def graph(pulumi_run):
    """The graph of a cluster with an autoscaler, a pool and a GPU pool."""

    def run(scaler="karpenter", cpu=CPU, gpu=GPU, monitoring=None):
        def program():
            provider = aws.Provider("aws", region=REGION)
            opts = pulumi.ResourceOptions(providers=[provider])
            vpc = network.build("network", VpcSettings(kind="vpc", zones=ZONES), ACCOUNT, opts)
            made = cluster.build_on_aws("cluster", EksSettings(kind="eks", admin_role_arns=[ADMIN]), ACCOUNT, vpc, opts)
            inside = k8s.Provider("kubernetes", kubeconfig=made.kubeconfig)
            opts = pulumi.ResourceOptions(providers=[provider, inside])
            space = Kubernetes(provider=inside, namespace=pulumi.Output.from_input("x"), checkout=CHECKOUT)
            bound = identity.build_on_aws("identity", PodIdentitySettings(kind="pod-identity"), ACCOUNT, made, opts)
            substrate = Aws(
                provider=provider, account=ACCOUNT, network=vpc, cluster=made, kubernetes=space, identity=bound
            )
            scaling = autoscaler.build(
                "autoscaler", TypeAdapter(AutoscalerSettings).validate_python({"kind": scaler}), substrate, opts
            )
            node_pool.build("node-pool", TypeAdapter(NodePoolSettings).validate_python(cpu), substrate, scaling, opts)
            gpus = TypeAdapter(EksGpuNodePoolSettings).validate_python(gpu)
            pool = gpu_node_pool.build_on_aws("gpu-node-pool", gpus, substrate, scaling, opts)
            if monitoring is not None:
                monitoring.start(opts)
                monitoring.watched = [*pool.watched(monitoring).values()]

        return pulumi_run(program)

    return run


def custom(graph, name):
    return graph.one("kubernetes:karpenter*", name).inputs["spec"]


def test_gpu_tasks_find_gpu_nodes_and_nothing_else_does(graph):
    spec = custom(graph(), "gpu-node-pool-nodes-pool")["template"]
    assert node_selector(Resources(gpus=1)).items() <= spec["metadata"]["labels"].items()
    (taint,) = spec["spec"]["taints"]
    (toleration,) = tolerations(Resources(gpus=1))
    assert (taint["key"], taint["effect"]) == (toleration.key, toleration.effect)


def test_a_pool_buys_what_the_stack_file_says_and_stops_at_its_limit(graph):
    made = graph(cpu={**CPU, "capacity": "on-demand", "zones": [ZONES[0]]})
    cpu, gpu = custom(made, "node-pool-pool"), custom(made, "gpu-node-pool-nodes-pool")
    wanted = {each["key"]: each["values"] for each in cpu["template"]["spec"]["requirements"]}
    assert wanted["karpenter.sh/capacity-type"] == ["on-demand"]
    assert wanted["topology.kubernetes.io/zone"] == [ZONES[0]]
    assert cpu["limits"] == {"cpu": "64"}
    assert gpu["limits"] == {"nvidia.com/gpu": "4"}


def test_karpenters_nodes_are_private_encrypted_and_hide_metadata(graph):
    made = graph()
    spec = custom(made, "node-pool-class")
    assert spec["metadataOptions"]["httpTokens"] == "required"
    assert spec["metadataOptions"]["httpPutResponseHopLimit"] == 1
    assert spec["blockDeviceMappings"][0]["ebs"]["encrypted"] is True
    nodes = {each.id for each in made.all(ec2.Subnet) if "-node-" in each.name}
    assert {each["id"] for each in spec["subnetSelectorTerms"]} == nodes
    assert spec["tags"] == ACCOUNT.tags


def test_karpenter_goes_after_its_pools(graph):
    made = graph()
    controller = made.one(k8s.helm.v3.Release, "autoscaler")
    assert controller in made.dependencies(made.one("kubernetes:karpenter*", "node-pool-class"))


def test_karpenter_may_change_only_what_carries_its_clusters_tag(graph):
    document = json.loads(graph().one(iam.RolePolicy, "autoscaler-role-policy").get("policy"))
    writes = ("ec2:TerminateInstances", "ec2:CreateTags", "ec2:DeleteLaunchTemplate", "ec2:CreateLaunchTemplate")
    for statement in document["Statement"]:
        if set(writes) & set(statement["Action"]):
            tags = statement["Condition"]["StringEquals"]
            assert any("kubernetes.io/cluster/mlplatform" in key for key in tags), statement["Sid"]


def test_karpenter_is_told_of_interruptions_over_tls_only(graph):
    made = graph()
    assert len(made.all(cloudwatch.EventTarget)) == 3
    statements = json.loads(made.one(sqs.QueuePolicy).get("policy"))["Statement"]
    rules = [each.outputs["arn"] for each in made.all(cloudwatch.EventRule)]
    assert statements[0]["Condition"] == {"ArnEquals": {"aws:SourceArn": rules}}
    assert statements[1]["Effect"] == "Deny"


def test_managed_pools_have_a_group_for_each_way_of_buying(graph):
    made = graph(
        "cluster-autoscaler",
        {"kind": "managed-nodes", "instance_types": ["m7i.xlarge"], "nodes_max": 4},
        {"kind": "managed-gpu-nodes", "instance_types": ["g5.12xlarge"], "gpus_max": 9, "capacity": "on-demand"},
    )
    groups = {each.name: each for each in made.all(eks.NodeGroup)}
    assert set(groups) == {
        "cluster-system-nodes",
        "node-pool-spot",
        "node-pool-on-demand",
        "gpu-node-pool-nodes-on-demand",
    }
    assert groups["node-pool-spot"].get("capacityType") == "SPOT"
    gpu = groups["gpu-node-pool-nodes-on-demand"]
    assert gpu.get("amiType") == "AL2023_x86_64_NVIDIA"
    assert gpu.get("scalingConfig") == {"minSize": 0, "desiredSize": 0, "maxSize": 2}
    assert gpu.get("taints") == [{"key": "nvidia.com/gpu", "value": "present", "effect": "NO_SCHEDULE"}]
    assert gpu.get("labels")["nvidia.com/gpu.present"] == "true"


def test_managed_groups_follow_the_clusters_version_and_chosen_image(graph):
    chosen = {"instance_types": ["m7i.xlarge"], "nodes_max": 4, "release_version": "1.36.2-20261101"}
    made = graph("cluster-autoscaler", {"kind": "managed-nodes", **chosen}, {"kind": "no-gpu-nodes"})
    groups = made.all(eks.NodeGroup, "node-pool-*")
    assert {each.get("version") for each in groups} == {made.one(eks.Cluster).get("version")}
    assert {each.get("releaseVersion") for each in groups} == {"1.36.2-20261101"}


def test_cluster_autoscaler_resizes_groups_of_its_own_cluster_only(graph):
    made = graph(
        "cluster-autoscaler",
        {"kind": "managed-nodes", "instance_types": ["m7i.xlarge"], "nodes_max": 4},
        {"kind": "no-gpu-nodes"},
    )
    statements = json.loads(made.one(iam.RolePolicy, "autoscaler-role-*").get("policy"))["Statement"]
    (resize,) = [each for each in statements if each["Sid"] == "Resize"]
    tags = resize["Condition"]["StringEquals"]
    assert tags["aws:ResourceTag/k8s.io/cluster-autoscaler/mlplatform"] == "owned"


def test_the_plugin_is_left_to_a_system_that_brings_it(graph):
    releases = {each.name for each in graph().all(k8s.helm.v3.Release)}
    assert "gpu-node-pool-plugin" in releases
    bottlerocket = graph(gpu={**GPU, "ami_alias": "bottlerocket@v1.40.0"})
    assert "gpu-node-pool-plugin" not in {each.name for each in bottlerocket.all(k8s.helm.v3.Release)}


@pytest.mark.parametrize(
    ("adapter", "block", "message"),
    [
        (
            EksGpuNodePoolSettings,
            {**GPU, "instance_types": ["m7i.large"]},
            "m7i.large is no known type with NVIDIA GPUs",
        ),
        (EksGpuNodePoolSettings, {**GPU, "instance_types": []}, "at least 1 item"),
        (EksGpuNodePoolSettings, {**GPU, "gpus_max": 0}, "greater than or equal to 1"),
        (EksGpuNodePoolSettings, {**GPU, "instance_types": ["p5.48xlarge"]}, "gpus_max 4 admits no p5.48xlarge"),
        (
            EksGpuNodePoolSettings,
            {"kind": "managed-gpu-nodes", "instance_types": ["g5.xlarge", "g5.12xlarge"], "gpus_max": 8},
            "have 1 and 4 GPUs",
        ),
        (NodePoolSettings, {**CPU, "cpus_max": 0}, "greater than or equal to 1"),
        (NodePoolSettings, {**CPU, "ami_alias": "al2023@latest"}, "should match pattern"),
        (NodePoolSettings, {**CPU, "instance_types": ["large"]}, "should match pattern"),
        (
            NodePoolSettings,
            {"kind": "managed-nodes", "instance_types": ["m7i.large"], "nodes_min": 3, "nodes_max": 2},
            "nodes_min 3 is more than nodes_max 2",
        ),
    ],
)
def test_a_wrong_pool_is_refused_with_what_is_allowed(adapter, block, message):
    with pytest.raises(ValidationError, match=message):
        TypeAdapter(adapter).validate_python(block)


def test_gpus_are_monitored_if_the_operator_is_known_and_reachable(graph):
    monitoring = FakeMonitoring()
    made = graph(monitoring=monitoring)
    exporter = made.one(k8s.helm.v3.Release, "gpu-node-pool-metrics")
    assert exporter.get("values.serviceMonitor.enabled") is True
    assert exporter.get("values.resources.limits.memory") == "1024Mi"  # with one GPU it uses 400 to 500 MiB
    assert made.one("kubernetes:core/v1:ConfigMap", "operator") in made.dependencies(exporter)
    (watched,) = monitoring.watched
    assert "GpuIdle" in watched.rules
    path = made.one("kubernetes:networking.k8s.io/v1:NetworkPolicy", "gpu-node-pool-metrics-path")
    assert path.get("spec.egress[0].ports[0].port") == 9400


def test_a_karpenter_pool_needs_karpenter(graph):
    with pytest.raises(TypeError, match="was asked to stand on another autoscaler"):
        graph("cluster-autoscaler")


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_idle_gpu_is_reported_with_its_cost_and_a_busy_one_is_not(tmp_path):
    (tmp_path / "rules.yml").write_text(alerts.rules(["g5.xlarge", "p5.48xlarge"], 30))

    def series(name, value):
        return {
            "series": f'DCGM_FI_DEV_GPU_UTIL{{Hostname="{name}",gpu="0",modelName="H100"}}',
            "values": f"{value}x90",
        }

    summary = "GPU 0 of idle is idle and costs about 6.88 USD an hour, 5022 USD a month"
    (group,) = json.loads(alerts.rules(["g5.xlarge", "p5.48xlarge"], 30))["groups"]
    (rule,) = group["rules"]
    expected = {
        "exp_labels": {"severity": "warning", "Hostname": "idle", "gpu": "0", "modelName": "H100"},
        "exp_annotations": {
            **rule["annotations"],
            "summary": summary,
            "description": rule["annotations"]["description"].replace("{{ $labels.modelName }}", "H100"),
        },
    }
    case = {
        "interval": "1m",
        "input_series": [series("idle", 0), series("busy", 80)],
        "alert_rule_test": [{"eval_time": "60m", "alertname": "GpuIdle", "exp_alerts": [expected]}],
    }
    (tmp_path / "test.yml").write_text(json.dumps({"rule_files": ["rules.yml"], "tests": [case]}))
    done = subprocess.run(
        ["promtool", "test", "rules", str(tmp_path / "test.yml")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
