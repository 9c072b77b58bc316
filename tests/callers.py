"""Who may call which server of a stack, and which credentials each program is given: lines of a table, from the graph.

On clusters from the network policies, the pods' labels and their Secrets; on `local`, where nothing stands between
processes, from the addresses and secrets that each is told. Leaves out the pods of charts, which no graph shows: their
selectors are lines themselves.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from infra.kube.objects import LABEL_PREFIX

POD_OWNERS = {
    "Deployment": "spec.template",
    "StatefulSet": "spec.template",
    "DaemonSet": "spec.template",
    "Job": "spec.template",
    "CronJob": "spec.jobTemplate.spec.template",
    "InferenceService": "spec.predictor",
}
ANYBODY = "anybody"
Pods = list[tuple[str, str, dict[str, str], dict[str, Any]]]
"""Name, namespace, labels and specification of the pods of everything that makes pods."""


def table(graph: Any) -> str:
    """Lines `server :ports <- caller`, `caller has CREDENTIAL`, and on clusters `Secret holds CREDENTIAL`, sorted."""
    on_cluster = bool(graph.all("NetworkPolicy"))
    lines = {*_paths(graph), *_held(graph)} if on_cluster else {*_addresses(graph), *_told(graph)}
    return "\n".join(sorted(lines)) + "\n"


def _pods(graph: Any) -> Pods:
    found = []
    for kind, path in POD_OWNERS.items():
        for each in graph.all(kind):
            ours = kind == "InferenceService"
            labels = each.get(f"{path}.labels" if ours else f"{path}.metadata.labels", {})
            found.append(
                (each.name, each.get("metadata.namespace"), labels, each.get(path if ours else f"{path}.spec"))
            )
    return found


def _matches(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    found = selector or {}
    for each in found.get("matchExpressions") or []:
        present, among = each["key"] in labels, labels.get(each["key"]) in each.get("values", [])
        if not {"Exists": present, "DoesNotExist": not present, "In": among, "NotIn": not among}[each["operator"]]:
            return False
    return all(labels.get(key) == value for key, value in (found.get("matchLabels") or {}).items())


def _shown(selector: Mapping[str, Any] | None) -> str:
    found = selector or {}
    wanted = [f"{key}={value}" for key, value in (found.get("matchLabels") or {}).items()]
    expressions = found.get("matchExpressions") or []
    wanted += [" ".join([each["key"], each["operator"], *each.get("values", [])]) for each in expressions]
    return ", ".join(sorted(wanted)).replace(f"{LABEL_PREFIX}/", "") or "any labels"


def _paths(graph: Any) -> Iterator[str]:
    pods = _pods(graph)
    spaces = {each.get("metadata.name"): each.get("metadata.labels", {}) or {} for each in graph.all("Namespace")}
    for policy in graph.all("NetworkPolicy"):
        space, selector = policy.get("metadata.namespace"), policy.get("spec.podSelector", {})
        servers = [name for name, where, labels, _ in pods if where == space and _matches(selector, labels)]
        for rule in policy.get("spec.ingress", None) or []:
            ports = ",".join(str(each.get("port", "any")) for each in rule.get("ports") or []) or "any"
            callers = [caller for peer in rule.get("from") or [{}] for caller in _callers(peer, space, pods, spaces)]
            for server in servers or [f"pods of {space} with {_shown(selector)}"]:
                yield from (f"{server} :{ports} <- {caller}" for caller in callers)


def _callers(peer: Mapping[str, Any], space: str, pods: Pods, spaces: Mapping[str, Mapping[str, str]]) -> list[str]:
    if not peer or "ipBlock" in peer:
        return [f"addresses {peer['ipBlock']['cidr']}" if peer else ANYBODY]
    selector, of_spaces = peer.get("podSelector"), peer.get("namespaceSelector")
    admitted = (
        {space}
        if of_spaces is None
        else {
            name
            for name, labels in spaces.items()
            if _matches(of_spaces, {"kubernetes.io/metadata.name": name, **labels})
        }
    )
    found = [name for name, where, labels, _ in pods if where in admitted and _matches(selector, labels)]
    where = space if of_spaces is None else f"namespaces with {_shown(of_spaces)}"
    wide = not selector or of_spaces == {}
    return [*found, *([f"pods of {where} with {_shown(selector)}"] if wide or not found else [])]


def _held(graph: Any) -> Iterator[str]:
    folders = _folders(graph)
    for secret in graph.all("kubernetes:core/v1:Secret"):
        values = secret.get("stringData", {})
        where = f"Secret {secret.name} of {secret.get('metadata.namespace')}"
        yield from (f"{where} holds {name}" for name in values)
        if (folder := folders.get(values.get("AWS_ACCESS_KEY_ID", ""))) is not None:
            yield f"{where} reaches {folder} in the artifact store"
    for name, _, _, spec in _pods(graph):
        for container in [*spec.get("initContainers", []), *spec["containers"]]:
            for variable in container.get("env", []):
                if "secretKeyRef" in variable.get("valueFrom", {}):
                    yield f"{name} has {variable['name']}"
        for volume in spec.get("volumes", []):
            if "secret" in volume:
                yield f"{name} has the files of {re.sub('-[0-9a-f]{7,8}$', '', volume['secret']['secretName'])}"


def _folders(graph: Any) -> dict[str, str]:
    """Folder of the artifact store by the key of the account that reaches it, where the stack runs the store."""
    policies = [each.get("stringData", {}).get("policy.json") for each in graph.all("kubernetes:core/v1:Secret")]
    return {
        key: resource.partition(":::")[2]
        for policy in filter(None, policies)
        for statement in json.loads(policy)["Statement"]
        for resource in statement["Resource"]
        if resource.endswith("*")
        for key in statement["Principal"]["AWS"]
    }


def _started(graph: Any) -> list[Any]:
    return [*graph.all("host:index:Process"), *graph.all("host:index:Job")]


def _addresses(graph: Any) -> Iterator[str]:
    serving = {str(port): each.name for each in graph.all("host:index:Process") for port in each.get("ports", []) or []}
    files = [(each.name, each.get("content")) for each in graph.all("host:index:File")]
    told = [(each.name, json.dumps([each.get("command"), each.get("environment", {})])) for each in _started(graph)]
    for caller, text in [*told, *files]:
        for port, server in serving.items():
            if server != caller and re.search(rf"127\.0\.0\.1:{port}\b", text):
                yield f"{server} <- {caller}"


def _told(graph: Any) -> Iterator[str]:
    for each in _started(graph):
        for variable in each.get("environment", {}) or {}:
            if each.is_secret(f"environment.{variable}"):
                yield f"{each.name} has {variable}"
    for each in graph.all("host:index:File"):
        if each.secret_inputs:
            yield f"{each.name} is secret"
