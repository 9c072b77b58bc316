"""Where managed stores listen: subnets without a way out, and a port that only the cluster's nodes and pods reach."""

import pulumi
from pulumi_aws import ec2, vpc

from infra.aws.substrate import EksCluster, Network


def security_group(
    name: str, port: int, network: Network, cluster: EksCluster, opts: pulumi.ResourceOptions
) -> ec2.SecurityGroup:
    """Lets the cluster's nodes and pods in on one TCP port, nobody else, and nothing out."""
    group = ec2.SecurityGroup(
        name, description=f"Port {port} for the cluster", vpc_id=network.vpc_id, tags={"Name": name}, opts=opts
    )
    vpc.SecurityGroupIngressRule(
        f"{name}-cluster",
        security_group_id=group.id,
        referenced_security_group_id=cluster.security_group_id,
        ip_protocol="tcp",
        from_port=port,
        to_port=port,
        description="Nodes and pods of the cluster",
        opts=opts,
    )
    return group
