"""The verdict on a stack: every rule on every resource, at the stack's levels, less what is exempted."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from policies import builtin, catalogue, opa
from policies.exemptions import Exemption
from policies.model import Finding, Level, Resource
from policies.settings import PolicySettings
from policies.typed import Stack, TypedRule


@dataclass(frozen=True, kw_only=True)
class Violation:
    """A broken rule, and whether it fails the command."""

    finding: Finding
    level: Level


@dataclass(frozen=True, kw_only=True)
class Report:
    """What there is to say about a stack."""

    stack: str
    resources: int
    violations: Sequence[Violation] = ()
    undecided: Sequence[Finding] = ()
    exempted: Sequence[tuple[Exemption, Finding]] = field(default=())

    @property
    def failed(self) -> bool:
        """Whether a mandatory rule is broken."""
        return any(violation.level == "mandatory" for violation in self.violations)


def judge(
    resources: Sequence[Resource],
    settings: PolicySettings,
    exemptions: Sequence[Exemption],
    today: dt.date,
    *,
    stack: str = "",
) -> Report:
    """Every rule on all resources of one stack.

    Raises: PolicyError when the rules cannot be run.
    """
    typed, undecided = _typed(resources)
    rego, doubtful = opa.evaluate(opa.manifests(resources), settings.parameters)
    kept, used = _exempt([*typed, *rego], exemptions, today)
    kept += _idle(exemptions, {id(exemption) for exemption, _ in used}, stack, today)
    return Report(
        stack=stack,
        resources=len(resources),
        violations=[Violation(finding=each, level=settings.level(each.rule)) for each in _ordered(kept)],
        undecided=_ordered([*undecided, *doubtful]),
        exempted=used,
    )


def with_losses(verdict: Report, losses: Sequence[Finding], exemptions: Sequence[Exemption], today: dt.date) -> Report:
    """A verdict on resources, and on the steps that lead there; a loss is mandatory in every stack."""
    kept, used = _exempt(losses, exemptions, today)
    found = [Violation(finding=each, level="mandatory") for each in _ordered(kept)]
    return replace(verdict, violations=[*verdict.violations, *found], exempted=[*verdict.exempted, *used])


def _typed(resources: Sequence[Resource]) -> tuple[list[Finding], list[Finding]]:
    stack = Stack(resources)
    rules: dict[str, list[TypedRule]] = {}
    for rule in catalogue.all_rules().values():
        for type_token in rule.types if isinstance(rule, TypedRule) else ():
            rules.setdefault(type_token, []).append(rule)  # type: ignore[arg-type]  # the line above has looked
    violations, undecided = [], []
    for resource in resources:
        for rule in rules.get(resource.type, ()):
            found, doubtful = rule.findings(resource, stack)
            violations += found
            undecided += doubtful
    return violations, undecided


def _exempt(
    findings: Sequence[Finding], exemptions: Sequence[Exemption], today: dt.date
) -> tuple[list[Finding], list[tuple[Exemption, Finding]]]:
    kept, used = [], []
    for finding in findings:
        valid = (each for each in exemptions if each.covers(finding) and today <= each.expiry)
        exemption = next((each for each in valid if each.is_about(finding.stack)), None)
        if exemption is None:
            kept.append(finding)
        else:
            used.append((exemption, finding))
    return kept, used


def _idle(exemptions: Sequence[Exemption], used: set[int], stack: str, today: dt.date) -> list[Finding]:
    """What is wrong with exemptions that were not used here; those for steps are needed only while the step is due."""
    return [
        Finding(
            rule=builtin.EXEMPTIONS,
            resource=each.resource,
            message=f"the exemption from {each} " + ("has expired" if each.expiry < today else "exempts nothing"),
        )
        for each in exemptions
        if id(each) not in used and each.is_about(stack) and (each.rule != builtin.DESTRUCTION or each.expiry < today)
    ]


def _ordered(findings: Sequence[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda each: (each.rule, each.resource, [str(step) for step in each.path]))
