"""What each resource costs in a month: as expected, and at worst, with every pool at its limit all month long."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stacks.commands.cost.graph import Graph, Resource
from stacks.commands.cost.prices import MachinePrice, Price, PriceError, Prices, UnpricedError

GIB = re.compile(r"(\d+)\s*Gi")


@dataclass(frozen=True, kw_only=True)
class Line:
    """One thing on the bill."""

    role: str

    name: str

    what: str

    expected: float
    """US dollars a month."""

    worst: float
    """US dollars a month."""

    sources: frozenset[str]

    note: str = ""
    """Why there is no price, where there is none: the amounts are zero then."""


Costs = Iterator[tuple[str, float, float, Price]]
"""What is billed, how much of its unit as expected and at worst, and the price of a unit."""

Pricer = Callable[[Resource, Graph, Prices], Costs]


def lines(graph: Graph, prices: Prices) -> list[Line]:
    """The bill of a stack; one without an account's provider has none. What has no price is a line with a note.

    Raises: PriceError for a quantity that cannot be read.
    """
    if graph.region is None:
        return []
    return [line for each in graph.resources for line in _bill(each, graph, prices)]


def _bill(resource: Resource, graph: Graph, prices: Prices) -> Iterator[Line]:
    if _is_unknown(resource, prices):
        yield _unpriced(
            resource,
            f"{resource.type} is neither priced in stacks/commands/cost/pricing.py nor said to be free in prices.yaml",
        )
    for pricer in _pricers(resource):
        try:
            for what, expected, worst, price in pricer(resource, graph, prices):
                yield Line(
                    role=resource.role,
                    name=resource.name,
                    what=what,
                    expected=expected * price.usd,
                    worst=worst * price.usd,
                    sources=frozenset({price.source}),
                )
        except UnpricedError as error:
            yield _unpriced(resource, str(error))


def _is_unknown(resource: Resource, prices: Prices) -> bool:
    priced = resource.type in PRICED or prices.reason_to_be_free(resource.type) is not None
    return resource.type.startswith("aws:") and not priced


def _unpriced(resource: Resource, note: str) -> Line:
    return Line(
        role=resource.role, name=resource.name, what="no price", expected=0, worst=0, sources=frozenset(), note=note
    )


def _pricers(resource: Resource) -> Sequence[Pricer]:
    if resource.type.startswith("kubernetes:"):
        return [_karpenter] if resource.kind == "NodePool" else [_volumes, _load_balancer]
    return [PRICED[resource.type]] if resource.type in PRICED else []


def _cluster(_: Resource, __: Graph, prices: Prices) -> Costs:
    yield "control plane", prices.hours_per_month, prices.hours_per_month, prices.units.eks_cluster_hour


def _nat_gateway(_: Resource, graph: Graph, prices: Prices) -> Costs:
    gib = prices.usage.nat_gib_month / len(graph.all("aws:ec2/natGateway:NatGateway"))
    yield "NAT gateway", prices.hours_per_month, prices.hours_per_month, prices.units.nat_gateway_hour
    yield "traffic through NAT", gib, gib, prices.units.nat_gateway_gib


def _address(_: Resource, __: Graph, prices: Prices) -> Costs:
    yield "public IPv4 address", prices.hours_per_month, prices.hours_per_month, prices.units.public_ipv4_hour


def _endpoint(resource: Resource, _: Graph, prices: Prices) -> Costs:
    if resource.inputs.get("vpcEndpointType") == "Interface":
        hours = prices.hours_per_month * len(resource.inputs.get("subnetIds") or [])
        yield "endpoint in each zone", hours, hours, prices.units.interface_endpoint_hour
        gib = prices.usage.endpoint_gib_month
        yield "traffic through the endpoint", gib, gib, prices.units.interface_endpoint_gib


def _key(_: Resource, __: Graph, prices: Prices) -> Costs:
    yield "encryption key", 1, 1, prices.units.kms_key_month


def _log_group(resource: Resource, _: Graph, prices: Prices) -> Costs:
    gib = prices.usage.log_gib_month
    kept = gib * (resource.inputs.get("retentionInDays") or 365) / 30
    yield "logs taken in", gib, gib, prices.units.logs_ingested_gib
    yield "logs kept", kept, kept, prices.units.logs_kept_gib_month


def _bucket(_: Resource, __: Graph, prices: Prices) -> Costs:
    usage = prices.usage
    yield "objects", usage.bucket_gib, usage.bucket_gib, prices.units.s3_gib_month
    writes = usage.bucket_thousand_writes_month
    yield "writes", writes, writes, prices.units.s3_thousand_writes


def _replication(_: Resource, __: Graph, prices: Prices) -> Costs:
    gib = prices.usage.replicated_gib_month
    yield "objects to the other region", gib, gib, prices.units.region_transfer_gib


def _cache(resource: Resource, _: Graph, prices: Prices) -> Costs:
    nodes = resource.inputs["numCacheClusters"] * prices.hours_per_month
    if resource.inputs["engine"] == "redis":
        nodes *= prices.redis_to_valkey
    yield f"nodes {resource.inputs['nodeType']}", nodes, nodes, prices.cache(resource.inputs["nodeType"])
    gib = prices.usage.cache_backup_gib
    yield "snapshots", gib, gib, prices.units.cache_backup_gib_month


def _database(resource: Resource, _: Graph, prices: Prices) -> Costs:
    asked, units = resource.inputs, prices.units
    instances = (2 if asked["multiAz"] else 1) * prices.hours_per_month
    machine = prices.database(asked["instanceClass"])
    storage = units.rds_gp3_multi_az_gib_month if asked["multiAz"] else units.rds_gp3_gib_month
    yield f"instances {asked['instanceClass']}", instances, instances, machine
    yield "storage", asked["allocatedStorage"], asked["maxAllocatedStorage"], storage
    if asked.get("databaseInsightsMode") == "advanced":
        hours = machine.vcpus * instances
        yield "Database Insights", hours, hours, units.rds_insights_advanced_vcpu_hour
    yield "the master's secret", 1, 1, units.secret_month


def _repository(_: Resource, __: Graph, prices: Prices) -> Costs:
    yield "images", prices.usage.images_gib, prices.usage.images_gib, prices.units.ecr_gib_month


def _queue(_: Resource, __: Graph, prices: Prices) -> Costs:
    requests = prices.usage.queue_million_requests_month
    yield "requests", requests, requests, prices.units.sqs_million_requests


def _node_group(resource: Resource, graph: Graph, prices: Prices) -> Costs:
    """Expected: as many nodes as always run, or the pools' mean share; at worst: all of them, on demand."""
    scaling, types = resource.inputs["scalingConfig"], resource.inputs["instanceTypes"]
    machines = [prices.instance(each) for each in types]
    mean = max(scaling["minSize"], scaling["maxSize"] * _share(prices, machines))
    template = graph.beside(resource, "aws:ec2/launchTemplate:LaunchTemplate")
    disks = (template.inputs.get("blockDeviceMappings") or []) if template else []
    gib = sum(disk["ebs"]["volumeSize"] for disk in disks)
    spot = resource.inputs.get("capacityType") == "SPOT"
    yield from _nodes(f"nodes {types[0]}", machines[0], mean, spot, prices, expected=True)
    dearest = max(machines, key=lambda machine: machine.usd)
    yield from _nodes(f"nodes {types[0]}", dearest, scaling["maxSize"], spot, prices, expected=False)
    yield from _node_extras(mean, scaling["maxSize"], gib, prices)


def _karpenter(resource: Resource, graph: Graph, prices: Prices) -> Costs:
    """Expected: the mean share of the limit on the type with most for its price; at worst: all of it on the dearest."""
    spec = resource.inputs["spec"]
    wanted = {each["key"]: each["values"] for each in spec["template"]["spec"]["requirements"]}
    machines = [prices.instance(each) for each in wanted["node.kubernetes.io/instance-type"]]
    gpus = spec["limits"].get("nvidia.com/gpu")
    limit = float(gpus or spec["limits"]["cpu"])

    def size(machine: MachinePrice) -> int:
        return machine.gpus if gpus else machine.vcpus

    ordered = sorted(machines, key=lambda machine: machine.usd / size(machine))
    mean, most = limit * _share(prices, machines) / size(ordered[0]), limit / size(ordered[-1])
    spot = "spot" in wanted["karpenter.sh/capacity-type"]
    yield from _nodes("nodes", ordered[0], mean, spot, prices, expected=True)
    yield from _nodes("nodes", ordered[-1], most, spot, prices, expected=False)
    yield from _node_extras(mean, limit / min(map(size, machines)), _class_gib(resource, graph), prices)


def _share(prices: Prices, machines: Sequence[MachinePrice]) -> float:
    return prices.usage.gpu_pool_share if machines[0].gpus else prices.usage.cpu_pool_share


def _nodes(what: str, machine: MachinePrice, count: float, spot: bool, prices: Prices, *, expected: bool) -> Costs:
    hours = count * prices.hours_per_month
    mean = hours * (prices.usage.spot_price_share if spot else 1)
    yield what, mean if expected else 0, 0 if expected else hours, machine


def _node_extras(mean: float, most: float, gib: float, prices: Prices) -> Costs:
    yield "nodes' volumes", mean * gib, most * gib, prices.units.ebs_gp3_gib_month
    yield "nodes' detailed monitoring", mean, most, prices.units.detailed_monitoring_instance_month


def _class_gib(pool: Resource, graph: Graph) -> float:
    name = pool.inputs["spec"]["template"]["spec"]["nodeClassRef"]["name"]
    classes = [each for each in graph.resources if each.kind == "EC2NodeClass"]
    of_pool = next((each for each in classes if each.inputs["metadata"]["name"] == name), None)
    if of_pool is None:
        raise PriceError(f"{pool.name} names the class {name!r}, which nobody makes: its volumes have no size")
    return sum(_gib(each["ebs"]["volumeSize"]) for each in of_pool.inputs["spec"]["blockDeviceMappings"])


def _volumes(resource: Resource, _: Graph, prices: Prices) -> Costs:
    """Volumes that a claim, a template of claims or a chart's values ask for, wherever they stand in it."""
    replicas = ((resource.inputs.get("spec") or {}).get("replicas") or 1) if resource.kind == "StatefulSet" else 1
    for text in _requests(resource.inputs):
        gib = _gib(text) * replicas
        yield "volume", gib, gib, prices.units.ebs_gp3_gib_month


def _requests(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        storage = value.get("requests", {}).get("storage") if isinstance(value.get("requests"), Mapping) else None
        if isinstance(storage, str):
            yield storage
        for each in value.values():
            yield from _requests(each)
    elif isinstance(value, list):
        for each in value:
            yield from _requests(each)


def _gib(text: str) -> float:
    found = GIB.fullmatch(text)
    if found is None:
        raise PriceError(f"the volume size {text!r} is not in Gi, which is what volumes are priced by")
    return float(found[1])


def _load_balancer(resource: Resource, _: Graph, prices: Prices) -> Costs:
    if _exposed(resource) == "LoadBalancer":
        yield "load balancer", prices.hours_per_month, prices.hours_per_month, prices.units.load_balancer_hour


def _exposed(resource: Resource) -> str | None:
    """Type of the Service that an object is, or that a gateway's controller makes of it."""
    spec = resource.inputs.get("spec") or {}
    if resource.kind == "EnvoyProxy":
        spec = spec["provider"]["kubernetes"].get("envoyService") or {}
    return spec.get("type") if resource.kind in ("EnvoyProxy", "Service") else None


PRICED: Mapping[str, Pricer] = {
    "aws:cloudwatch/logGroup:LogGroup": _log_group,
    "aws:ec2/eip:Eip": _address,
    "aws:ec2/natGateway:NatGateway": _nat_gateway,
    "aws:ec2/vpcEndpoint:VpcEndpoint": _endpoint,
    "aws:ecr/repository:Repository": _repository,
    "aws:eks/cluster:Cluster": _cluster,
    "aws:eks/nodeGroup:NodeGroup": _node_group,
    "aws:elasticache/replicationGroup:ReplicationGroup": _cache,
    "aws:kms/key:Key": _key,
    "aws:rds/instance:Instance": _database,
    "aws:s3/bucket:Bucket": _bucket,
    "aws:s3/bucketReplicationConfig:BucketReplicationConfig": _replication,
    "aws:sqs/queue:Queue": _queue,
}
"""Type to what it is billed for; every other type of AWS' is said to be free, with the reason, or is an error."""
