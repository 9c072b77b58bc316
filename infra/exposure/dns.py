"""DNS records of a gateway's hosts: external-dns by its official chart, which may write one zone and no more."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from infra.aws.account import Statement
from infra.aws.pod_role import pod_role
from infra.aws.substrate import Aws, Bound
from infra.base.aws_types import STACK_TAG
from infra.base.resources import Resources
from infra.controllers.namespace import ControllerNamespace, ControllerNamespaceArgs
from infra.exposure.settings import RecordsSettings
from infra.kube import charts
from infra.kube.network_policies import network_policy
from infra.namespaces.aws import AGENT_CIDR, AGENT_PORT, way_out

NAMESPACE = SERVICE_ACCOUNT = "external-dns"
RECORD_TYPES = ("A", "AAAA", "CNAME", "TXT")
"""Of a host, and of the note beside it that says whose it is."""
ACTIONS = {"upsert-only": ("CREATE", "UPSERT"), "sync": ("CREATE", "UPSERT", "DELETE")}
CONTROLLER = Resources(cpu_millicores=50, cpu_limit_millicores=500, memory_mib=256)


@dataclass(frozen=True, kw_only=True)
class ExternalDnsArgs:
    """Which records of which zone, and where it runs."""

    settings: RecordsSettings

    substrate: Aws

    zone_id: str

    domain: str
    """Records of its sub-domains only are read or written."""

    gateway: str
    """Name of the Gateway whose routes name the hosts."""


class ExternalDns(pulumi.ComponentResource):
    """external-dns in a namespace of its own, with the right to change records of one domain in one zone.

    Source: https://kubernetes-sigs.github.io/external-dns/latest/docs/tutorials/aws/
    """

    ready: Sequence[pulumi.Resource]

    def __init__(self, name: str, args: ExternalDnsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:ExternalDns", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)

        space = ControllerNamespace(
            f"{name}-namespace",
            ControllerNamespaceArgs(substrate=args.substrate.kubernetes, name=NAMESPACE, ports=[]),
            child,
        ).substrate
        within = args.substrate.within(pulumi.Output.from_input(NAMESPACE))
        bound = pod_role(name, SERVICE_ACCOUNT, _rights(args), within, child)
        agent = network_policy(
            f"{name}-credentials",
            space.namespace,
            space.child(self),
            egress=[way_out([AGENT_CIDR], AGENT_PORT)],
        )
        values = _values(args, bound)
        release = charts.release(name, charts.EXTERNAL_DNS, values, space, space.child(self, *bound.ready, agent))

        self.ready = [release]
        self.register_outputs({})


def _values(args: ExternalDnsArgs, bound: Bound) -> dict[str, Any]:
    """Source: https://github.com/kubernetes-sigs/external-dns/tree/master/charts/external-dns."""
    return {
        "provider.name": "aws",
        "sources": ["gateway-httproute"],
        "policy": args.settings.policy,
        "registry": "txt",
        "txtOwnerId": args.substrate.account.tags[STACK_TAG],
        "domainFilters": [args.domain],
        "gatewayNamespace": args.substrate.kubernetes.namespace,
        "triggerLoopOnEvent": True,
        "serviceAccount.name": SERVICE_ACCOUNT,
        **({"serviceAccount.annotations": dict(bound.annotations)} if bound.annotations else {}),
        "resources": charts.container(CONTROLLER),
        "env": [{"name": "AWS_REGION", "value": args.substrate.account.region}],
        "extraArgs": {
            "gateway-name": args.gateway,
            "zone-id-filter": args.zone_id,
            # The zone's own name may be a parent of the domain.
            "aws-zone-match-parent": True,
        },
    }


def _rights(args: ExternalDnsArgs) -> list[Statement]:
    """Source: https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/specifying-conditions-route53.html."""
    zone, changed = (
        f"arn:{args.substrate.account.partition}:route53:::hostedzone/{args.zone_id}",
        "route53:ChangeResourceRecordSets",
    )
    return [
        Statement(sid="Zones", actions=["route53:ListHostedZones"], resources=["*"]),
        Statement(sid="Records", actions=["route53:ListResourceRecordSets"], resources=[zone]),
        Statement(
            sid="OwnRecords",
            actions=[changed],
            resources=[zone],
            conditions={
                "ForAllValues:StringLike": {f"{changed}NormalizedRecordNames": [f"*.{args.domain}"]},
                "ForAllValues:StringEquals": {
                    f"{changed}Actions": list(ACTIONS[args.settings.policy]),
                    f"{changed}RecordTypes": list(RECORD_TYPES),
                },
            },
        ),
    ]
