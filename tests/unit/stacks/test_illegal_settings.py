"""For each setting of text on AWS one value that AWS refuses: it is refused when the stack file is read, by name."""

import json

import pytest

from infra.base import aws_offers
from stacks.aws_settings import AwsStack
from stacks.settings import StackFileError, parse
from tests import aws_variants, prod

ROLES = (
    *("artifact_store", "autoscaler", "budget", "ci_access", "cluster", "database", "exposure", "gpu_node_pool"),
    *("identity", "network", "node_pool", "online_store", "pipelines", "registry", "substrate"),
)
NOT_OF_AWS = {
    "MysqlOnKubernetesSettings": "judged with the stacks on a cluster",
    "Volume": "judged with the stacks on a cluster",
    "Supply": "addresses and folders of the reader's own network",
}
NETWORK, CLUSTER = aws_variants.EXISTING["network"], aws_variants.EXISTING["cluster"]
MANAGED = {key: aws_variants.MANAGED[key] for key in ("autoscaler", "node_pool", "gpu_node_pool")}
ISSUER = {"exposure.certificate": aws_variants.MANAGED["exposure.certificate"]}
IRSA = {"identity": aws_variants.MANAGED["identity"]}
TOKEN = {"exposure.model_access": {"kind": "token", "audience": "ml", "keys_url": "https://login.example.com/keys"}}
SUBNET = {"id": "subnet-0123456789abcdef0", "cidr": "10.9.0.0/24"}
CACHE = {"registry.pull_through_cache": {"mirror": {"host": "registry.example.com"}}}

ILLEGAL = {
    "AcmSettings.arn": ({}, "exposure.certificate.arn", "arn:aws:acm:eu-west-1:111122223333:certificate/A_B"),
    "AwsBudgetSettings.emails": ({}, "budget.emails", ["nobody.example.com"]),
    "AwsGatewaySettings.domain": ({}, "exposure.domain", "ml_.example.com"),
    "AwsGatewaySettings.gateway_class": ({}, "exposure.gateway_class", "Envoy"),
    "AwsGatewaySettings.sources": ({}, "exposure.sources", ["10.0.0.1/8"]),
    "AwsGatewaySettings.zone_id": ({}, "exposure.zone_id", "example.com"),
    "AwsSubstrateSettings.account_id": ({}, "substrate.account_id", "11112222333"),
    "AwsSubstrateSettings.name": ({}, "substrate.name", "prod_1"),
    "AwsSubstrateSettings.names": ({}, "substrate.names", "a-name-of-21-characte"),
    "AwsSubstrateSettings.region": ({}, "substrate.region", "eu-west-9"),
    "AwsSubstrateSettings.tags": ({}, "substrate.tags", {"team": "ml;ops"}),
    "ClusterIssuerSettings.name": (ISSUER, "exposure.certificate.name", "Let's Encrypt"),
    "EksSettings.addon_versions": ({}, "cluster.addon_versions", {"coredns": "1.12.1"}),
    "EksSettings.admin_role_arns": ({}, "cluster.admin_role_arns", ["arn:aws:iam::111122223333:user/me"]),
    "EksSettings.name": ({}, "cluster.name", "-mlplatform"),
    "EksSettings.private_access_cidrs": ({}, "cluster.private_access_cidrs", ["10.40.0.0/33"]),
    "EksSettings.private_access_security_group_ids": ({}, "cluster.private_access_security_group_ids", ["sg-G"]),
    "EksSettings.public_access_cidrs": ({}, "cluster.public_access_cidrs", ["198.51.100.1/24"]),
    "EksSettings.service_cidr": ({}, "cluster.service_cidr", "172.20.0.0"),
    "EksSettings.viewer_role_arns": ({}, "cluster.viewer_role_arns", ["arn:aws:sts::111122223333:assumed-role/a/b"]),
    "ExistingEksSettings.name": ({"cluster": CLUSTER}, "cluster.name", "their cluster"),
    "ExistingEksSettings.service_cidr": ({"cluster": CLUSTER}, "cluster.service_cidr", "fd00::/108"),
    "ExistingSubnet.cidr": (
        {"network": NETWORK},
        "network.node_subnets",
        {"eu-west-1a": SUBNET | {"cidr": "10.9.0.0/40"}},
    ),
    "ExistingSubnet.id": ({"network": NETWORK}, "network.data_subnets", {"eu-west-1a": SUBNET | {"id": "subnet-XYZ"}}),
    "ExistingVpcSettings.cidr": ({"network": NETWORK}, "network.cidr", "10.9.0.1/16"),
    "ExistingVpcSettings.data_subnets": ({"network": NETWORK}, "network.data_subnets", {"eu-west-1": SUBNET}),
    "ExistingVpcSettings.node_subnets": ({"network": NETWORK}, "network.node_subnets", {"eu-west": SUBNET}),
    "ExistingVpcSettings.vpc_id": ({"network": NETWORK}, "network.vpc_id", "vpc-mine"),
    "GithubOidcSettings.branch": ({}, "ci_access.branch", "main*"),
    "GithubOidcSettings.environment": ({}, "ci_access.environment", "prod:*"),
    "GithubOidcSettings.provider_arn": ({}, "ci_access.provider_arn", "arn:aws:iam::111122223333:oidc-provider/*"),
    "GithubOidcSettings.repository": ({}, "ci_access.repository", "example/*"),
    "GithubOidcSettings.secrets_key_arn": ({}, "ci_access.secrets_key_arn", "arn:aws:kms:eu-west-1:1:alias/state"),
    "GithubOidcSettings.state_bucket": ({}, "ci_access.state_bucket", "192.168.0.1"),
    "IrsaSettings.oidc_provider_arn": (IRSA, "identity.oidc_provider_arn", "arn:aws:iam::111122223333:role/x"),
    "KarpenterGpuNodesSettings.ami_alias": ({}, "gpu_node_pool.ami_alias", "al2@latest"),
    "KarpenterGpuNodesSettings.instance_types": ({}, "gpu_node_pool.instance_types", ["g5.huge"]),
    "KarpenterGpuNodesSettings.zones": ({}, "gpu_node_pool.zones", ["eu-west-1"]),
    "KarpenterNodesSettings.ami_alias": ({}, "node_pool.ami_alias", "al2023@latest"),
    "KarpenterNodesSettings.instance_types": ({}, "node_pool.instance_types", ["m7i.lrge"]),
    "KarpenterNodesSettings.zones": ({}, "node_pool.zones", ["euw1-az1"]),
    "ManagedGpuNodesSettings.instance_types": (MANAGED, "gpu_node_pool.instance_types", ["m7i.large"]),
    "ManagedGpuNodesSettings.release_version": (MANAGED, "gpu_node_pool.release_version", "newest"),
    "ManagedGpuNodesSettings.zones": (MANAGED, "gpu_node_pool.zones", ["eu-west-1z"]),
    "ManagedNodesSettings.instance_types": (MANAGED, "node_pool.instance_types", ["large"]),
    "ManagedNodesSettings.release_version": (MANAGED, "node_pool.release_version", "v1.36"),
    "ManagedNodesSettings.zones": (MANAGED, "node_pool.zones", ["eu-west-1aa"]),
    "NetworkAccessSettings.cidrs": ({}, "exposure.model_access.cidrs", ["10.0.0.0/8 "]),
    "OidcSettings.client_id": ({}, "exposure.login.client_id", "ml platform"),
    "OidcSettings.issuer": ({}, "exposure.login.issuer", "http://login.example.com"),
    "OidcSettings.scopes": ({}, "exposure.login.scopes", ["openid email"]),
    "RdsMysqlSettings.backup_window": ({}, "pipelines.mysql.backup_window", "25:00-26:00"),
    "RdsMysqlSettings.maintenance_window": ({}, "pipelines.mysql.maintenance_window", "sunday:03:30-sunday:04:30"),
    "RdsPostgresSettings.backup_window": ({}, "database.backup_window", "01:00"),
    "RdsPostgresSettings.maintenance_window": ({}, "database.maintenance_window", "03:30-04:30"),
    "RdsPostgresSettings.root_certificate": ({}, "database.root_certificate", "../other/ca.crt"),
    "S3Settings.data_role_arns": ({}, "artifact_store.data_role_arns", ["arn:aws:iam::1111:role/data"]),
    "S3Settings.expire_days": ({}, "artifact_store.expire_days", {"/captures": 30}),
    "S3Settings.replica_region": ({}, "artifact_store.replica_region", "cn-north-1"),
    "SystemNodesSettings.instance_types": ({}, "cluster.system_nodes.instance_types", ["m7i.tiny"]),
    "SystemNodesSettings.release_version": ({}, "cluster.system_nodes.release_version", "1.36@latest"),
    "ElastiCacheSettings.maintenance_window": ({}, "online_store.maintenance_window", "sun:03:30-sun:03:45"),
    "ElastiCacheSettings.snapshot_window": ({}, "online_store.snapshot_window", "2-3"),
    "EcrSettings.pull_through_cache": ({}, "registry.pull_through_cache", {"m": {"host": "registry.example.com"}}),
    "TokenAccessSettings.audience": (TOKEN, "exposure.model_access.audience", "the model"),
    "TokenAccessSettings.keys_url": (TOKEN, "exposure.model_access.keys_url", "login.example.com/keys"),
    "UpstreamSettings.credential_arn": (
        CACHE,
        "registry.pull_through_cache.mirror.credential_arn",
        "arn:aws:secretsmanager:eu-west-1:111122223333:secret:mirror",
    ),
    "UpstreamSettings.host": (CACHE, "registry.pull_through_cache.mirror.host", "https://registry.example.com"),
    "VpcSettings.cidr": ({}, "network.cidr", "10.0.0.0/8"),
    "VpcSettings.reserved_cidrs": ({}, "network.reserved_cidrs", ["10.50.0.1/16"]),
    "VpcSettings.zones": ({}, "network.zones", ["eu-west-1a", "eu-west-1b", "eu-west-1g"]),
}
"""Class and field to what else the stack file says, the setting, and a value that AWS refuses for it."""


def texts(schema, node, found):
    """Class and field of every setting below a part of the schema that takes text of no fixed list."""
    if "$ref" in node:
        name = node["$ref"].rpartition("/")[2]
        if name in NOT_OF_AWS or name in found:
            return
        found[name] = set()
        for key, field in schema["$defs"][name].get("properties", {}).items():
            if takes_text(field):
                found[name].add(key)
            texts(schema, field, found)
    for word in ("oneOf", "anyOf"):
        for arm in node.get(word, []):
            texts(schema, arm, found)
    for word in ("items", "additionalProperties"):
        if isinstance(node.get(word), dict):
            texts(schema, node[word], found)
    for each in node.get("patternProperties", {}).values():
        texts(schema, each, found)


def takes_text(node):
    if node.get("type") == "string":
        return "enum" not in node and "const" not in node
    inner = [*node.get("anyOf", []), *node.get("oneOf", [])]
    inner += [node[word] for word in ("items", "additionalProperties") if isinstance(node.get(word), dict)]
    return "propertyNames" in node or "patternProperties" in node or any(takes_text(each) for each in inner)


def settings_of_text():
    schema, found = AwsStack.model_json_schema(), {}
    for role in ROLES:
        texts(schema, schema["properties"][role], found)
    return {f"{name}.{key}" for name, keys in found.items() for key in keys}


def said_about(changes):
    """What is said about the prod stack's file with keys with dots changed."""
    config = prod.config()
    for key, value in changes.items():
        role, *way = key.split(".")
        if not way:
            config[f"mlplatform:{role}"] = value
            continue
        at = config[f"mlplatform:{role}"] = json.loads(json.dumps(config[f"mlplatform:{role}"]))
        for part in way[:-1]:
            at = at.setdefault(part, {})
        at[way[-1]] = value
    with pytest.raises(StackFileError) as raised:
        parse({key: json.dumps(value) for key, value in config.items()}, "prod")
    return str(raised.value)


def words(value):
    """The texts that a value is made of."""
    if isinstance(value, dict):
        return [*value, *(text for each in value.values() for text in words(each))]
    return [text for each in value for text in words(each)] if isinstance(value, list) else [str(value)]


def test_every_setting_of_text_has_a_value_that_aws_refuses():
    wanted = settings_of_text()
    assert (wanted - set(ILLEGAL), set(ILLEGAL) - wanted) == (set(), set())


@pytest.mark.parametrize("setting", sorted(ILLEGAL))
def test_value_that_aws_refuses_is_refused_by_the_settings_name(setting):
    others, key, value = ILLEGAL[setting]
    said = said_about({**others, key: value})
    assert said.startswith("Pulumi.prod.yaml: ")
    assert key.split(".")[0] in said
    assert setting.split(".")[1] in said
    assert [each for each in words(value) if each in said]


SMALL = {
    "cluster.system_nodes.instance_types": ("m6i.large",),
    "gpu_node_pool": {"kind": "no-gpu-nodes"},
    "node_pool.instance_types": ("m6i.xlarge",),
}
"""Types that every region of the table below sells."""


@pytest.mark.parametrize(
    ("region", "changes", "said"),
    [
        (
            "us-west-1",
            {},
            r"cluster\.system_nodes\.instance_types names m7a\.large, which AWS does not sell in us-west-1",
        ),
        (
            "sa-east-1",
            {"cluster.system_nodes.instance_types": ("m7i.large",)},
            r"node_pool\.instance_types names m7a\.",
        ),
        ("ca-west-1", SMALL, r"database\.instance_class names db\.m7g\.large, .* give some of db\.r7g\.large"),
        (
            "eu-south-1",
            SMALL | {"database.instance_class": "db.r7g.large"},
            r"online_store\.node_type names cache\.m7g\.large, .* give some of cache\.r7g\.large",
        ),
        (
            "ca-west-1",
            SMALL | {"database.instance_class": "db.r7g.large"},
            r"pipelines\.mysql\.instance_class names db\.t4g\.medium",
        ),
    ],
)
def test_type_that_a_region_does_not_sell_is_refused_with_others(region, changes, said):
    with pytest.raises(ValueError, match=said):
        aws_variants.in_region(region, changes)


def test_suggested_types_are_of_the_same_size_and_architecture():
    said = aws_offers.unsold("instances", "us-west-1", ["m7a.large"])
    assert said.endswith("does not sell in us-west-1: give some of m7i-flex.large, m7i.large, m6a.large, m6i.large")
