"""A small sound platform, and programs that each break it in one way.

`PROGRAMS` says for each broken program which rule it was made to break. The sound one breaks none.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

import pulumi
from pulumi_aws import cloudwatch, ec2, ecr, eks, elasticache, iam, kms, rds, s3
from pulumi_kubernetes import apiextensions, core, networking, policy, rbac
from pulumi_kubernetes import apps as k8s_apps

DIGEST = "registry.example/serve@sha256:" + "0a" * 32
NAMESPACE = "loans"
SECURITY = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
NEEDS = {"requests": {"cpu": "100m", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1Gi"}}
PROBE = {"httpGet": {"path": "/healthz", "port": 8080}}

Change = Callable[[dict[str, Any]], None]
"""What a broken program does to the inputs of one resource before it is made."""


def container(**changes: Any) -> dict[str, Any]:
    sound = {"name": "main", "image": DIGEST, "securityContext": SECURITY, "resources": NEEDS}
    return {**sound, "livenessProbe": PROBE, "readinessProbe": PROBE, **changes}


def server(role: str, *, replicas: int = 1, **changes: Any) -> dict[str, Any]:
    labels = {"mlplatform.dev/serves": role}
    pod = {"serviceAccountName": role, "containers": [container(**changes)]}
    return {
        "replicas": replicas,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }


def inputs() -> dict[str, dict[str, Any]]:
    """Inputs of every resource by its logical name, as Python's SDKs and Kubernetes spell them."""
    deny = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    document = {"Statement": [{"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": ["arn:aws:s3:::models/*"]}]}
    pods = {"Statement": [{"Effect": "Allow", "Principal": {"Service": "pods.eks.amazonaws.com"}}]}
    tls = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": ["arn:aws:s3:::artifacts", "arn:aws:s3:::artifacts/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    return {
        "namespace": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
        "deny": deny,
        "quota": {"hard": {"pods": "10"}},
        "limits": {},
        "account": {"automount_service_account_token": False},
        "serving": server("serving", replicas=2),
        "budget": {"maxUnavailable": 1, "selector": {"matchLabels": {"mlplatform.dev/serves": "serving"}}},
        "service": {"type": "ClusterIP", "ports": [{"port": 80}]},
        "ingress": {"tls": [{"hosts": ["models.example"]}], "rules": [{"host": "models.example"}]},
        "settings": {"log-level": "info"},
        "secret": {"password": pulumi.Output.secret("hunter2")},
        "role": {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]},
        "mlflow": server("tracking", command=["mlflow", "server", "--allowed-hosts=mlflow"]),
        "mlflow-callers": {
            "podSelector": {"matchLabels": {"mlplatform.dev/serves": "tracking"}},
            "policyTypes": ["Ingress"],
            "ingress": [{"from": [{"podSelector": {}}]}],
        },
        "model": {
            "predictor": {
                "minReplicas": 1,
                "timeout": 10,
                "serviceAccountName": "serving",
                "model": {
                    "modelFormat": {"name": "sklearn"},
                    "storageUri": "s3://mlplatform-artifacts/1/m-0a",
                    "resources": NEEDS,
                },
            }
        },
        "workflow": {"serviceAccountName": "loan-default-training"},
        "vpc": {"cidr_block": "10.0.0.0/16"},
        "default-group": {},
        "flow-log": {"traffic_type": "ALL"},
        "subnet": {"cidr_block": "10.0.0.0/24"},
        "group": {"ingress": [{"from_port": 443, "to_port": 443, "protocol": "tcp", "cidr_blocks": ["10.0.0.0/16"]}]},
        "key": {"enable_key_rotation": True},
        "cluster": {
            "role_arn": "arn:aws:iam::123456789012:role/cluster",
            "version": "1.36",
            "vpc_config": {"subnet_ids": ["a"], "endpoint_public_access": False, "endpoint_private_access": True},
            "enabled_cluster_log_types": ["api", "audit", "authenticator", "controllerManager", "scheduler"],
            "encryption_config": {"resources": ["secrets"], "provider": {"key_arn": "arn:aws:kms:::key/a"}},
        },
        "template": {
            "metadata_options": {"http_tokens": "required", "http_put_response_hop_limit": 1},
            "block_device_mappings": [{"device_name": "/dev/xvda", "ebs": {"encrypted": "true"}}],
        },
        "gpus": {
            "instance_types": ["g5.xlarge"],
            "taints": [{"key": "nvidia.com/gpu", "effect": "NO_SCHEDULE"}],
            "scaling_config": {"min_size": 0, "max_size": 1, "desired_size": 0},
        },
        "bucket": {},
        "bucket-access": {
            "block_public_acls": True,
            "block_public_policy": True,
            "ignore_public_acls": True,
            "restrict_public_buckets": True,
        },
        "bucket-encryption": {
            "rules": [
                {
                    "apply_server_side_encryption_by_default": {
                        "sse_algorithm": "aws:kms",
                        "kms_master_key_id": "arn:aws:kms:::key/a",
                    }
                }
            ]
        },
        "bucket-versions": {"versioning_configuration": {"status": "Enabled"}},
        "bucket-policy": {"policy": {"Statement": [tls]}},
        "bucket-logging": {"target_bucket": "logs", "target_prefix": "a/"},
        "bucket-lifecycle": {"rules": [{"id": "abort", "status": "Enabled"}]},
        "repository": {"image_tag_mutability": "IMMUTABLE", "image_scanning_configuration": {"scan_on_push": True}},
        "policy": {"policy": document},
        "pod-role": {"assume_role_policy": pods},
        "cache": {
            "description": "features",
            "transit_encryption_enabled": True,
            "at_rest_encryption_enabled": True,
            "multi_az_enabled": True,
            "automatic_failover_enabled": True,
            "snapshot_retention_limit": 7,
            "user_group_ids": ["a"],
        },
        "database": {
            "instance_class": "db.t4g.small",
            "storage_encrypted": True,
            "backup_retention_period": 7,
            "deletion_protection": True,
        },
        "outputs": {"serving_url": "https://models.example", "token": pulumi.Output.secret("hunter2")},
        "logs": {"retention_in_days": 30, "kms_key_id": "arn:aws:kms:::key/a"},
    }


def build(change: Change | None = None) -> None:
    """Make the platform of `inputs` after a change."""
    given = inputs()
    if change is not None:
        change(given)
    _cluster(given)
    _cloud(given)
    for name, value in given["outputs"].items():
        pulumi.export(name, value)


def _cluster(given: dict[str, dict[str, Any]]) -> None:
    def meta(name: str, **more: Any) -> dict[str, Any]:
        return {"name": name, "namespace": given[name].pop("namespace", NAMESPACE), **more}

    core.v1.Namespace("namespace", metadata={"name": NAMESPACE, **given["namespace"]})
    networking.v1.NetworkPolicy("deny", metadata=meta("deny"), spec=given["deny"])
    core.v1.ResourceQuota("quota", metadata=meta("quota"), spec=given["quota"])
    core.v1.LimitRange(
        "limits", metadata=meta("limits"), spec={"limits": [{"type": "Container", "default": NEEDS["limits"]}]}
    )
    core.v1.ServiceAccount("account", metadata=meta("account"), **given["account"])
    for name in ("serving", "mlflow"):
        k8s_apps.v1.Deployment(name, metadata=meta(name), spec=given[name])
    policy.v1.PodDisruptionBudget("budget", metadata=meta("budget"), spec=given["budget"])
    core.v1.Service("service", metadata=meta("service"), spec=given["service"])
    networking.v1.Ingress("ingress", metadata=meta("ingress"), spec=given["ingress"])
    core.v1.ConfigMap("settings", metadata=meta("settings"), data=given["settings"])
    core.v1.Secret("secret", metadata=meta("secret"), string_data=given["secret"])
    rbac.v1.Role("role", metadata=meta("role"), **given["role"])
    networking.v1.NetworkPolicy("mlflow-callers", metadata=meta("mlflow-callers"), spec=given["mlflow-callers"])
    apiextensions.CustomResource(
        "model",
        api_version="serving.kserve.io/v1beta1",
        kind="InferenceService",
        metadata=meta("model"),
        spec=given["model"],
    )
    apiextensions.CustomResource(
        "workflow",
        api_version="argoproj.io/v1alpha1",
        kind="Workflow",
        metadata=meta("workflow"),
        spec=given["workflow"],
    )


def _cloud(given: dict[str, dict[str, Any]]) -> None:
    vpc = ec2.Vpc("vpc", **given["vpc"])
    ec2.DefaultSecurityGroup("default-group", vpc_id=vpc.id, **given["default-group"])
    ec2.FlowLog("flow-log", vpc_id=vpc.id, **given["flow-log"])
    ec2.Subnet("subnet", vpc_id=vpc.id, **given["subnet"])
    ec2.SecurityGroup("group", vpc_id=vpc.id, **given["group"])
    kms.Key("key", **_documents(given["key"]))
    cluster = eks.Cluster("cluster", **given["cluster"])
    template = ec2.LaunchTemplate("template", **given["template"])
    eks.NodeGroup(
        "gpus",
        cluster_name=cluster.name,
        node_role_arn="arn:aws:iam::123456789012:role/nodes",
        subnet_ids=["a"],
        launch_template={"id": template.id, "version": "1"},
        **given["gpus"],
    )
    bucket = s3.Bucket("bucket", **given["bucket"])
    s3.BucketPublicAccessBlock("bucket-access", bucket=bucket.id, **given["bucket-access"])
    s3.BucketServerSideEncryptionConfiguration("bucket-encryption", bucket=bucket.id, **given["bucket-encryption"])
    s3.BucketVersioning("bucket-versions", bucket=bucket.id, **given["bucket-versions"])
    s3.BucketPolicy("bucket-policy", bucket=bucket.id, **_documents(given["bucket-policy"]))
    s3.BucketLogging("bucket-logging", bucket=bucket.id, **given["bucket-logging"])
    if "bucket-lifecycle" in given:
        s3.BucketLifecycleConfiguration("bucket-lifecycle", bucket=bucket.id, **given["bucket-lifecycle"])
    ecr.Repository("repository", **given["repository"])
    iam.Policy("policy", **_documents(given["policy"]))
    iam.Role("pod-role", **_documents(given["pod-role"]))
    elasticache.ReplicationGroup("cache", **given["cache"])
    rds.Instance("database", **given["database"])
    cloudwatch.LogGroup("logs", **given["logs"])


def _documents(given: Mapping[str, Any]) -> dict[str, Any]:
    return {key: json.dumps(value) if isinstance(value, dict) else value for key, value in given.items()}


def pod(given: dict[str, dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = given["serving"]["template"]["spec"]
    return found


def setting(*path: str | int, value: Any) -> Change:
    """Set what stands at a path."""

    def change(given: dict[str, Any]) -> None:
        place: Any = given
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value

    return change


def securing(**changes: Any) -> Change:
    """Change the security context of the serving container."""
    return setting(*("serving", "template", "spec", "containers", 0, "securityContext"), value={**SECURITY, **changes})


def serving(key: str, value: Any) -> Change:
    """Change the pod that serves."""
    return setting("serving", "template", "spec", key, value=value)


def contained(key: str, value: Any) -> Change:
    """Change the container that serves."""
    return setting("serving", "template", "spec", "containers", 0, key, value=value)


def statement(name: str, key: str, **changes: Any) -> Change:
    """Change the first statement of a policy document."""
    return lambda given: given[name][key]["Statement"][0].update(changes)


EVERYONE = {"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*"}]}
OIDC = {"Federated": "arn:aws:iam::123456789012:oidc-provider/oidc.eks"}
GPU = {"requests": NEEDS["requests"], "limits": {**NEEDS["limits"], "nvidia.com/gpu": "1"}}
EVERYTHING = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]
SHELL = [{"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["create"]}]

PROGRAMS: dict[str, tuple[str, Change]] = {
    "a privileged container": ("K8S-01", securing(privileged=True)),
    "a pod in the node's network": ("K8S-02", serving("hostNetwork", value=True)),
    "a process that may gain privileges": ("K8S-03", securing(allowPrivilegeEscalation=True)),
    "a container that runs as root": ("K8S-04", securing(runAsUser=0)),
    "a container with capabilities": ("K8S-05", securing(capabilities={"drop": ["ALL"], "add": ["SYS_ADMIN"]})),
    "a container without seccomp": ("K8S-06", securing(seccompProfile={"type": "Unconfined"})),
    "a container that writes to its image": ("K8S-07", securing(readOnlyRootFilesystem=False)),
    "the node's docker socket": ("K8S-08", serving("volumes", [{"name": "a", "hostPath": {"path": "/run"}}])),
    "a container without limits": ("K8S-09", contained("resources", {"requests": NEEDS["requests"]})),
    "a server without readiness": ("K8S-10", contained("readinessProbe", None)),
    "an image by tag": ("K8S-11", contained("image", "registry.example/serve:latest")),
    "the default service account": ("K8S-12", serving("serviceAccountName", "default")),
    "a role that may do everything": ("K8S-13", setting("role", "rules", value=EVERYTHING)),
    "a role that opens shells": ("K8S-14", setting("role", "rules", value=SHELL)),
    "a namespace that lets traffic out": ("K8S-15", setting("deny", "egress", value=[{}])),
    "a quota in another namespace": ("K8S-16", setting("quota", "namespace", value="other")),
    "a namespace without pod security": ("K8S-17", setting("namespace", "labels", value={})),
    "a service on the node's ports": ("K8S-18", setting("service", "type", value="NodePort")),
    "a password in a variable": ("K8S-19", contained("env", [{"name": "DB_PASSWORD", "value": "hunter2"}])),
    "one replica of what serves": ("K8S-20", setting("serving", "replicas", value=1)),
    "settings in the default namespace": ("K8S-21", setting("settings", "namespace", value="default")),
    "a model from the internet": (
        "ML-01",
        setting("model", "predictor", "model", "storageUri", value="https://a/m.pkl"),
    ),
    "a model server that sleeps": ("ML-02", setting("model", "predictor", "minReplicas", value=0)),
    "a GPU wherever it is": ("ML-03", contained("resources", GPU)),
    "MLflow for every host": (
        "ML-04",
        setting(
            *("mlflow", "template", "spec", "containers", 0, "command"), value=["mlflow", "server", "--allowed-hosts=*"]
        ),
    ),
    "a pipeline with a shared identity": ("ML-07", setting("workflow", "serviceAccountName", value="pipeline-runner")),
    "a secret in the clear": ("ML-08", setting("outputs", "token", value="hunter2")),
    "a cluster with old Kubernetes": ("AWS-05", setting("cluster", "version", value="1.29")),
    "a cluster that logs nothing": ("AWS-04", setting("cluster", "enabled_cluster_log_types", value=[])),
    "a cluster without encryption": ("AWS-03", setting("cluster", "encryption_config", value=None)),
    "a public API for known networks": (
        "AWS-01",
        setting(
            *("cluster", "vpc_config"),
            value={"subnet_ids": ["a"], "endpoint_public_access": True, "public_access_cidrs": ["192.0.2.0/24"]},
        ),
    ),
    "metadata without a token": ("AWS-07", setting("template", "metadata_options", "http_tokens", value="optional")),
    "metadata for pods": (
        "AWS-08",
        setting("template", "metadata_options", "http_put_response_hop_limit", value=2),
    ),
    "a subnet with public addresses": ("AWS-09", setting("subnet", "map_public_ip_on_launch", value=True)),
    "SSH for everyone": (
        "AWS-12",
        setting(
            *("group", "ingress", 0),
            value={"from_port": 22, "to_port": 22, "protocol": "tcp", "cidr_blocks": ["0.0.0.0/0"]},
        ),
    ),
    "GPU nodes for everyone": ("AWS-15", setting("gpus", "taints", value=[])),
    "a bucket open by policy": ("S3-04", setting("bucket-access", "restrict_public_buckets", value=False)),
    "a bucket without a key": (
        "S3-05",
        setting(
            *("bucket-encryption", "rules", 0),
            value={"apply_server_side_encryption_by_default": {"sse_algorithm": "AES256"}},
        ),
    ),
    "a bucket without versions": (
        "S3-06",
        setting("bucket-versions", "versioning_configuration", "status", value="Suspended"),
    ),
    "a bucket without TLS": ("S3-07", statement("bucket-policy", "policy", Condition={})),
    "a bucket that grows": ("S3-08", lambda given: given.pop("bucket-lifecycle")),
    "a key that is never rotated": ("KMS-01", setting("key", "enable_key_rotation", value=False)),
    "a key for everyone": ("KMS-02", setting("key", "policy", value=EVERYONE)),
    "tags that move": ("ECR-01", setting("repository", "image_tag_mutability", value="MUTABLE")),
    "images that nobody scans": ("ECR-02", setting("repository", "image_scanning_configuration", value=None)),
    "a policy that allows everything": ("IAM-01", statement("policy", "policy", Action="*")),
    "a role for every pod": ("IAM-02", statement("pod-role", "assume_role_policy", Principal=OIDC)),
    "a policy that passes every role": ("IAM-03", statement("policy", "policy", Action="iam:PassRole", Resource="*")),
    "a cache without TLS": ("RED-01", setting("cache", "transit_encryption_enabled", value=False)),
    "a cache in one zone": ("RED-02", setting("cache", "multi_az_enabled", value=False)),
    "a public database": ("RDS-01", setting("database", "publicly_accessible", value=True)),
    "a database without backups": ("RDS-02", setting("database", "backup_retention_period", value=0)),
    "logs that never end": ("LOG-01", setting("logs", "retention_in_days", value=None)),
}
"""What is wrong with a program -> the rule that it breaks, and how it differs from the sound one."""
