"""Rules on AWS networks: what is reachable, and what is recorded."""

import ipaddress
from collections.abc import Iterator

from policies.aws import types
from policies.aws.karpenter import NODE_CLASS, machine_of
from policies.typed import Problem, Props, RuleBook, Stack

BOOK = RuleBook()

ADMINISTRATION = (22, 3389)
"""TCP ports of SSH and RDP."""
WIDE = {4: 8, 6: 16}
"""Version of IP to the prefix length, in bits, below which a network is no network of anybody's."""


@BOOK.rule(
    "AWS-09",
    types.EC2_SUBNET,
    types.EC2_INSTANCE,
    types.EC2_LAUNCH_TEMPLATE,
    NODE_CLASS,
    title="Machines have no public address",
    severity="high",
    frameworks={"CIS EKS": "5.4.3", "Trivy": "AWS-0009 AWS-0164", "Checkov": "CKV_AWS_88 CKV_AWS_130"},
    fix="Leave `mapPublicIpOnLaunch` and `associatePublicIpAddress` off; a NAT gateway gives a way out.",
    link="https://docs.aws.amazon.com/eks/latest/best-practices/subnets.html",
)
def no_public_address(machine: Props, _stack: Stack) -> Iterator[Problem]:
    """A public address makes a node reachable from the internet."""
    machine = machine_of(machine)
    for key in ("mapPublicIpOnLaunch", "associatePublicIpAddress", "associatePublicIPAddress"):
        if machine.flag(key, default=False):
            yield machine.problem(key, "gives machines a public address")
    for interface in machine.children("networkInterfaces"):
        if interface.text("associatePublicIpAddress") == "true":
            yield interface.problem("associatePublicIpAddress", "gives machines a public address")


@BOOK.rule(
    "AWS-12",
    types.EC2_SECURITY_GROUP,
    types.EC2_SECURITY_GROUP_RULE,
    types.VPC_SECURITY_GROUP_INGRESS_RULE,
    title="Administration ports are closed to the internet",
    severity="high",
    frameworks={"Trivy": "AWS-0107", "Checkov": "CKV_AWS_24 CKV_AWS_25 CKV_AWS_277"},
    fix="Name the networks that may connect; use Session Manager instead of SSH.",
    link="https://docs.aws.amazon.com/vpc/latest/userguide/security-group-rules.html",
)
def administration_is_closed(group: Props, _stack: Stack) -> Iterator[Problem]:
    """SSH, RDP and "all ports" are open to known networks only."""
    if group.resource.type == types.EC2_SECURITY_GROUP:
        for ingress in group.children("ingress"):
            if _from_everywhere(ingress.texts("cidrBlocks"), ingress.texts("ipv6CidrBlocks")) and _administers(ingress):
                yield Problem(ingress.path, "opens administration ports to the internet")
        return
    is_ingress = group.text("type", "ingress") == "ingress"
    single = ([each for each in (group.text("cidrIpv4"), group.text("cidrIpv6")) if each],)
    listed = (group.texts("cidrBlocks"), group.texts("ipv6CidrBlocks"))
    if is_ingress and (_from_everywhere(*single) or _from_everywhere(*listed)) and _administers(group):
        yield group.problem("fromPort", "opens administration ports to the internet")


def _from_everywhere(*networks: list[str]) -> bool:
    return any(is_everywhere(network) for some in networks for network in some)


def is_everywhere(network: str) -> bool:
    """Whether a network holds a good part of the internet: two halves are the whole as well."""
    try:
        found = ipaddress.ip_network(network, strict=False)
    except ValueError:
        return True
    return found.prefixlen < WIDE[found.version] and not found.is_private


def _administers(ingress: Props) -> bool:
    everything = {"-1", "all"} & {ingress.text("protocol"), ingress.text("ipProtocol")}
    first, last = ingress.number("fromPort"), ingress.number("toPort", 65_535)
    return bool(everything) or any(first <= port <= last for port in ADMINISTRATION)


@BOOK.rule(
    "AWS-13",
    types.EC2_VPC,
    title="Every network records its traffic",
    severity="medium",
    frameworks={"Trivy": "AWS-0178", "Checkov": "CKV2_AWS_11"},
    fix="Add an `ec2.FlowLog` with the network's `vpc_id`.",
    link="https://docs.aws.amazon.com/vpc/latest/userguide/flow-logs.html",
)
def traffic_is_recorded(network: Props, stack: Stack) -> Iterator[Problem]:
    """A flow log names the network."""
    if not stack.about(network.resource, "vpcId", types.EC2_FLOW_LOG):
        yield Problem((), "has no flow log")


@BOOK.rule(
    "AWS-14",
    types.EC2_VPC,
    types.EC2_DEFAULT_VPC,
    types.EC2_DEFAULT_SECURITY_GROUP,
    title="The default network is unused and the default security group lets nothing through",
    severity="high",
    frameworks={"Trivy": "AWS-0101 AWS-0173", "Checkov": "CKV2_AWS_12"},
    fix="Add an `ec2.DefaultSecurityGroup` without ingress and egress to the network; make a network of your own.",
    link="https://docs.aws.amazon.com/vpc/latest/userguide/default-security-group.html",
)
def defaults_are_closed(network: Props, stack: Stack) -> Iterator[Problem]:
    """An instance without a named security group gets the default one."""
    if network.resource.type == types.EC2_DEFAULT_VPC:
        yield Problem((), "uses the account's default network")
    elif network.resource.type == types.EC2_DEFAULT_SECURITY_GROUP:
        for direction in ("ingress", "egress"):
            if list(network.children(direction)):
                yield network.problem(direction, "lets traffic through the default security group")
    elif not stack.about(network.resource, "vpcId", types.EC2_DEFAULT_SECURITY_GROUP):
        yield Problem((), "has an open default security group")
