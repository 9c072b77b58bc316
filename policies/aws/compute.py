"""Rules on EKS and on the machines below it."""

import base64
import binascii
import re
from collections.abc import Callable, Iterator

from policies.aws import types
from policies.aws.karpenter import NODE_CLASS, NODE_POOL, machine_of
from policies.aws.network import is_everywhere
from policies.typed import Problem, Props, RuleBook, Stack

BOOK = RuleBook()

LOGS = frozenset({"api", "audit", "authenticator", "controllerManager", "scheduler"})
"""Source: https://docs.aws.amazon.com/eks/latest/userguide/control-plane-logs.html"""
OLDEST_SUPPORTED = (1, 33)
"""Oldest minor version that may be asked for; raise it when EKS drops one from standard support.
Source: https://docs.aws.amazon.com/eks/latest/userguide/kubernetes-versions.html"""
SECRET = re.compile(
    r"(?i)AKIA[0-9A-Z]{16}|-----BEGIN [A-Z ]*PRIVATE KEY-----"
    r"|(?:password|passwd|secret_access_key|api_key|token)\s*[=:]\s*[^\s$<{]{6,}"
)
GPU_INSTANCE = re.compile(r"^(?:g|p)\d+[a-z]*(?:-\w+)?\.")
"""Source: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-types.html#accelerated-computing-instances"""
KEEPING_OFF = ("NO_SCHEDULE", "NO_EXECUTE", "NoSchedule", "NoExecute")
"""Effects of a taint as EKS and as Kubernetes spell them; `PreferNoSchedule` gives way when other nodes are full."""


@BOOK.rule(
    "AWS-01",
    types.EKS_CLUSTER,
    title="The cluster's API is private",
    severity="critical",
    frameworks={"CIS EKS": "5.4.2", "Trivy": "AWS-0040", "Checkov": "CKV_AWS_39"},
    fix="Set `vpc_config.endpoint_public_access` to false and reach the API from inside the network.",
    link="https://docs.aws.amazon.com/eks/latest/userguide/cluster-endpoint.html",
)
def api_is_private(cluster: Props, _stack: Stack) -> Iterator[Problem]:
    """A public endpoint is one stolen credential away from the cluster."""
    network = cluster.child("vpcConfig")
    if network.flag("endpointPublicAccess", default=True):
        yield network.problem("endpointPublicAccess", "must be false")


@BOOK.rule(
    "AWS-02",
    types.EKS_CLUSTER,
    title="A public API answers known networks only",
    severity="critical",
    frameworks={"CIS EKS": "5.4.1", "Trivy": "AWS-0041", "Checkov": "CKV_AWS_38"},
    fix="Name the networks in `vpc_config.public_access_cidrs`, or make the endpoint private.",
    link="https://docs.aws.amazon.com/eks/latest/userguide/cluster-endpoint.html",
)
def public_api_is_limited(cluster: Props, _stack: Stack) -> Iterator[Problem]:
    """Without networks named, EKS lets everyone in."""
    network = cluster.child("vpcConfig")
    if not network.flag("endpointPublicAccess", default=True):
        return
    networks = network.texts("publicAccessCidrs")
    if not networks or any(is_everywhere(each) for each in networks):
        yield network.problem("publicAccessCidrs", "lets every address reach the API")


@BOOK.rule(
    "AWS-03",
    types.EKS_CLUSTER,
    title="Kubernetes secrets are encrypted with a customer-managed key",
    severity="high",
    frameworks={"CIS EKS": "5.3.1", "Trivy": "AWS-0039", "Checkov": "CKV_AWS_58"},
    fix="Set `encryption_config` with a KMS key and the resource `secrets`.",
    link="https://docs.aws.amazon.com/eks/latest/userguide/enable-kms.html",
)
def secrets_are_encrypted(cluster: Props, _stack: Stack) -> Iterator[Problem]:
    """Envelope encryption of what etcd holds."""
    encryption = cluster.child("encryptionConfig")
    if "secrets" not in encryption.texts("resources"):
        yield cluster.problem("encryptionConfig", "must name the resource secrets")
    elif not encryption.child("provider").has("keyArn"):
        yield encryption.problem("provider", "must name a key")


@BOOK.rule(
    "AWS-04",
    types.EKS_CLUSTER,
    title="The control plane logs everything it can",
    severity="medium",
    frameworks={"CIS EKS": "2.1.1", "Trivy": "AWS-0038", "Checkov": "CKV_AWS_37"},
    fix="Set `enabled_cluster_log_types` to api, audit, authenticator, controllerManager and scheduler.",
    link="https://docs.aws.amazon.com/eks/latest/userguide/control-plane-logs.html",
)
def control_plane_is_logged(cluster: Props, _stack: Stack) -> Iterator[Problem]:
    """All five types."""
    missing = LOGS - set(cluster.texts("enabledClusterLogTypes"))
    if missing:
        yield cluster.problem("enabledClusterLogTypes", f"lacks {', '.join(sorted(missing))}")


@BOOK.rule(
    "AWS-05",
    types.EKS_CLUSTER,
    title="The cluster's version is chosen and supported",
    severity="medium",
    frameworks={"Checkov": "CKV_AWS_339"},
    fix=f"Set `version` to {'.'.join(map(str, OLDEST_SUPPORTED))} or newer.",
    link="https://docs.aws.amazon.com/eks/latest/userguide/kubernetes-versions.html",
)
def version_is_supported(cluster: Props, _stack: Stack) -> Iterator[Problem]:
    """Extended support costs six times as much; after it, EKS upgrades by itself."""
    version = re.fullmatch(r"(\d+)\.(\d+)", cluster.text("version"))
    if version is None or (int(version[1]), int(version[2])) < OLDEST_SUPPORTED:
        yield cluster.problem("version", f"must be {'.'.join(map(str, OLDEST_SUPPORTED))} or newer")


@BOOK.rule(
    "AWS-06",
    types.EKS_NODE_GROUP,
    title="Nodes are not reached by SSH from anywhere",
    severity="high",
    frameworks={"CIS EKS": "5.4.5", "Checkov": "CKV_AWS_100"},
    fix="Remove `remote_access`, or name `source_security_group_ids`.",
    link="https://docs.aws.amazon.com/eks/latest/APIReference/API_RemoteAccessConfig.html",
)
def nodes_have_no_ssh(nodes: Props, _stack: Stack) -> Iterator[Problem]:
    """A key without source groups opens port 22 to the internet."""
    access = nodes.child("remoteAccess")
    if access.has("ec2SshKey") and not access.has_elements("sourceSecurityGroupIds"):
        yield nodes.problem("remoteAccess", "opens SSH to every address")


@BOOK.rule(
    "AWS-07",
    types.EC2_LAUNCH_TEMPLATE,
    types.EC2_INSTANCE,
    NODE_CLASS,
    title="Instance metadata asks for a session token",
    severity="high",
    frameworks={"Trivy": "AWS-0028 AWS-0130", "Checkov": "CKV_AWS_79"},
    fix="Set `metadata_options.http_tokens` to `required`.",
    link="https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html",
)
def metadata_needs_a_token(machine: Props, _stack: Stack) -> Iterator[Problem]:
    """IMDSv1 gives the node's role to anybody who can make it send one request."""
    options = machine_of(machine).child("metadataOptions")
    if options.text("httpTokens") != "required":
        yield options.problem("httpTokens", "must be required")


@BOOK.rule(
    "AWS-08",
    types.EC2_LAUNCH_TEMPLATE,
    types.EC2_INSTANCE,
    types.EKS_NODE_GROUP,
    NODE_CLASS,
    title="Pods do not reach the node's metadata",
    severity="high",
    frameworks={"EKS best practices": "Identity and access management", "Checkov": "CKV_AWS_341"},
    fix="Set `metadata_options.http_put_response_hop_limit` to 1, for a node group in a launch template.",
    link="https://docs.aws.amazon.com/eks/latest/best-practices/identity-and-access-management.html",
)
def metadata_stays_on_the_node(machine: Props, _stack: Stack) -> Iterator[Problem]:
    """A pod is one hop further than the node. A node group without a launch template gets the limit 2 from EKS."""
    if machine.resource.type == types.EKS_NODE_GROUP:
        if not machine.has("launchTemplate"):
            yield machine.problem("launchTemplate", "must be set: by itself EKS lets pods reach the metadata")
        return
    options = machine_of(machine).child("metadataOptions")
    if options.number("httpPutResponseHopLimit") != 1:
        yield options.problem("httpPutResponseHopLimit", "must be 1")


@BOOK.rule(
    "AWS-10",
    types.EBS_VOLUME,
    types.EC2_INSTANCE,
    types.EC2_LAUNCH_TEMPLATE,
    NODE_CLASS,
    title="Volumes are encrypted",
    severity="high",
    frameworks={"Trivy": "AWS-0026", "Checkov": "CKV_AWS_3 CKV_AWS_8"},
    fix="Set `encrypted` on the volume, the root device and every block device.",
    link="https://docs.aws.amazon.com/ebs/latest/userguide/ebs-encryption.html",
)
def volumes_are_encrypted(machine: Props, _stack: Stack) -> Iterator[Problem]:
    """Root devices and block devices of templates too."""
    if machine.resource.type == types.EBS_VOLUME and not machine.flag("encrypted", default=False):
        yield machine.problem("encrypted", "must be true")
    if machine.resource.type == types.EC2_INSTANCE:
        root = machine.child("rootBlockDevice")
        if not root.flag("encrypted", default=False):
            yield root.problem("encrypted", "must be true")
    for device in machine.children("ebsBlockDevices"):
        if not device.flag("encrypted", default=False):
            yield device.problem("encrypted", "must be true")
    if machine.resource.type == types.EC2_LAUNCH_TEMPLATE:
        yield from _unencrypted(machine, lambda volume: volume.text("encrypted") == "true")
    if machine.resource.type == NODE_CLASS:
        yield from _unencrypted(machine.child("spec"), lambda volume: volume.flag("encrypted", default=False))


def _unencrypted(machine: Props, is_encrypted: Callable[[Props], bool]) -> Iterator[Problem]:
    """The devices that are not encrypted; what names none gets those of its image."""
    devices = list(machine.children("blockDeviceMappings"))
    if not devices:
        yield machine.problem("blockDeviceMappings", "must name the root volume, encrypted")
    for device in devices:
        volume = device.child("ebs")
        if not is_encrypted(volume):
            yield volume.problem("encrypted", "must be true")


@BOOK.rule(
    "AWS-11",
    types.EC2_INSTANCE,
    types.EC2_LAUNCH_TEMPLATE,
    NODE_CLASS,
    title="User data holds no secret",
    severity="critical",
    frameworks={"Trivy": "AWS-0029", "Checkov": "CKV_AWS_46"},
    fix="Let the machine read the secret from Secrets Manager with its role.",
    link="https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/user-data.html",
)
def user_data_is_public(machine: Props, _stack: Stack) -> Iterator[Problem]:
    """Everything on the machine can read its user data."""
    for key in ("userData", "userDataBase64"):
        if SECRET.search(_decoded(machine_of(machine).text(key))):
            yield machine_of(machine).problem(key, "holds a secret")


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return text


@BOOK.rule(
    "AWS-15",
    types.EKS_NODE_GROUP,
    NODE_POOL,
    title="GPU nodes take GPU work only",
    severity="medium",
    frameworks={"EKS best practices": "Compute and autoscaling"},
    fix="Taint the node group with the key `nvidia.com/gpu` and the effect NO_SCHEDULE.",
    link="https://docs.aws.amazon.com/eks/latest/userguide/node-taints-managed-node-groups.html",
)
def gpu_nodes_are_tainted(nodes: Props, _stack: Stack) -> Iterator[Problem]:
    """The other half of ML-03: without a taint, anything fills the expensive nodes."""
    if nodes.resource.type == NODE_POOL:
        nodes = nodes.child("spec").child("template").child("spec")
        is_gpu = any(_asks_for_gpus(each) for each in nodes.children("requirements"))
    else:
        is_gpu = "NVIDIA" in nodes.text("amiType") or any(map(GPU_INSTANCE.match, nodes.texts("instanceTypes")))
    taints = [(taint.text("key"), taint.text("effect")) for taint in nodes.children("taints")]
    if is_gpu and not any(key == "nvidia.com/gpu" and effect in KEEPING_OFF for key, effect in taints):
        yield nodes.problem("taints", "must hold the key nvidia.com/gpu with an effect that keeps pods off")


def _asks_for_gpus(requirement: Props) -> bool:
    values = requirement.texts("values")
    key = requirement.text("key")
    return (
        ("/instance-gpu-" in key)
        or (key.endswith("/instance-category") and bool({"g", "p"} & set(values)))
        or (key.endswith("/instance-type") and any(map(GPU_INSTANCE.match, values)))
        or (key.endswith("/instance-family") and any(GPU_INSTANCE.match(f"{each}.") for each in values))
    )
