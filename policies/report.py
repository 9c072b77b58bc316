"""A verdict for people, for programs, and for code scanning."""

import json
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from policies import catalogue
from policies.catalogue import FOLDER, RegoRule
from policies.gate import Report, Violation
from policies.model import Finding

SARIF_LEVELS = {"mandatory": "error", "advisory": "warning"}
SECURITY_SEVERITIES = {"critical": "9.5", "high": "8.0", "medium": "5.5", "low": "3.0"}
"""What code scanning sorts by. Source: https://docs.github.com/en/code-security/code-scanning/integrating-with-code-scanning/sarif-support-for-code-scanning"""


def as_text(verdict: Report) -> str:
    """Grouped by rule, with what to do about it."""
    return "\n".join(_lines(verdict)) + "\n"


def _lines(verdict: Report) -> Iterator[str]:
    for rule, group in groupby(verdict.violations, key=lambda violation: violation.finding.rule):
        metadata, violations = catalogue.known(rule), list(group)
        yield f"{rule} {metadata.title} ({violations[0].level}, {metadata.severity})"
        yield from (f"  {_subject(each.finding)}: {each.finding.message}" for each in violations)
        yield f"  Fix: {metadata.fix}"
        yield f"  See: {metadata.link}"
    for exemption, finding in verdict.exempted:
        yield f"exempted: {exemption}: {finding.message}"
    for rule, undecided in groupby(verdict.undecided, key=lambda finding: finding.rule):
        found = list(undecided)
        yield f"{rule} cannot be decided before `up` in {len(found)} place(s): {_subject(found[0])}: {found[0].message}"
    mandatory = sum(violation.level == "mandatory" for violation in verdict.violations)
    yield (
        f"{len(catalogue.all_rules())} rules on {verdict.resources} resources: {mandatory} mandatory and "
        f"{len(verdict.violations) - mandatory} advisory violations, {len(verdict.exempted)} exemptions used, "
        f"{len(verdict.undecided)} places not decided"
    )


def _subject(finding: Finding) -> str:
    """What people call a resource: `Deployment tracking-server`, or `Pod/models/a` of an object without a resource."""
    if not finding.resource.startswith("urn:"):
        return finding.resource
    *_, types, name = finding.resource.split("::")
    return f"{types.rpartition(':')[2]} {name}"


def as_json(verdict: Report) -> str:
    """Everything, for `from_json` and for others."""
    return json.dumps(
        {
            "stack": verdict.stack,
            "resources": verdict.resources,
            "failed": verdict.failed,
            "violations": [
                {**_finding(each.finding), "level": each.level, "fix": catalogue.known(each.finding.rule).fix}
                for each in verdict.violations
            ],
            "undecided": [_finding(each) for each in verdict.undecided],
            "exempted": [
                {**_finding(finding), "exemption": exemption.model_dump(mode="json")}
                for exemption, finding in verdict.exempted
            ],
        },
        indent=2,
    )


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "rule": finding.rule,
        "resource": finding.resource,
        "object_id": finding.object_id,
        "path": list(finding.path),
        "message": finding.message,
    }


def from_json(text: str) -> Report:
    """The report that `as_json` wrote."""
    from policies.exemptions import Exemption  # noqa: PLC0415  only the command needs it

    given = json.loads(text)
    return Report(
        stack=given["stack"],
        resources=given["resources"],
        violations=[Violation(finding=_read(each), level=each["level"]) for each in given["violations"]],
        undecided=[_read(each) for each in given["undecided"]],
        exempted=[(Exemption.model_validate(each["exemption"]), _read(each)) for each in given["exempted"]],
    )


def _read(given: dict[str, Any]) -> Finding:
    return Finding(
        rule=given["rule"],
        resource=given["resource"],
        object_id=given["object_id"],
        path=tuple(given["path"]),
        message=given["message"],
    )


def as_sarif(verdict: Report) -> str:
    """SARIF 2.1.0: a result stands at the rule's source, and names the resource as its logical location.

    Source: https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
    """
    rules = catalogue.all_rules()
    results = [
        *(_result(each.finding, SARIF_LEVELS[each.level], []) for each in verdict.violations),
        *(
            _result(finding, "note", [{"kind": "external", "status": "accepted", "justification": str(exemption)}])
            for exemption, finding in verdict.exempted
        ),
    ]
    run = {
        "tool": {
            "driver": {
                "name": "mlplatform-policies",
                "rules": [
                    {
                        "id": rule.id,
                        "shortDescription": {"text": rule.metadata.title},
                        "help": {"text": rule.metadata.fix},
                        "helpUri": rule.metadata.link,
                        "properties": {"security-severity": SECURITY_SEVERITIES[rule.metadata.severity]},
                    }
                    for rule in rules.values()
                ],
            }
        },
        "results": results,
    }
    schema = "https://json.schemastore.org/sarif-2.1.0.json"
    return json.dumps({"$schema": schema, "version": "2.1.0", "runs": [run]}, indent=2)


def _result(finding: Finding, level: str, suppressions: list[dict[str, str]]) -> dict[str, Any]:
    rule = catalogue.all_rules()[finding.rule]
    source = rule.folder / "metadata.yaml" if isinstance(rule, RegoRule) else FOLDER
    return {
        "ruleId": finding.rule,
        "level": level,
        "message": {"text": f"{_subject(finding)}: {finding.message}"},
        "locations": [
            {
                "physicalLocation": {"artifactLocation": {"uri": str(source.relative_to(FOLDER.parent))}},
                "logicalLocations": [{"fullyQualifiedName": finding.resource}],
            }
        ],
        "suppressions": suppressions,
    }
