"""The samples that say by example what each rule allows and what it does not: its tests in every place."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml

from policies import kinds, opa
from policies.aws import types
from policies.catalogue import FOLDER, RELEASE, RegoRule, ReleaseRule, all_rules, rego_rules, release_rules
from policies.model import PolicyError, Resource
from policies.typed import TypedRule

Verdict = Literal["allowed", "disallowed"]
VERDICTS: tuple[Verdict, ...] = ("allowed", "disallowed")
PARAMETERS = "sample/parameters"
"""Annotation of a sample whose rule is to have other parameters than its defaults."""


@dataclass(frozen=True, kw_only=True)
class RegoSample:
    """Kubernetes objects, of which the first is judged."""

    rule: RegoRule
    verdict: Verdict
    number: int
    objects: list[dict[str, Any]]
    parameters: dict[str, Any]

    @property
    def document(self) -> dict[str, Any]:
        """What OPA is asked."""
        return {
            "rule": self.rule.package,
            "verdict": self.verdict,
            "input": {"review": {"object": self.objects[0]}, "parameters": self.parameters},
            "inventory": opa.inventory(self.objects),
        }

    def __str__(self) -> str:
        return f"{self.rule.id}-{self.verdict}-{self.number}"


@dataclass(frozen=True, kw_only=True)
class ReleaseSample:
    """Facts about a trained model."""

    rule: ReleaseRule
    verdict: Verdict
    number: int
    facts: dict[str, Any]

    @property
    def document(self) -> dict[str, Any]:
        """What OPA is asked."""
        return {"rule": self.rule.package, "verdict": self.verdict, "input": self.facts}

    def __str__(self) -> str:
        return f"{self.rule.id}-{self.verdict}-{self.number}"


@dataclass(frozen=True, kw_only=True)
class TypedSample:
    """Resources of a stack, of which the first is judged."""

    rule: TypedRule
    verdict: Verdict
    number: int
    resources: list[Resource]

    def __str__(self) -> str:
        return f"{self.rule.id}-{self.verdict}-{self.number}"


@cache
def rego() -> list[RegoSample]:
    """Every sample of the rules in Rego.

    Raises: PolicyError for a rule without samples of both kinds.
    """
    return [sample for rule in rego_rules().values() for verdict in VERDICTS for sample in _rego(rule, verdict)]


def _rego(rule: RegoRule, verdict: Verdict) -> Iterator[RegoSample]:
    for i, document in enumerate(_documents(rule.folder / f"{verdict}.yaml")):
        objects = [kinds.complete(each) for each in (document["items"] if document["kind"] == "List" else [document])]
        metadata = objects[0].get("metadata")
        annotations = metadata.get("annotations", {}) if isinstance(metadata, Mapping) else {}
        parameters = {**rule.metadata.parameters, **json.loads(annotations.get(PARAMETERS, "{}"))}
        yield RegoSample(rule=rule, verdict=verdict, number=i, objects=objects, parameters=parameters)


@cache
def release() -> list[ReleaseSample]:
    """Every sample of the rules on trained models: `sound.yaml`, changed at dotted paths.

    Raises: PolicyError for a rule without samples of both kinds.
    """
    sound = (RELEASE / "sound.yaml").read_text()
    return [
        ReleaseSample(rule=rule, verdict=verdict, number=i, facts=_changed(yaml.safe_load(sound), changes))
        for rule in release_rules().values()
        for verdict in VERDICTS
        for i, changes in enumerate(_documents(rule.folder / f"{verdict}.yaml"))
    ]


@cache
def challenger() -> list[dict[str, Any]]:
    """Every sample of the rule on challengers: its input and its verdict, `promote`, `refuse` or `insufficient`.

    Raises: PolicyError for a verdict without a sample.
    """
    file = RELEASE / "challenger.yaml"
    text = file.read_text()
    found = []
    for sample in yaml.safe_load(text)["samples"]:
        changes = {path: value for path, value in sample.items() if path != "verdict"}
        found.append({"verdict": sample["verdict"], "input": _changed(yaml.safe_load(text)["sound"], changes)})
    if {sample["verdict"] for sample in found} != {"promote", "refuse", "insufficient"}:
        raise PolicyError(f"{file} must show each verdict: promote, refuse and insufficient")
    return found


def _changed(facts: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    for path, value in changes.items():
        *parents, last = path.split(".")
        here = facts
        for step in parents:
            here = here[step]
        here[last] = value
    return facts


def _documents(file: Path) -> list[dict[str, Any]]:
    documents = list(yaml.safe_load_all(file.read_text())) if file.exists() else []
    if not documents or None in documents:
        raise PolicyError(f"{file} is missing or empty: a rule that nothing shows to fire may never fire")
    return documents


@cache
def typed() -> list[TypedSample]:
    """Every sample of the rules in Python.

    Raises: PolicyError for a rule without samples of both kinds.
    """
    written = {**_read(FOLDER / "aws" / "samples.yaml"), **_read(FOLDER / "stack" / "samples.yaml")}
    rules = [rule for rule in all_rules().values() if isinstance(rule, TypedRule)]
    return [
        TypedSample(rule=rule, verdict=verdict, number=i, resources=_resources(sample))
        for rule in rules
        for verdict in VERDICTS
        for i, sample in enumerate(_required(written, rule.id, verdict))
    ]


def _read(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(file.read_text())
    return found


def _required(written: Mapping[str, Any], identifier: str, verdict: Verdict) -> list[Any]:
    samples: list[Any] = written.get(identifier, {}).get(verdict, [])
    if not samples:
        raise PolicyError(f"{identifier} has no {verdict} sample: a rule that nothing shows to fire may never fire")
    return samples


def _resources(sample: list[dict[str, Any]]) -> list[Resource]:
    tokens = [getattr(types, each["type"], each["type"]) for each in sample]
    urns = [f"urn:pulumi:sample::mlplatform::{token}::sample-{i}" for i, token in enumerate(tokens)]
    return [
        Resource(
            urn=urn,
            type=token,
            name=urn.rpartition("::")[2],
            properties=each.get("properties", {}),
            secrets=frozenset(tuple(path.split(".")) for path in each.get("secrets", ())),
            depends=dict.fromkeys(each.get("depends", ()), (urns[0],)),
        )
        for each, token, urn in zip(sample, tokens, urns, strict=True)
    ]
