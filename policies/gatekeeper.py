"""The rules in Rego as Gatekeeper runs them: the same files, wrapped into ConstraintTemplates and Constraints.

Cluster-scoped kinds other than Namespace are judged at preview only: controllers of others bring theirs along.
Source: https://open-policy-agent.github.io/gatekeeper/website/docs/constrainttemplates/
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from policies import kinds
from policies.catalogue import FOLDER, RegoRule, rego_rules
from policies.exemptions import Exemption
from policies.settings import PolicySettings

TARGET = "admission.k8s.gatekeeper.sh"
ACTIONS = {"mandatory": "deny", "advisory": "warn"}
AUDIT_ONLY = "dryrun"

Manifest = dict[str, Any]


def templates() -> list[Manifest]:
    """One ConstraintTemplate for each rule; the kind of its constraints exists some time after it was applied."""
    library = (FOLDER / "lib" / "k8s.rego").read_text()
    return [
        {
            "apiVersion": "templates.gatekeeper.sh/v1",
            "kind": "ConstraintTemplate",
            "metadata": {
                "name": kind(rule).lower(),
                "annotations": {"metadata.gatekeeper.sh/title": rule.metadata.title, "description": rule.metadata.fix},
            },
            "spec": {
                "crd": {
                    "spec": {
                        "names": {"kind": kind(rule)},
                        "validation": {"legacySchema": False, "openAPIV3Schema": _schema(rule)},
                    }
                },
                "targets": [
                    {
                        "target": TARGET,
                        "code": [
                            {
                                "engine": "Rego",
                                "source": {
                                    "version": "v1",
                                    "rego": (rule.folder / "rule.rego").read_text(),
                                    "libs": [library],
                                },
                            }
                        ],
                    }
                ],
            },
        }
        for rule in rego_rules().values()
    ]


def constraints(
    settings: PolicySettings,
    exemptions: Sequence[Exemption],
    namespaces: Mapping[str, str],
    stack: str,
    today: dt.date,
) -> list[Manifest]:
    """One Constraint for each rule on the namespaces with those labels: mandatory rules deny, advisory ones warn.

    A rule that looks at objects which come after the one under review is left to the audit.
    """
    exempt = [each for each in exemptions if each.is_about(stack) and today <= each.expiry]
    return [
        {
            "apiVersion": f"constraints.{kinds.GATEKEEPER}/v1beta1",
            "kind": kind(rule),
            "metadata": {"name": "mlplatform"},
            "spec": {
                "enforcementAction": _action(rule, settings),
                "match": {
                    "kinds": _kinds(rule),
                    "namespaceSelector": {"matchLabels": dict(namespaces)},
                    **({"scope": "Namespaced"} if rule.metadata.kinds in ("all", "namespaced") else {}),
                },
                "parameters": {
                    **rule.metadata.parameters,
                    **settings.parameters.get(rule.id, {}),
                    "exempt": [each.resource for each in exempt if each.rule == rule.id],
                },
            },
        }
        for rule in rego_rules().values()
    ]


def inventory() -> Manifest:
    """What Gatekeeper must keep a copy of, for the rules that look at other objects."""
    wanted = sorted({each for rule in rego_rules().values() for each in rule.metadata.inventory})
    found = [each.rpartition("/") for each in wanted]
    return {
        "apiVersion": "syncset.gatekeeper.sh/v1alpha1",
        "kind": "SyncSet",
        "metadata": {"name": "mlplatform"},
        "spec": {"gvks": [{**_group_version(version), "kind": kind_} for version, _, kind_ in found]},
    }


def kind(rule: RegoRule) -> str:
    """Kind of a rule's constraints: `K8S01Privileged` for `k8s-01-privileged`."""
    group, number, *slug = rule.folder.name.split("-")
    return group.upper() + number + "".join(part.capitalize() for part in slug)


def _action(rule: RegoRule, settings: PolicySettings) -> str:
    return AUDIT_ONLY if rule.metadata.admission == "audit" else ACTIONS[settings.level(rule.id)]


def _kinds(rule: RegoRule) -> list[dict[str, list[str]]]:
    named = kinds.GROUPS[rule.metadata.kinds]
    if named == ("*",):
        return [{"apiGroups": ["*"], "kinds": ["*"]}]
    groups: dict[str, list[str]] = {}
    for each in named:
        if each == "Namespace" or each not in kinds.CLUSTER_SCOPED:
            groups.setdefault(kinds.API_VERSIONS[each].rpartition("/")[0], []).append(each)
    return [{"apiGroups": [group], "kinds": names} for group, names in groups.items()]


def _group_version(api_version: str) -> dict[str, str]:
    group, _, version = api_version.rpartition("/")
    return {"group": group, "version": version}


def _schema(rule: RegoRule) -> Manifest:
    properties = {name: _type(default) for name, default in rule.metadata.parameters.items()}
    return {"type": "object", "properties": {**properties, "exempt": _type([])}}


def _type(default: Any) -> Manifest:
    if isinstance(default, list):
        return {"type": "array", "items": {"type": "string"}}
    return {"type": {bool: "boolean", int: "integer", str: "string"}[type(default)]}
