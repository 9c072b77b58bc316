"""Network on AWS: a VPC over three or more zones, or one that is there already.

Each zone has a public subnet (NAT and load balancers), a private one (nodes and pods) and one for data, without any
route out. Left out: peerings, VPN and transit gateways, which belong to the owner of both ends.
"""

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_aws import ec2

from infra.aws.account import Account, Statement, encryption_key, log_group, logs_use, role, service_trust
from infra.base.ports import HTTPS
from infra.network.settings import ExistingVpcSettings, VpcSettings


@dataclass(frozen=True, kw_only=True)
class Subnets:
    """Networks of the subnets, by zone."""

    node: Mapping[str, str]
    public: Mapping[str, str]
    data: Mapping[str, str]


def layout(cidr: str, zones: Sequence[str]) -> Subnets:
    """Cut a network for up to six zones: an eighth each for nodes, a 64th each for what is public and for data.

    A zone's place depends on its position only, so that appending one moves nothing.
    """
    *nodes, public, data = ipaddress.IPv4Network(cidr).subnets(prefixlen_diff=3)
    return Subnets(
        node={zone: str(network) for zone, network in zip(zones, nodes, strict=False)},
        public={zone: str(net) for zone, net in zip(zones, public.subnets(prefixlen_diff=3), strict=False)},
        data={zone: str(net) for zone, net in zip(zones, data.subnets(prefixlen_diff=3), strict=False)},
    )


@dataclass(frozen=True, kw_only=True)
class VpcArgs:
    """The settings, and what other components hand over."""

    settings: VpcSettings

    account: Account


class Vpc(pulumi.ComponentResource):
    """A VPC whose nodes are private, whose stores have no way out, and whose connections are on record.

    Realizes `infra.network.Network`.
    Source: https://docs.aws.amazon.com/eks/latest/userguide/network-reqs.html
    """

    vpc_id: pulumi.Output[str]

    cidr: str

    node_subnet_ids: Mapping[str, pulumi.Output[str]]

    data_subnet_ids: Mapping[str, pulumi.Output[str]]

    data_cidrs: Sequence[str]

    s3_cidrs: pulumi.Output[Sequence[str]]

    ready: Sequence[pulumi.Resource]

    def __init__(self, name: str, args: VpcArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:Vpc", name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        subnets = layout(args.settings.cidr, args.settings.zones)
        self._vpc = ec2.Vpc(
            name,
            cidr_block=args.settings.cidr,
            enable_dns_support=True,
            enable_dns_hostnames=True,
            tags={"Name": name},
            opts=pulumi.ResourceOptions(parent=self, protect=args.settings.deletion_protection),
        )
        ec2.DefaultSecurityGroup(
            f"{name}-closed",
            vpc_id=self._vpc.id,
            ingress=[],
            egress=[],
            tags={"Name": f"{name}-closed"},
            opts=self._child,
        )
        data = self._subnets("data", subnets.data)
        nodes = self._subnets("node", subnets.node, tags={"kubernetes.io/role/internal-elb": "1"})
        public = self._subnets("public", subnets.public, tags={"kubernetes.io/role/elb": "1"})
        node_tables, routes = self._routes(nodes, public)
        data_table = self._table("data", data)
        s3 = self._endpoint_s3([*node_tables, data_table])
        self._flow_logs()

        self.vpc_id = self._vpc.id
        self.cidr = args.settings.cidr
        self.node_subnet_ids = {zone: subnet.id for zone, subnet in nodes.items()}
        self.data_subnet_ids = {zone: subnet.id for zone, subnet in data.items()}
        self.data_cidrs = list(subnets.data.values())
        self.s3_cidrs = s3.cidr_blocks
        self.ready = [*routes, s3, *self._endpoints(nodes)]
        self.register_outputs({"vpc_id": self.vpc_id, "s3_cidrs": self.s3_cidrs})

    def _subnets(
        self, part: str, networks: Mapping[str, str], tags: Mapping[str, str] | None = None
    ) -> dict[str, ec2.Subnet]:
        return {
            zone: ec2.Subnet(
                f"{self._name}-{part}-{zone}",
                vpc_id=self._vpc.id,
                availability_zone=zone,
                cidr_block=network,
                map_public_ip_on_launch=False,
                tags={"Name": f"{self._name}-{part}-{zone}", **(tags or {})},
                opts=self._child,
            )
            for zone, network in networks.items()
        }

    def _table(self, part: str, subnets: Mapping[str, ec2.Subnet]) -> ec2.RouteTable:
        table = ec2.RouteTable(
            f"{self._name}-{part}", vpc_id=self._vpc.id, tags={"Name": f"{self._name}-{part}"}, opts=self._child
        )
        for zone, subnet in subnets.items():
            ec2.RouteTableAssociation(
                f"{self._name}-{part}-table-{zone}", subnet_id=subnet.id, route_table_id=table.id, opts=self._child
            )
        return table

    def _routes(
        self, nodes: Mapping[str, ec2.Subnet], public: Mapping[str, ec2.Subnet]
    ) -> tuple[list[ec2.RouteTable], list[pulumi.Resource]]:
        """The tables of the node subnets, one for each zone, and every route to the internet."""
        name, child = self._name, self._child
        gateway = ec2.InternetGateway(f"{name}-internet", vpc_id=self._vpc.id, tags={"Name": name}, opts=child)
        public_table = self._table("public", public)
        out = ec2.Route(
            f"{name}-public-out",
            route_table_id=public_table.id,
            destination_cidr_block="0.0.0.0/0",
            gateway_id=gateway.id,
            opts=child,
        )
        first = self._args.settings.zones[0]
        with_gateway = public if self._args.settings.nat == "per-zone" else {first: public[first]}
        gateways = {zone: self._nat(zone, subnet, out) for zone, subnet in with_gateway.items()}
        tables, routes = [], []
        for zone, subnet in nodes.items():
            table = self._table(f"node-{zone}", {zone: subnet})
            tables.append(table)
            routes.append(
                ec2.Route(
                    f"{name}-node-{zone}-out",
                    route_table_id=table.id,
                    destination_cidr_block="0.0.0.0/0",
                    nat_gateway_id=gateways.get(zone, gateways[first]).id,
                    opts=child,
                )
            )
        return tables, [out, *routes]

    def _nat(self, zone: str, subnet: ec2.Subnet, out: ec2.Route) -> ec2.NatGateway:
        name = f"{self._name}-nat-{zone}"
        address = ec2.Eip(f"{name}-address", domain="vpc", tags={"Name": name}, opts=self._child)
        return ec2.NatGateway(
            name,
            subnet_id=subnet.id,
            allocation_id=address.allocation_id,
            tags={"Name": name},
            opts=pulumi.ResourceOptions(parent=self, depends_on=[out]),
        )

    def _endpoint_s3(self, tables: Sequence[ec2.RouteTable]) -> ec2.VpcEndpoint:
        return ec2.VpcEndpoint(
            f"{self._name}-s3",
            vpc_id=self._vpc.id,
            service_name=f"com.amazonaws.{self._args.account.region}.s3",
            vpc_endpoint_type="Gateway",
            route_table_ids=[table.id for table in tables],
            tags={"Name": f"{self._name}-s3"},
            opts=self._child,
        )

    def _endpoints(self, nodes: Mapping[str, ec2.Subnet]) -> list[pulumi.Resource]:
        if not self._args.settings.endpoints:
            return []
        group = ec2.SecurityGroup(
            f"{self._name}-endpoints",
            vpc_id=self._vpc.id,
            description="HTTPS from inside of the VPC to endpoints of AWS services",
            ingress=[
                {
                    "description": "HTTPS from the VPC",
                    "protocol": "tcp",
                    "from_port": HTTPS,
                    "to_port": HTTPS,
                    "cidr_blocks": [self._args.settings.cidr],
                }
            ],
            egress=[],
            tags={"Name": f"{self._name}-endpoints"},
            opts=self._child,
        )
        return [
            ec2.VpcEndpoint(
                f"{self._name}-{service.replace('.', '-')}",
                vpc_id=self._vpc.id,
                service_name=f"com.amazonaws.{self._args.account.region}.{service}",
                vpc_endpoint_type="Interface",
                private_dns_enabled=True,
                subnet_ids=[subnet.id for subnet in nodes.values()],
                security_group_ids=[group.id],
                tags={"Name": f"{self._name}-{service}"},
                opts=self._child,
            )
            for service in self._args.settings.endpoints
        ]

    def _flow_logs(self) -> None:
        name, account = f"{self._name}-flow-logs", self._args.account
        key = encryption_key(
            f"{name}-key", f"{name}: records of connections", account, self._child, [logs_use(account)]
        )
        group = log_group(name, self._args.settings.flow_logs_days, key, self._child)
        writer, policies = role(
            f"{name}-role",
            service_trust("vpc-flow-logs.amazonaws.com", account),
            account,
            self._child,
            statements=[
                # Source: https://docs.aws.amazon.com/vpc/latest/userguide/flow-logs-iam-role.html
                Statement(
                    sid="Write",
                    actions=[
                        "logs:CreateLogGroup",
                        "logs:CreateLogStream",
                        "logs:DescribeLogStreams",
                        "logs:PutLogEvents",
                    ],
                    resources=[group.arn, pulumi.Output.concat(group.arn, ":*")],
                ),
                Statement(sid="List", actions=["logs:DescribeLogGroups"], resources=["*"]),
            ],
        )
        ec2.FlowLog(
            name,
            vpc_id=self._vpc.id,
            traffic_type="ALL",
            log_destination_type="cloud-watch-logs",
            log_destination=group.arn,
            iam_role_arn=writer.arn,
            max_aggregation_interval=60,
            opts=pulumi.ResourceOptions(parent=self, depends_on=policies),
        )


@dataclass(frozen=True, kw_only=True)
class ExistingVpcArgs:
    """The settings, and what other components hand over."""

    settings: ExistingVpcSettings

    account: Account


class ExistingVpc(pulumi.ComponentResource):
    """Names of what is there; nothing is made.

    Realizes `infra.network.Network`.
    """

    vpc_id: pulumi.Output[str]

    cidr: str

    node_subnet_ids: Mapping[str, pulumi.Output[str]]

    data_subnet_ids: Mapping[str, pulumi.Output[str]]

    data_cidrs: Sequence[str]

    s3_cidrs: pulumi.Output[Sequence[str]]

    ready: Sequence[pulumi.Resource]

    def __init__(self, name: str, args: ExistingVpcArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:ExistingVpc", name, None, opts)
        settings = args.settings
        self.vpc_id = pulumi.Output.from_input(settings.vpc_id)
        self.cidr = settings.cidr
        self.node_subnet_ids = {zone: pulumi.Output.from_input(each.id) for zone, each in settings.node_subnets.items()}
        self.data_subnet_ids = {zone: pulumi.Output.from_input(each.id) for zone, each in settings.data_subnets.items()}
        self.data_cidrs = [subnet.cidr for subnet in settings.data_subnets.values()]
        prefixes = ec2.get_prefix_list_output(
            name=f"com.amazonaws.{args.account.region}.s3", opts=pulumi.InvokeOutputOptions(parent=self)
        )
        self.s3_cidrs = prefixes.cidr_blocks
        self.ready = ()
        self.register_outputs({"vpc_id": self.vpc_id, "s3_cidrs": self.s3_cidrs})
