"""What the simulated AWS knows about types beyond AWS's own schemas (`aws_rules.json`): data only.

Sources: the argument references of the Terraform AWS provider, which `pulumi_aws` bridges
(https://registry.terraform.io/providers/hashicorp/aws/latest/docs; "Forces new resource"), and the ARN formats of the
service authorization reference (https://docs.aws.amazon.com/service-authorization/latest/reference/).
Inputs whose Python documentation says "forces new resource" are found there and not repeated here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

IMMUTABLE: Mapping[str, tuple[str, ...]] = {
    "aws:*": ("region",),
    "aws:budgets/budget:Budget": ("accountId", "budgetType", "name"),
    "aws:cloudwatch/logGroup:LogGroup": ("logGroupClass",),
    "aws:dynamodb/table:Table": ("hashKey", "rangeKey", "localSecondaryIndexes"),
    "aws:ec2/eip:Eip": ("domain", "publicIpv4Pool"),
    "aws:ec2/flowLog:FlowLog": ("*",),
    "aws:ec2/instance:Instance": ("ami",),
    "aws:ec2/natGateway:NatGateway": ("privateIp",),
    "aws:ec2/routeTableAssociation:RouteTableAssociation": ("gatewayId",),
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
    "aws:ecr/lifecyclePolicy:LifecyclePolicy": ("repository",),
    "aws:eks/accessPolicyAssociation:AccessPolicyAssociation": ("*",),
    "aws:eks/fargateProfile:FargateProfile": ("*",),
    "aws:eks/nodeGroup:NodeGroup": ("launchTemplate.id", "launchTemplate.name"),
    "aws:elasticache/parameterGroup:ParameterGroup": ("description", "name"),
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": ("policyArn", "role"),
    "aws:kms/key:Key": ("customerMasterKeySpec", "customKeyStoreId", "keyUsage", "multiRegion", "xksKeyId"),
    "aws:rds/cluster:Cluster": ("engine", "masterUsername"),
    "aws:rds/instance:Instance": ("availabilityZone", "engine", "snapshotIdentifier"),
    "aws:route53/record:Record": ("name", "type"),
    "aws:s3/bucket:Bucket": ("objectLockEnabled",),
    "aws:s3/bucket*:*": ("bucket", "expectedBucketOwner"),
    "aws:s3/bucketObjectv2:BucketObjectv2": ("key",),
    "aws:secretsmanager/secretVersion:SecretVersion": ("secretId", "secretString", "secretBinary"),
    "aws:sns/topicSubscription:TopicSubscription": ("topic",),
}
"""Type pattern to the inputs whose change replaces the resource, beyond those of `aws_rules.json`."""

_LETTERS_AND_HYPHENS = "^[a-zA-Z](-?[a-zA-Z0-9])*$"

NAME_RULES: Mapping[str, Mapping[str, Any]] = {
    "budgets/budget": {"maxLength": 100, "pattern": r"^(?![^:\\]*/action/|(?i:.*<script>.*</script>.*))[^:\\]+$"},
    "dynamodb/table": {"maxLength": 255},
    "ec2/launchTemplate": {"maxLength": 125},
    "eks/cluster": {"pattern": "^[0-9A-Za-z][A-Za-z0-9_-]*$"},
    "eks/fargateProfile": {"maxLength": 63},
    "eks/nodeGroup": {"maxLength": 63},
    "elasticache/parameterGroup": {"pattern": _LETTERS_AND_HYPHENS},
    "elasticache/replicationGroup": {"maxLength": 40, "pattern": _LETTERS_AND_HYPHENS},
    "elasticache/subnetGroup": {"pattern": "^[a-zA-Z0-9-]+$"},
    "iam/policy": {"maxLength": 128, "pattern": "^[A-Za-z0-9_+=,.@-]+$"},
    "lambda/function": {"maxLength": 64},
    "rds/subnetGroup": {"pattern": "^[a-zA-Z][a-zA-Z0-9._ -]*$"},
    "secretsmanager/secret": {"pattern": "^[A-Za-z0-9/_+=.@-]+$"},
    "sns/topic": {"pattern": r"^[A-Za-z0-9_-]+(\.fifo)?$"},
    "sqs/queue": {"maxLength": 80, "pattern": r"^[A-Za-z0-9_-]+(\.fifo)?$"},
}
"""Kind to what its service says of physical names where AWS's schemas say nothing, in words of JSON Schema.
Source: the request that makes it in the API reference of the service (https://docs.aws.amazon.com/)."""

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

IN_PLACE: Mapping[str, str] = {
    "acm/certificate.options": "UpdateCertificateOptions",
    "ec2/keyPair.tags": "CreateTags",
    "ec2/routeTableAssociation.routeTableId": "ReplaceRouteTableAssociation",
    "ec2/vpcEndpoint.dnsOptions.privateDnsPreference": "ModifyVpcEndpoint",
    "ec2/vpcEndpoint.dnsOptions.privateDnsSpecifiedDomains": "ModifyVpcEndpoint",
    "eks/cluster.encryptionConfig": "AssociateEncryptionConfig, for a cluster that has none",
    "elasticache/replicationGroup.preferredCacheClusterAzs": "read at creation only, and ignored later",
    "iam/user.name": "UpdateUser",
    "rds/instance.dbSubnetGroupName": "ModifyDBInstance",
    "rds/instance.identifier": "ModifyDBInstance, NewDBInstanceIdentifier",
    **{
        f"vpc/securityGroup{way}Rule.{name}": "ModifySecurityGroupRules"
        for way in ("Egress", "Ingress")
        for name in ("cidrIpv6", "fromPort", "ipProtocol", "prefixListId", "toPort")
    },
}
"""Inputs that AWS's schemas take at creation only and that the API changes in place, and the call that does."""
