"""NetworkPolicies as rules of nftables, and a thread that keeps a node's rules as the API server has the policies.

Written for a test's single node, where every pod of the cluster is: addresses of pods are looked up anew in each round,
so a policy takes effect up to half a second after a pod got its address, and a pod is open until then. Connections that
exist stay. What the node itself sends to its pods, such as probes, is never dropped.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pytest_pulumi_kubernetes.client import ApiError, UnreachableError
from pytest_pulumi_kubernetes.processes import ClusterError
from pytest_pulumi_kubernetes.rounds import Rounds

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pytest_pulumi_kubernetes.client import Client, Object
    from pytest_pulumi_kubernetes.enclosure import Enclosure

TABLE: Final = "pytest_network_policies"
_PERIOD_SECONDS = 0.3
_DIRECTIONS = {"Ingress": ("from", "saddr", "daddr"), "Egress": ("to", "daddr", "saddr")}
"""Direction -> key of a rule's peers, side of the packet where the peer is, side where the pod is."""


class NetworkRules:
    """A thread that compiles policies, pods and namespaces and replaces the node's rules when they differ."""

    def __init__(self, client: Client, enclosure: Enclosure) -> None:
        self.problems: set[str] = set()
        """What went wrong in its rounds; empty unless something is wrong here."""

        self.rounds = Rounds()

        self._client, self._enclosure = client, enclosure
        self._current = ""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pytest-pulumi-network", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread; the rules stay."""
        self._ended.set()
        self._thread.join()
        self._client.close()

    def _run(self) -> None:
        while not self._ended.wait(_PERIOD_SECONDS):
            self.rounds.begin()
            try:
                wanted = compiled(
                    self._client.list("networking.k8s.io/v1", "NetworkPolicy"),
                    self._client.list("v1", "Pod"),
                    self._client.list("v1", "Namespace"),
                )
                if wanted != self._current:
                    self._enclosure.run("nft", "-f", "-", text=wanted)
                    self._current = wanted
                self.rounds.complete()
            except UnreachableError:
                continue  # stopped by the test
            except (ApiError, ClusterError) as error:
                if not self._ended.is_set():
                    self.problems.add(str(error))


def compiled(policies: Sequence[Object], pods: Sequence[Object], namespaces: Sequence[Object]) -> str:
    """Compile policies to a script for `nft -f`, which replaces the table in one transaction.

    Source: https://kubernetes.io/docs/concepts/services-networking/network-policies/
    """
    cluster = _Cluster(pods, namespaces)
    chains, jumps = [], []
    for number, pod in enumerate(cluster.pods):
        for direction, (peers, other, own) in _DIRECTIONS.items():
            selecting = [policy for policy in policies if _selects(policy, pod, direction)]
            if not selecting:
                continue
            chain = f"pod{number}_{direction.lower()}"
            accepts = [
                line
                for policy in selecting
                for rule in policy["spec"].get(direction.lower()) or ()
                for line in _accepts(
                    _Rule(rule, rule.get(peers) or (), policy["metadata"]["namespace"]),
                    other,
                    cluster,
                    pod if direction == "Ingress" else None,
                )
            ]
            chains += [f" chain {chain} {{", *(f"  {line} return" for line in accepts), "  counter drop", " }"]
            jumps.append(f"  ip {own} {_address(pod)} jump {chain}")
    return "\n".join(
        [
            f"table inet {TABLE} {{ }}",
            f"delete table inet {TABLE}",
            f"table inet {TABLE} {{",
            *chains,
            " chain forward {",
            "  type filter hook forward priority 10; policy accept;",
            "  ct state established,related accept",
            *jumps,
            " }",
            " chain input {",
            "  type filter hook input priority 10; policy accept;",
            "  ct state established,related accept",
            *(jump for jump in jumps if "saddr" in jump),
            " }",
            "}",
            "",
        ]
    )


class _Cluster:
    """Pods that have an address, and labels of namespaces."""

    def __init__(self, pods: Iterable[Object], namespaces: Iterable[Object]) -> None:
        self.pods = sorted((pod for pod in pods if _counts(pod)), key=lambda pod: str(pod["metadata"]["uid"]))
        self._labels = {each["metadata"]["name"]: _labels(each) for each in namespaces}

    def addresses(self, peer: Object, namespace: str) -> list[str]:
        """Give the addresses of the pods that a peer selects, seen from a policy's namespace."""
        found = []
        for pod in self.pods:
            where = pod["metadata"]["namespace"]
            if "namespaceSelector" in peer:
                if not matches(peer["namespaceSelector"], self._labels.get(where, {})):
                    continue
            elif where != namespace:
                continue
            if "podSelector" not in peer or matches(peer["podSelector"], _labels(pod)):
                found.append(_address(pod))
        return sorted(found)


def _counts(pod: Object) -> bool:
    status = pod.get("status", {})
    running = status.get("phase") in ("Pending", "Running")
    return bool(status.get("podIP")) and running and not pod["spec"].get("hostNetwork")


def _selects(policy: Object, pod: Object, direction: str) -> bool:
    spec = policy["spec"]
    return (
        policy["metadata"]["namespace"] == pod["metadata"]["namespace"]
        and direction in (spec.get("policyTypes") or ["Ingress"])
        and matches(spec.get("podSelector") or {}, _labels(pod))
    )


@dataclass(frozen=True)
class _Rule:
    """One rule of a policy."""

    content: Object
    peers: Sequence[Object]
    """Empty: everybody."""
    namespace: str
    """The policy's."""


def _accepts(rule: _Rule, side: str, cluster: _Cluster, server: Object | None) -> Iterator[str]:
    """Conditions under which a rule lets a packet pass; `server` is the pod whose named ports are meant."""
    for port in _ports(rule.content, server):
        if not rule.peers:
            yield port
            continue
        for peer in rule.peers:
            if "ipBlock" in peer:
                block = peer["ipBlock"]
                excluded = f" ip {side} != {{ {', '.join(block['except'])} }}" if block.get("except") else ""
                yield f"ip {side} {block['cidr']}{excluded} {port}".rstrip()
            elif addresses := cluster.addresses(peer, rule.namespace):
                yield f"ip {side} {{ {', '.join(addresses)} }} {port}".rstrip()


def _ports(rule: Object, server: Object | None) -> Iterator[str]:
    """Conditions on the port: one empty one where a rule names none, none at all for a named port that is unknown."""
    if not rule.get("ports"):
        yield ""
    for each in rule.get("ports") or ():
        protocol, port = each.get("protocol", "TCP").lower(), each.get("port")
        if port is None:
            yield f"meta l4proto {protocol}"
            continue
        number = _named_port(port, server) if isinstance(port, str) else port
        if number is not None:
            yield (
                f"{protocol} dport {number}-{each['endPort']}" if each.get("endPort") else f"{protocol} dport {number}"
            )


def _named_port(name: str, server: Object | None) -> int | None:
    for container in server["spec"]["containers"] if server else ():
        for port in container.get("ports") or ():
            if port.get("name") == name:
                return int(port["containerPort"])
    return None


def matches(selector: Object, labels: Mapping[str, str]) -> bool:
    """Whether a label selector takes an object with these labels; an empty one takes all."""
    exact = all(labels.get(key) == value for key, value in (selector.get("matchLabels") or {}).items())
    return exact and all(_expressed(each, labels) for each in selector.get("matchExpressions") or ())


def _expressed(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    value, values = labels.get(expression["key"]), expression.get("values") or ()
    match expression["operator"]:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case _:
            return value is None


def _labels(item: Object) -> Mapping[str, str]:
    return item["metadata"].get("labels") or {}


def _address(pod: Object) -> str:
    return str(pod["status"]["podIP"])
