"""The rules' samples as a real API server takes them, and what the real Gatekeeper says about them."""

import copy
import datetime as dt
import http.client
import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from pytest_pulumi_kubernetes import ApiError, Client, ControlPlane, Gatekeeper
from pytest_pulumi_kubernetes.kubeconfig import tls

from infra.admission.settings import GatekeeperSettings
from infra.kube.objects import JUDGED
from policies import gatekeeper, kinds, samples
from policies.settings import PolicySettings
from tests.gatekeeper import rendered_webhook

SPACE = "judged"
"""Namespace of objects whose sample names none."""
IMAGE = "registry.example/a@sha256:" + "0a" * 32
PODS = {"PodExecOptions": "exec", "PodAttachOptions": "attach"}
REFUSED = "denied the request"
SETTLE_SECONDS = 120
ABOUT_ABSENCE = ("K8S-11", "K8S-22")
"""Rules that look for images and containers that are missing: none is put into their samples."""
ANY_DAY = dt.date(2026, 1, 1)

Object = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A sample with what Kubernetes asks of such objects on top, and the constraint of its rule and parameters."""

    sample: samples.RegoSample
    objects: list[Object]
    constraint: str

    @property
    def is_left_to_the_audit(self) -> bool:
        """Whether what its rule looks for may come later than the object itself."""
        return self.sample.rule.metadata.admission == "audit"


def cases(*rules: str) -> list[Case]:
    """The samples of some rules (all, if none is named) about kinds that are judged at admission."""
    names: dict[str, list[Any]] = {}
    found = []
    for sample in samples.rego():
        if rules and sample.rule.id not in rules:
            continue
        if sample.objects[0]["kind"] in kinds.CLUSTER_SCOPED - {"Namespace"}:
            continue
        known = names.setdefault(sample.rule.id, [])
        if sample.parameters not in known:
            known.append(sample.parameters)
        objects = [_completed(each, sample.rule.id) for each in copy.deepcopy(sample.objects)]
        if sample.rule.metadata.inventory or objects[0]["kind"] == "Namespace":
            objects = [_apart(each, str(sample).lower()) for each in objects]
        found.append(Case(sample, objects, f"{sample.rule.id.lower()}-{known.index(sample.parameters)}"))
    return found


def constraint(case: Case) -> Object:
    """The constraint that a stack would have, with the parameters of the sample; it refuses, audited or not."""
    changed = {key: value for key, value in case.sample.parameters.items() if key != "exempt"}
    settings = PolicySettings(parameters={case.sample.rule.id: changed})
    made = gatekeeper.constraints(settings, [], JUDGED, "", ANY_DAY)
    found = copy.deepcopy(next(each for each in made if each["kind"] == gatekeeper.kind(case.sample.rule)))
    found["metadata"]["name"] = case.constraint
    found["spec"]["enforcementAction"] = "deny"
    return found


@contextmanager
def judging(control_plane: ControlPlane, some: Sequence[Case]) -> Iterator[Gatekeeper]:
    """Gatekeeper with the rules of some samples and the stack's webhook, over objects that were there before it.

    Nothing is rolled out meanwhile, so that no pod of a sample is found beside it. Raises: MissingToolError.
    """
    client = control_plane.client
    places = spaces(some)
    for name in places:
        client.apply(namespace(name, JUDGED))
    for name in places:
        client.wait(("v1", "ServiceAccount", "default", name), bool)  # without it no pod is admitted
    control_plane.stop_controllers()
    for case in some:
        for each in case.objects[0 if case.is_left_to_the_audit else 1 :]:
            client.apply(each)
    with Gatekeeper(control_plane, audit_interval_seconds=15) as running:
        ask(running, "Fail")
        rules = {case.sample.rule.package: case.sample.rule for case in some}.values()
        wanted = {gatekeeper.kind(rule).lower() for rule in rules}
        templates = [each for each in gatekeeper.templates() if each["metadata"]["name"] in wanted]
        for each in [*templates, gatekeeper.inventory()]:
            client.apply(each)
        constraints = {case.constraint: constraint(case) for case in some}.values()
        for each in constraints:
            _apply_once_known(client, each)
        for each in constraints:
            running.wait_for(each)
        yield running
    client.apply(namespace("default", {}))
    control_plane.reset()


def namespace(name: str, labels: Mapping[str, str]) -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": dict(labels)}}


def spaces(some: Sequence[Case]) -> list[str]:
    """Namespaces of everything in some samples."""
    found = (thing["metadata"].get("namespace") for case in some for thing in case.objects)
    return sorted({SPACE, "default", *found} - {None})


def ask(running: Gatekeeper, failure_policy: Literal["Fail", "Ignore"]) -> None:
    """Let the API server ask about what it would be told to ask about by the official chart with a stack's values."""
    settings = GatekeeperSettings(kind="gatekeeper", failure_policy=failure_policy)
    wanted = rendered_webhook(running.control_plane.tools, settings)
    target = running.client.get(
        "admissionregistration.k8s.io/v1",
        "ValidatingWebhookConfiguration",
        "gatekeeper-validating-webhook-configuration",
    )
    first, *others = target["webhooks"]
    changed = first | {key: wanted[key] for key in ("rules", "namespaceSelector", "failurePolicy")}
    running.client.patch(target, {"webhooks": [changed, *others]})


def wrong_verdicts(running: Gatekeeper, some: Sequence[Case]) -> dict[str, str]:
    """Samples that do not get their verdict by their own rule, with what was said about them.

    What the API server itself does not take, for want of a valid shape, is shown to Gatekeeper's webhook as it is.
    """
    deadline = time.monotonic() + SETTLE_SECONDS
    wrong = {}
    # What is allowed for a neighbour's sake shows that Gatekeeper has its copies of all neighbours.
    for case in sorted(some, key=lambda each: each.sample.verdict):
        while True:
            said = refusal(running.client, case.objects[0])
            if said and REFUSED not in said:
                said = reviewed(running, case.objects[0])
            agrees = (case.constraint in violated(said)) is (case.sample.verdict == "disallowed")
            if agrees or case.sample.verdict == "disallowed" or time.monotonic() > deadline:
                break
            time.sleep(0.5)
        if not agrees:
            wrong[str(case.sample)] = said
    return wrong


def missed_by_audit(running: Gatekeeper, some: Sequence[Case]) -> dict[str, list[Object]]:
    """Samples of which the audit thinks otherwise, with what it found; of rules that are left to it."""
    missed = {}
    since = time.time()
    for case in some:
        if case.is_left_to_the_audit:
            thing = case.objects[0]
            wanted = (thing["kind"], thing["metadata"].get("namespace", ""), thing["metadata"]["name"])
            found = running.violations(constraint(case), since)
            kept = {(each["kind"], each.get("namespace", ""), each["name"]) for each in found}
            if (wanted in kept) is not (case.sample.verdict == "disallowed"):
                missed[str(case.sample)] = found
    return missed


def _apply_once_known(client: Client, wanted: Object) -> None:
    """Apply a constraint as soon as Gatekeeper has made its kind."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        try:
            client.apply(wanted)
        except ApiError as error:
            if error.code != http.client.NOT_FOUND or time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return


def refusal(client: Any, thing: Object) -> str:
    """What the API server says when it is asked to take an object, in a dry run; empty where it takes it."""
    try:
        if thing["kind"] in PODS:
            path = f"/api/v1/namespaces/{SPACE}/pods/none/{PODS[thing['kind']]}"
            client.request("POST", path, query={"command": "sh", "stdin": "true"})
        else:
            client.apply(thing, dry_run=True)
    except ApiError as error:
        return "" if thing["kind"] in PODS and error.code == 404 else str(error)
    return ""


def reviewed(running: Any, thing: Object) -> str:
    """What Gatekeeper's webhook says about an object that no API server would hand to it."""
    group, _, version = thing["apiVersion"].rpartition("/")
    metadata = thing["metadata"] if isinstance(thing["metadata"], dict) else {}
    request = {
        "uid": "sample",
        "kind": {"group": group, "version": version, "kind": thing["kind"]},
        "resource": {"group": group, "version": version, "resource": f"{thing['kind'].lower()}s"},
        "name": metadata.get("name", "sample"),
        "namespace": metadata.get("namespace", SPACE),
        "operation": "CREATE",
        "userInfo": {"username": "somebody"},
        "object": thing,
    }
    review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
    authority = running.control_plane.authority.certificate.read_text()
    connection = http.client.HTTPSConnection("127.0.0.1", running.webhook_port, context=tls(authority))
    connection.request("POST", "/v1/admit", json.dumps(review), {"Content-Type": "application/json"})
    response = json.loads(connection.getresponse().read())["response"]
    connection.close()
    return "" if response["allowed"] else f"{REFUSED}: {response['status']['message']}"


def violated(said: str) -> set[str]:
    """Names of the constraints by which Gatekeeper refused."""
    return set(re.findall(r"\[([\w-]+)\] ", said)) if REFUSED in said else set()


def _apart(thing: Object, place: str) -> Object:
    """An object in a namespace of its sample's own, so that samples are no neighbours of each other."""
    metadata = thing["metadata"]
    key = "name" if thing["kind"] == "Namespace" else "namespace"
    metadata[key] = f"{place}-{metadata[key]}"
    return thing


def _completed(thing: Object, rule: str) -> Object:
    metadata = thing.setdefault("metadata", {})
    if not isinstance(metadata, dict):
        return thing
    kind, spec = thing["kind"], thing.get("spec")
    metadata.setdefault("name", "sample")
    if kind == "Namespace":
        metadata["labels"] = {**metadata.get("labels", {}), **JUDGED}
    elif kind not in kinds.CLUSTER_SCOPED:
        metadata.setdefault("namespace", "default" if rule == "K8S-21" else SPACE)
    if not isinstance(spec, dict):
        return (
            thing | _OTHERS.get(kind, {}) | {key: value for key, value in thing.items() if key in _OTHERS.get(kind, {})}
        )
    for key, value in _SPECS.get(kind, {}).items():
        spec.setdefault(key, copy.deepcopy(value))
    template = spec.get("template") if kind != "CronJob" else spec["jobTemplate"]["spec"]["template"]
    if isinstance(template, dict):
        if "selector" in _SPECS.get(kind, {}):
            labels = template.setdefault("metadata", {}).setdefault("labels", {"app": "sample"})
            spec["selector"] = {"matchLabels": labels}
        _pod(template.setdefault("spec", {}), kind, rule)
    elif kind == "Pod":
        _pod(spec, kind, rule)
    return thing


def _pod(spec: Object, kind: str, rule: str) -> None:
    if not isinstance(spec, dict) or rule in ABOUT_ABSENCE:
        return
    if kind in ("Job", "CronJob"):
        spec.setdefault("restartPolicy", "Never")
    spec.setdefault("containers", [{"name": "main"}])
    for field in ("containers", "initContainers", "ephemeralContainers"):
        for container in spec.get(field, []):
            if isinstance(container, dict):
                container.setdefault("image", IMAGE)


_SELECTED = {"selector": {}, "template": {}}
_SPECS = {
    "Deployment": _SELECTED,
    "StatefulSet": {**_SELECTED, "serviceName": "sample"},
    "DaemonSet": _SELECTED,
    "ReplicaSet": _SELECTED,
    "CronJob": {"schedule": "0 0 * * *"},
    "Service": {"ports": [{"port": 80}]},
    "LimitRange": {"limits": []},
    "AlertmanagerConfig": {},
}
_OTHERS: dict[str, Object] = {
    "RoleBinding": {"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "a"}}
}
