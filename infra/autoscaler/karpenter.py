"""Autoscaler on AWS: Karpenter, with the queue that tells it of instances that AWS is about to take back."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_aws import cloudwatch, eks, iam, kms, sqs
from pulumi_kubernetes.helm.v3 import Release

from infra.autoscaler.karpenter_policy import statements
from infra.autoscaler.settings import KarpenterSettings
from infra.aws.account import Statement, policy
from infra.aws.eks_nodes import node_role, volumes_key
from infra.aws.substrate import Aws, Bound
from infra.base.resources import Resources
from infra.kube import charts

NAMESPACE, SERVICE_ACCOUNT = "kube-system", "karpenter"
CONTROLLER = Resources(cpu_millicores=1000, cpu_limit_millicores=1000, memory_mib=1024)
SPOT = "spot.amazonaws.com/AWSServiceRoleForEC2Spot"
EVENTS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "health": {"source": ["aws.health"], "detail-type": ["AWS Health Event"]},
    "spot": {"source": ["aws.ec2"], "detail-type": ["EC2 Spot Instance Interruption Warning"]},
    "state": {"source": ["aws.ec2"], "detail-type": ["EC2 Instance State-change Notification"]},
}
"""Events that make Karpenter drain a node. Recommendations to rebalance are left out: it cordons without draining."""


@dataclass(frozen=True, kw_only=True)
class KarpenterArgs:
    """The settings, and what other components hand over."""

    settings: KarpenterSettings

    substrate: Aws


class Karpenter(pulumi.ComponentResource):
    """Karpenter's controller on the system nodes, its rights, its queue, and the role of the nodes that it starts.

    Realizes `infra.autoscaler.Autoscaler`.
    Source: https://karpenter.sh/docs/getting-started/getting-started-with-karpenter/
    """

    instance_profile: pulumi.Output[str] | None

    volumes_key_arn: pulumi.Output[str] | None

    ready: Sequence[pulumi.Resource]

    def __init__(self, name: str, args: KarpenterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:Karpenter", name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        account, cluster = args.substrate.account, args.substrate.cluster
        carried, node_policies = node_role(f"{name}-node-role", account, self._child)
        profile = iam.InstanceProfile(f"{name}-node-profile", path=account.path, role=carried.name, opts=self._child)
        entry = eks.AccessEntry(
            f"{name}-nodes",
            cluster_name=cluster.name,
            principal_arn=carried.arn,
            type="EC2_LINUX",
            opts=self._child,
        )
        key = volumes_key(f"{name}-volumes-key", account, self._child, SPOT)
        queue, told = self._queue()
        bound = self._rights(carried, queue, key)
        controller = self._controller(queue, bound, told)

        self.instance_profile = profile.name
        self.volumes_key_arn = key.arn
        self.ready = [controller, entry, *node_policies]
        self.register_outputs({"instance_profile": self.instance_profile, "volumes_key_arn": self.volumes_key_arn})

    def _queue(self) -> tuple[sqs.Queue, list[pulumi.Resource]]:
        name = f"{self._name}-interruptions"
        queue = sqs.Queue(name, message_retention_seconds=300, sqs_managed_sse_enabled=True, opts=self._child)
        rules = {
            kind: cloudwatch.EventRule(f"{name}-{kind}", event_pattern=json.dumps(pattern), opts=self._child)
            for kind, pattern in EVENTS.items()
        }
        # Source: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html
        sender = Statement(
            sid="Events",
            actions=["sqs:SendMessage"],
            resources=[queue.arn],
            principals={"Service": ["events.amazonaws.com"]},
            conditions={"ArnEquals": {"aws:SourceArn": [rule.arn for rule in rules.values()]}},
        )
        plain = Statement(
            sid="NoPlainHttp",
            effect="Deny",
            actions=["sqs:*"],
            resources=[queue.arn],
            principals={"AWS": ["*"]},
            conditions={"Bool": {"aws:SecureTransport": "false"}},
        )
        told: list[pulumi.Resource] = [
            sqs.QueuePolicy(f"{name}-policy", queue_url=queue.id, policy=policy(sender, plain), opts=self._child)
        ]
        for kind, rule in rules.items():
            told.append(
                # By a name of its own it is there once, however often it is made.
                cloudwatch.EventTarget(
                    f"{name}-{kind}-target", rule=rule.name, target_id="queue", arn=queue.arn, opts=self._child
                )
            )
        return queue, told

    def _rights(self, node: iam.Role, queue: sqs.Queue, key: kms.Key) -> Bound:
        substrate = self._args.substrate
        account, cluster, roles = substrate.account, substrate.cluster, substrate.identity
        trust = roles.trust(NAMESPACE, SERVICE_ACCOUNT)
        acting = iam.Role(f"{self._name}-role", path=account.path, assume_role_policy=trust, opts=self._child)
        document: pulumi.Output[str] = cluster.name.apply(
            lambda called: policy(*statements(account, called, node.arn, queue.arn, key.arn))
        )
        rights = iam.RolePolicy(f"{self._name}-role-policy", role=acting.name, policy=document, opts=self._child)
        bound = roles.bind(f"{self._name}-binding", acting, NAMESPACE, SERVICE_ACCOUNT, self._child)
        return Bound(annotations=bound.annotations, ready=[rights, *bound.ready])

    def _controller(self, queue: sqs.Queue, bound: Bound, needs: Sequence[pulumi.Resource]) -> Release:
        system = self._args.substrate.kubernetes.within(pulumi.Output.from_input(NAMESPACE))
        types = charts.release(f"{self._name}-crd", charts.KARPENTER_CRDS, {}, system, self._child)
        values: dict[str, Any] = {
            "settings.clusterName": self._args.substrate.cluster.name,
            "settings.interruptionQueue": queue.name,
            "serviceAccount.name": SERVICE_ACCOUNT,
            **({"serviceAccount.annotations": dict(bound.annotations)} if bound.annotations else {}),
            "controller.resources": charts.container(CONTROLLER),
            "nodeSelector": {"mlplatform.dev/pool": "system"},
        }
        opts = pulumi.ResourceOptions(parent=self, depends_on=[types, *bound.ready, *needs])
        return charts.release(self._name, charts.KARPENTER, values, system, opts)
