"""The simulated provider beside the official one: the same objects and edits, before the same real API server.

What differs stands in `official_provider.toml` with its reason; a difference that is not there fails.
"""

import base64
import tomllib

import pulumi
import pulumi_kubernetes as k8s
import pytest
from pytest_pulumi.result import OperationError
from pytest_pulumi_kubernetes import KubernetesApi

from infra.base.paths import CHECKOUT
from tests import official

pytestmark = [pytest.mark.engine, pytest.mark.cluster]

TABLE = tomllib.loads((CHECKOUT / "tests" / "contract" / "official_provider.toml").read_text())
CATEGORIES = ("version", "by design", "cannot")
LABELS = {"app": "contract"}
ENCODED = base64.b64encode(b"the-secret").decode()


def pod(**container):
    """A pod's template that nothing has to start for."""
    main = {"name": "main", "image": "example.com/app:1", **container}
    return {"metadata": {"labels": LABELS}, "spec": {"containers": [main], "restart_policy": "Never"}}


def running(**container):
    template = pod(**container)
    return {**template, "spec": {**template["spec"], "restart_policy": "Always"}}


def objects(space, opts):
    """One maker for each kind of object that the stacks have, by name; each takes what is edited."""
    meta = {"namespace": space}

    def claim(storage="1Gi", access="ReadWriteOnce"):
        spec = {"access_modes": [access], "resources": {"requests": {"storage": storage}}}
        return k8s.core.v1.PersistentVolumeClaim("claim", metadata=meta | SKIP, spec=spec, opts=opts)

    def stateful(service="stateful", history=10):
        spec = {"replicas": 0, "service_name": service, "selector": {"match_labels": LABELS}}
        spec |= {"template": running(), "revision_history_limit": history}
        return k8s.apps.v1.StatefulSet("stateful", metadata=meta | SKIP, spec=spec, opts=opts)

    def deployment(image="example.com/app:1", selector=None, **unknown):
        labels = LABELS | (selector or {})
        template = running(image=image) | {"metadata": {"labels": labels}}
        spec = {"replicas": 0, "selector": {"match_labels": labels}, "template": template, **unknown}
        return k8s.apps.v1.Deployment("deployment", metadata=meta, spec=spec, opts=opts)

    def job(image="example.com/app:1", parallelism=1):
        spec = {"template": pod(image=image), "parallelism": parallelism, "suspend": True}
        return k8s.batch.v1.Job("job", metadata=meta | SKIP, spec=spec, opts=opts)

    def schedule(at="0 3 * * *"):
        spec = {"schedule": at, "job_template": {"spec": {"template": pod()}}}
        return k8s.batch.v1.CronJob("schedule", metadata=meta, spec=spec, opts=opts)

    return {
        "settings": lambda value="a": k8s.core.v1.ConfigMap("settings", metadata=meta, data={"key": value}, opts=opts),
        "named": lambda name="one": k8s.core.v1.ConfigMap("named", metadata=meta | {"name": name}, data={}, opts=opts),
        "secret": lambda value="the-secret": k8s.core.v1.Secret(
            "secret", metadata=meta, string_data={"key": pulumi.Output.secret(value)}, opts=opts
        ),
        "account": lambda label="a": k8s.core.v1.ServiceAccount(
            "account", metadata=meta | {"labels": {"which": label}}, opts=opts
        ),
        "service": lambda port=80: k8s.core.v1.Service(
            "service", metadata=meta | SKIP, spec={"selector": LABELS, "ports": [{"port": port}]}, opts=opts
        ),
        "headless": lambda address="None": k8s.core.v1.Service(
            "headless",
            metadata=meta | SKIP,
            spec={"selector": LABELS, "ports": [{"port": 80}]} | ({"cluster_ip": address} if address else {}),
            opts=opts,
        ),
        "policy": lambda direction="Ingress": k8s.networking.v1.NetworkPolicy(
            "policy", metadata=meta, spec={"pod_selector": {}, "policy_types": [direction]}, opts=opts
        ),
        "quota": lambda pods="9", scopes=None: k8s.core.v1.ResourceQuota(
            "quota", metadata=meta, spec={"hard": {"pods": pods}} | ({"scopes": scopes} if scopes else {}), opts=opts
        ),
        "role": lambda verb="get": k8s.rbac.v1.Role(
            "role", metadata=meta, rules=[{"api_groups": [""], "resources": ["pods"], "verbs": [verb]}], opts=opts
        ),
        "binding": lambda role="view": k8s.rbac.v1.RoleBinding(
            "binding",
            metadata=meta,
            role_ref={"api_group": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            subjects=[{"kind": "ServiceAccount", "name": "default", "namespace": "default"}],
            opts=opts,
        ),
        "disruption": lambda least=1: k8s.policy.v1.PodDisruptionBudget(
            "disruption", metadata=meta, spec={"min_available": least, "selector": {"match_labels": LABELS}}, opts=opts
        ),
        "priority": lambda value=1000: k8s.scheduling.v1.PriorityClass("priority", value=value, opts=opts),
        "storage": lambda reclaim="Delete", binding="Immediate": k8s.storage.v1.StorageClass(
            "storage", provisioner="example.com/none", reclaim_policy=reclaim, volume_binding_mode=binding, opts=opts
        ),
        "claim": claim,
        "stateful": stateful,
        "deployment": deployment,
        "job": job,
        "schedule": schedule,
    }


SKIP = {"annotations": {"pulumi.com/skipAwait": "true"}}
EDITS = {
    "settings": {"value": "b"},
    "named": {"name": "two"},
    "secret": {"value": "another"},
    "account": {"label": "b"},
    "service": {"port": 81},
    "headless": {"address": ""},
    "policy": {"direction": "Egress"},
    "quota": {"pods": "8"},
    "role": {"verb": "list"},
    "binding": {"role": "edit"},
    "disruption": {"least": 2},
    "stateful": {"history": 5},
    "deployment": {"image": "example.com/app:2"},
    "job": {"image": "example.com/app:2"},
    "schedule": {"at": "0 4 * * *"},
}
MORE_EDITS = {
    "quota": {"scopes": ["BestEffort"]},
    "stateful": {"service": "other"},
    "deployment": {"selector": {"tier": "b"}},
    "job": {"parallelism": 2},
}
ALONE = (
    ("storage", {"reclaim": "Retain"}),
    ("storage", {"binding": "WaitForFirstConsumer"}),
    ("priority", {"value": 2000}),
    ("claim", {"access": "ReadWriteMany"}),
    ("claim", {"storage": "2Gi"}),
    ("deployment", {"nonsense": 1}),
)
"""Edits that an API server refuses or does not know, each in a preview of its own, which may fail."""

APPLIED = ("settings", "role", "schedule", "binding")


def program(kubeconfig, space, edits):
    def run():
        provider = k8s.Provider("cluster", kubeconfig=kubeconfig, context="admin")
        opts = pulumi.ResourceOptions(provider=provider)
        namespace = k8s.core.v1.Namespace("namespace", metadata={"name": space}, opts=opts)
        inside = pulumi.ResourceOptions(provider=provider, depends_on=[namespace])
        for name, make in objects(space, inside).items():
            make(**edits.get(name, {}))

    return run


def observed(stack, kubeconfig, client, space):
    """What one provider makes of the objects: of each edit the operation, of drift the refresh, and what is left."""
    seen = {"create": stack.up().counts}
    stack.assert_no_changes()
    for title, edits in (("edits", EDITS), ("more", MORE_EDITS)):
        stack.program = program(kubeconfig, space, edits)
        planned = stack.preview()
        seen[title] = {name: planned.step(name).op for name in edits}
    for name, edit in ALONE:
        stack.program = program(kubeconfig, space, {name: edit})
        seen[f"{name} {' '.join(edit)}"] = outcome(stack.preview, name)
    stack.program = program(
        kubeconfig, space, {name: EDITS[name] for name in ("settings", "role", "schedule", "binding")}
    )
    done = stack.up()
    seen["edited"] = {name: done.step(name).op for name in ("settings", "role", "schedule", "binding")}
    stack.assert_no_changes()
    delete_role(client, space)
    seen["deleted elsewhere"] = {step.name: step.op for step in stack.refresh().changes}
    seen["made again"] = stack.up().counts
    stack.assert_no_changes()
    edit_quota(client, space)
    seen["edited elsewhere"] = {step.name: step.op for step in stack.refresh().changes}
    seen["edited back"] = outcome(stack.up, "quota")
    seen["secret in state"] = "the-secret" in str(stack.export()) or ENCODED in str(stack.export())
    seen["destroy"] = set(stack.destroy().counts)
    seen["left"] = [found["metadata"]["name"] for found in client.list("v1", "Namespace") if space in str(found)]
    return seen


def delete_role(client, space):
    (role,) = client.list("rbac.authorization.k8s.io/v1", "Role", space)
    client.delete("rbac.authorization.k8s.io/v1", "Role", role["metadata"]["name"], space)


def edit_quota(client, space):
    """By server-side apply, as another manager of the field."""
    (quota,) = client.list("v1", "ResourceQuota", space)
    metadata = {"name": quota["metadata"]["name"], "namespace": space}
    client.apply({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": {"hard": {"pods": "1"}}})


def outcome(method, name):
    try:
        return method().step(name).op
    except OperationError:
        return "fails"


@pytest.mark.tier("official-provider")
def test_both_providers_do_the_same_but_for_the_table(pulumi_stack, kube_cluster):
    kubeconfig, client = kube_cluster.kubeconfig, kube_cluster.client
    theirs = official.stack(pulumi_stack, program(kubeconfig, "official", {}), timeout_seconds=240)
    ours = pulumi_stack(program(kubeconfig, "simulated", {}), providers=[KubernetesApi()], timeout_seconds=240)
    found = {
        "official": flat(observed(theirs, kubeconfig, client, "official")),
        "simulated": flat(observed(ours, kubeconfig, client, "simulated")),
    }
    differing = {
        key: {"official": found["official"].get(key), "simulated": found["simulated"].get(key)}
        for key in found["official"].keys() | found["simulated"].keys()
        if found["official"].get(key) != found["simulated"].get(key)
    }
    assert differing == {key: {name: row[name] for name in ("official", "simulated")} for key, row in TABLE.items()}


def test_every_row_of_the_table_has_a_category_and_a_reason():
    assert all(row["category"] in CATEGORIES and len(row["reason"]) > 20 for row in TABLE.values())


def flat(seen):
    rows = {}
    for title, value in seen.items():
        if isinstance(value, dict):
            rows |= {f"{title} {name}": str(each) for name, each in value.items()}
        else:
            rows[title] = str(sorted(value) if isinstance(value, set) else value)
    return rows
