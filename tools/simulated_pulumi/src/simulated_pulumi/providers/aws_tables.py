"""What the simulated AWS knows about types: data only.

Sources: the argument references of the Terraform AWS provider, which `pulumi_aws` bridges
(https://registry.terraform.io/providers/hashicorp/aws/latest/docs; "Forces new resource"), and the ARN formats of the
service authorization reference (https://docs.aws.amazon.com/service-authorization/latest/reference/).
Inputs whose Python documentation says "forces new resource" are found there and not repeated here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

IMMUTABLE: Mapping[str, tuple[str, ...]] = {
    "aws:*": ("region",),
    "aws:acm/certificate:Certificate": (
        "certificateAuthorityArn",
        "domainName",
        "keyAlgorithm",
        "subjectAlternativeNames",
        "validationOptions",
    ),
    "aws:budgets/budget:Budget": ("accountId", "budgetType", "name", "namePrefix"),
    "aws:cloudwatch/eventRule:EventRule": ("name", "namePrefix"),
    "aws:cloudwatch/logGroup:LogGroup": ("name", "namePrefix", "logGroupClass"),
    "aws:cloudwatch/metricAlarm:MetricAlarm": ("name",),
    "aws:dynamodb/table:Table": ("hashKey", "name", "rangeKey", "localSecondaryIndexes"),
    "aws:ec2/eip:Eip": ("address", "domain", "ipamPoolId", "publicIpv4Pool", "networkBorderGroup"),
    "aws:ec2/flowLog:FlowLog": ("*",),
    "aws:ec2/instance:Instance": ("ami", "availabilityZone", "keyName", "subnetId", "placementGroup"),
    "aws:ec2/launchTemplate:LaunchTemplate": ("name", "namePrefix"),
    "aws:ec2/natGateway:NatGateway": (
        "allocationId",
        "availabilityMode",
        "connectivityType",
        "privateIp",
        "subnetId",
        "vpcId",
    ),
    "aws:ec2/route:Route": (
        "destinationCidrBlock",
        "destinationIpv6CidrBlock",
        "destinationPrefixListId",
        "routeTableId",
    ),
    "aws:ec2/routeTable:RouteTable": ("vpcId",),
    "aws:ec2/routeTableAssociation:RouteTableAssociation": ("gatewayId", "subnetId"),
    "aws:ec2/securityGroup:SecurityGroup": ("description", "name", "namePrefix", "vpcId"),
    "aws:ec2/securityGroupRule:SecurityGroupRule": (
        "cidrBlocks",
        "fromPort",
        "ipv6CidrBlocks",
        "prefixListIds",
        "protocol",
        "securityGroupId",
        "self",
        "sourceSecurityGroupId",
        "toPort",
        "type",
    ),
    "aws:ec2/subnet:Subnet": (
        "availabilityZone",
        "availabilityZoneId",
        "cidrBlock",
        "ipv4IpamPoolId",
        "ipv4NetmaskLength",
        "ipv6IpamPoolId",
        "ipv6Native",
        "ipv6NetmaskLength",
        "outpostArn",
        "vpcId",
    ),
    "aws:ec2/vpc:Vpc": ("cidrBlock", "ipv4IpamPoolId", "ipv4NetmaskLength"),
    "aws:ec2/vpcEndpoint:VpcEndpoint": (
        "resourceConfigurationArn",
        "serviceName",
        "serviceNetworkArn",
        "serviceRegion",
        "vpcEndpointType",
        "vpcId",
    ),
    "aws:ecr/lifecyclePolicy:LifecyclePolicy": ("repository",),
    "aws:ecr/repository:Repository": ("encryptionConfigurations", "name"),
    "aws:eks/accessEntry:AccessEntry": ("clusterName", "principalArn", "type"),
    "aws:eks/accessPolicyAssociation:AccessPolicyAssociation": ("*",),
    "aws:eks/addon:Addon": ("addonName", "clusterName", "namespaceConfig"),
    "aws:eks/cluster:Cluster": (
        "accessConfig.bootstrapClusterCreatorAdminPermissions",
        "bootstrapSelfManagedAddons",
        "kubernetesNetworkConfig.ipFamily",
        "kubernetesNetworkConfig.serviceIpv4Cidr",
        "name",
        "outpostConfig",
        "roleArn",
    ),
    "aws:eks/fargateProfile:FargateProfile": ("*",),
    "aws:eks/nodeGroup:NodeGroup": (
        "amiType",
        "capacityType",
        "clusterName",
        "diskSize",
        "instanceTypes",
        "launchTemplate.id",
        "launchTemplate.name",
        "nodeGroupName",
        "nodeGroupNamePrefix",
        "nodeRoleArn",
        "remoteAccess",
        "subnetIds",
    ),
    "aws:eks/podIdentityAssociation:PodIdentityAssociation": ("clusterName", "namespace", "serviceAccount"),
    "aws:elasticache/replicationGroup:ReplicationGroup": (
        "atRestEncryptionEnabled",
        "dataTieringEnabled",
        "globalReplicationGroupId",
        "kmsKeyId",
        "networkType",
        "port",
        "replicationGroupId",
        "snapshotArns",
        "snapshotName",
        "subnetGroupName",
    ),
    "aws:elasticache/subnetGroup:SubnetGroup": ("name",),
    "aws:elasticache/parameterGroup:ParameterGroup": ("description", "family", "name"),
    "aws:elasticache/user:User": ("userId", "userName"),
    "aws:elasticache/userGroup:UserGroup": ("userGroupId",),
    "aws:iam/instanceProfile:InstanceProfile": ("name", "namePrefix", "path"),
    "aws:iam/openIdConnectProvider:OpenIdConnectProvider": ("url",),
    "aws:iam/policy:Policy": ("description", "name", "namePrefix", "path"),
    "aws:iam/role:Role": ("name", "namePrefix", "path"),
    "aws:iam/rolePolicy:RolePolicy": ("name", "namePrefix", "role"),
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": ("policyArn", "role"),
    "aws:kms/alias:Alias": ("name", "namePrefix"),
    "aws:kms/key:Key": ("customerMasterKeySpec", "customKeyStoreId", "keyUsage", "multiRegion", "xksKeyId"),
    "aws:lambda/function:Function": ("name", "packageType"),
    "aws:rds/cluster:Cluster": (
        "clusterIdentifier",
        "databaseName",
        "engine",
        "kmsKeyId",
        "masterUsername",
        "storageEncrypted",
    ),
    "aws:rds/instance:Instance": (
        "availabilityZone",
        "backupTarget",
        "characterSetName",
        "customIamInstanceProfile",
        "dbName",
        "engine",
        "kmsKeyId",
        "ncharCharacterSetName",
        "snapshotIdentifier",
        "storageEncrypted",
        "timezone",
        "username",
    ),
    "aws:rds/parameterGroup:ParameterGroup": ("description", "family", "name", "namePrefix"),
    "aws:rds/subnetGroup:SubnetGroup": ("name", "namePrefix"),
    "aws:route53/record:Record": ("name", "type", "zoneId"),
    "aws:s3/bucket:Bucket": ("bucketPrefix", "objectLockEnabled", "bucketNamespace"),
    "aws:s3/bucket*:*": ("bucket", "expectedBucketOwner"),
    "aws:s3/bucketObjectv2:BucketObjectv2": ("key",),
    "aws:secretsmanager/secret:Secret": ("name", "namePrefix"),
    "aws:secretsmanager/secretVersion:SecretVersion": ("secretId", "secretString", "secretBinary"),
    "aws:sns/topic:Topic": ("fifoTopic", "name", "namePrefix"),
    "aws:sns/topicSubscription:TopicSubscription": ("endpoint", "protocol", "topic"),
    "aws:sqs/queue:Queue": ("fifoQueue", "name", "namePrefix"),
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": ("securityGroupId",),
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": ("securityGroupId",),
}
"""Type pattern to the inputs whose change replaces the resource."""

NAMES: Mapping[str, tuple[str, int]] = {
    "budgets/budget": ("name", 100),
    "cloudwatch/eventRule": ("name", 64),
    "cloudwatch/logGroup": ("name", 512),
    "cloudwatch/metricAlarm": ("name", 255),
    "dynamodb/table": ("name", 255),
    "ec2/keyPair": ("keyName", 255),
    "ec2/launchTemplate": ("name", 125),
    "ec2/securityGroup": ("name", 255),
    "ecr/repository": ("name", 256),
    "eks/cluster": ("name", 100),
    "eks/fargateProfile": ("fargateProfileName", 63),
    "eks/nodeGroup": ("nodeGroupName", 63),
    "elasticache/parameterGroup": ("name", 255),
    "elasticache/replicationGroup": ("replicationGroupId", 40),
    "elasticache/subnetGroup": ("name", 255),
    "iam/instanceProfile": ("name", 128),
    "iam/policy": ("name", 128),
    "iam/role": ("name", 64),
    "iam/rolePolicy": ("name", 128),
    "iam/user": ("name", 64),
    "kms/alias": ("name", 256),
    "lambda/function": ("name", 64),
    "rds/cluster": ("clusterIdentifier", 63),
    "rds/instance": ("identifier", 63),
    "rds/parameterGroup": ("name", 255),
    "rds/subnetGroup": ("name", 255),
    "s3/bucket": ("bucket", 63),
    "secretsmanager/secret": ("name", 512),
    "sns/topic": ("name", 256),
    "sqs/queue": ("name", 80),
}
"""Kind to the input that holds its physical name, which is generated if absent, and the longest name in characters."""

_LETTERS_AND_HYPHENS = "[a-zA-Z](-?[a-zA-Z0-9])*"
_IAM = "[A-Za-z0-9_+=,.@-]+"

NAME_PATTERNS: Mapping[str, str] = {
    "cloudwatch/eventRule": r"[.\-_A-Za-z0-9]+",
    "cloudwatch/logGroup": r"[.\-_/#A-Za-z0-9]+",
    "ecr/repository": r"(?=..)[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*",
    "eks/cluster": "[0-9A-Za-z][A-Za-z0-9_-]*",
    "elasticache/parameterGroup": _LETTERS_AND_HYPHENS,
    "elasticache/replicationGroup": _LETTERS_AND_HYPHENS,
    "elasticache/subnetGroup": "[a-zA-Z0-9-]+",
    "iam/instanceProfile": _IAM,
    "iam/policy": _IAM,
    "iam/role": _IAM,
    "iam/rolePolicy": _IAM,
    "iam/user": _IAM,
    "kms/alias": "alias/[a-zA-Z0-9:/_-]+",
    "lambda/function": "[a-zA-Z0-9_-]+",
    "rds/cluster": _LETTERS_AND_HYPHENS,
    "rds/instance": _LETTERS_AND_HYPHENS,
    "rds/parameterGroup": _LETTERS_AND_HYPHENS,
    "rds/subnetGroup": "[a-zA-Z][a-zA-Z0-9._ -]*",
    "s3/bucket": "[a-z0-9][a-z0-9.-]*[a-z0-9]",
    "secretsmanager/secret": "[A-Za-z0-9/_+=.@-]+",
    "sns/topic": r"[A-Za-z0-9_-]+(\.fifo)?",
    "sqs/queue": r"[A-Za-z0-9_-]+(\.fifo)?",
}
"""Kind to the expression that a whole physical name must match.
Source: AWS's resource schemas, and the API reference of the service where a schema has no pattern
(https://docs.aws.amazon.com/cloudcontrolapi/latest/userguide/supported-resources.html)."""

IDS: Mapping[str, str] = {
    "ec2/eip": "eipalloc",
    "ec2/flowLog": "fl",
    "ec2/instance": "i",
    "ec2/internetGateway": "igw",
    "ec2/launchTemplate": "lt",
    "ec2/natGateway": "nat",
    "ec2/networkAcl": "acl",
    "ec2/routeTable": "rtb",
    "ec2/routeTableAssociation": "rtbassoc",
    "ec2/securityGroup": "sg",
    "ec2/securityGroupRule": "sgrule",
    "ec2/subnet": "subnet",
    "ec2/vpc": "vpc",
    "ec2/vpcEndpoint": "vpce",
    "kms/key": "mrk",
    "vpc/securityGroupEgressRule": "sgr",
    "vpc/securityGroupIngressRule": "sgr",
}
"""Kind to the prefix of its ids."""

IMPORT_IDS: Mapping[str, str] = {
    "ec2/route": "{routeTableId}_{destinationCidrBlock}",
    "ec2/routeTableAssociation": "{subnetId}/{routeTableId}",
    "eks/podIdentityAssociation": "{clusterName},{associationId}",
}
"""Kind to what an import takes, where that is not its id.
Source: the section Import of each type, https://www.pulumi.com/registry/packages/aws/api-docs/"""

ARNS: Mapping[str, str] = {
    "cloudwatch/eventRule": "arn:{partition}:events:{region}:{account}:rule/{name}",
    "cloudwatch/logGroup": "arn:{partition}:logs:{region}:{account}:log-group:{name}",
    "cloudwatch/metricAlarm": "arn:{partition}:cloudwatch:{region}:{account}:alarm:{name}",
    "ec2/flowLog": "arn:{partition}:ec2:{region}:{account}:vpc-flow-log/{id}",
    "ec2/internetGateway": "arn:{partition}:ec2:{region}:{account}:internet-gateway/{id}",
    "ec2/launchTemplate": "arn:{partition}:ec2:{region}:{account}:launch-template/{id}",
    "ec2/routeTable": "arn:{partition}:ec2:{region}:{account}:route-table/{id}",
    "ec2/securityGroup": "arn:{partition}:ec2:{region}:{account}:security-group/{id}",
    "ec2/vpcEndpoint": "arn:{partition}:ec2:{region}:{account}:vpc-endpoint/{id}",
    "ecr/repository": "arn:{partition}:ecr:{region}:{account}:repository/{name}",
    "eks/cluster": "arn:{partition}:eks:{region}:{account}:cluster/{name}",
    "eks/podIdentityAssociation": "arn:{partition}:eks:{region}:{account}:podidentityassociation/{cluster}/{id}",
    "elasticache/parameterGroup": "arn:{partition}:elasticache:{region}:{account}:parametergroup:{name}",
    "elasticache/replicationGroup": "arn:{partition}:elasticache:{region}:{account}:replicationgroup:{name}",
    "elasticache/subnetGroup": "arn:{partition}:elasticache:{region}:{account}:subnetgroup:{name}",
    "iam/instanceProfile": "arn:{partition}:iam::{account}:instance-profile{path}{name}",
    "iam/openIdConnectProvider": "arn:{partition}:iam::{account}:oidc-provider/{id}",
    "iam/policy": "arn:{partition}:iam::{account}:policy{path}{name}",
    "iam/role": "arn:{partition}:iam::{account}:role{path}{name}",
    "iam/user": "arn:{partition}:iam::{account}:user{path}{name}",
    "kms/alias": "arn:{partition}:kms:{region}:{account}:{name}",
    "kms/key": "arn:{partition}:kms:{region}:{account}:key/{id}",
    "lambda/function": "arn:{partition}:lambda:{region}:{account}:function:{name}",
    "rds/cluster": "arn:{partition}:rds:{region}:{account}:cluster:{name}",
    "rds/instance": "arn:{partition}:rds:{region}:{account}:db:{name}",
    "rds/parameterGroup": "arn:{partition}:rds:{region}:{account}:pg:{name}",
    "rds/subnetGroup": "arn:{partition}:rds:{region}:{account}:subgrp:{name}",
    "s3/bucket": "arn:{partition}:s3:::{name}",
    "secretsmanager/secret": "arn:{partition}:secretsmanager:{region}:{account}:secret:{name}-AbCdEf",
    "sns/topic": "arn:{partition}:sns:{region}:{account}:{name}",
    "sqs/queue": "arn:{partition}:sqs:{region}:{account}:{name}",
    "vpc/securityGroupIngressRule": "arn:{partition}:ec2:{region}:{account}:security-group-rule/{id}",
}
"""Kind to its ARN; others get `arn:{partition}:<service>:<region>:<account>:<kind>/<id>`."""

NAME_PREFIXES: Mapping[str, str] = {"kms/alias": "alias/"}
"""Kind to what the provider puts before a name that it generates.
Source: https://docs.aws.amazon.com/kms/latest/APIReference/API_CreateAlias.html"""

PARTITIONS: Mapping[str, tuple[str, str]] = {
    "cn-": ("aws-cn", "amazonaws.com.cn"),
    "us-gov-": ("aws-us-gov", "amazonaws.com"),
}
"""Start of a region's name to its partition and the suffix of its services' names; others are in `aws`.
Source: https://docs.aws.amazon.com/whitepapers/latest/aws-fault-isolation-boundaries/partitions.html"""

NEWER: Mapping[str, tuple[str, ...]] = {"elasticache/replicationGroup": ("redis", "valkey")}
"""Kind to its engines, from the older to the newer: it moves to the newer one in place and back by replacement only.
Source: https://docs.aws.amazon.com/AmazonElastiCache/latest/dg/VersionManagement.html"""

OVERWRITTEN = ("ecr/lifecyclePolicy", "iam/rolePolicyAttachment", "s3/bucket?*", "sqs/queuePolicy")
"""Patterns of kinds that are settings of something else: writing one a second time writes over the first."""

PORTS: Mapping[str, int] = {
    "aurora-mysql": 3306,
    "aurora-postgresql": 5432,
    "mariadb": 3306,
    "mysql": 3306,
    "postgres": 5432,
    "redis": 6379,
    "valkey": 6379,
}
"""Engine to the port it listens on by default."""

GATEWAY_CIDRS = ("3.5.64.0/21", "52.218.0.0/17")
"""Addresses behind a gateway endpoint: two of S3's networks, as the service's prefix lists name them."""
