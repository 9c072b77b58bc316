"""`python -m stacks.commands.validate.judges < declared.json`: findings as JSON.

The input has `resources`, `region` (null: nothing is on AWS) and `kubernetes` (a version such as `1.36`).
"""

import json
import sys
from collections.abc import Iterator
from typing import Any

from stacks.commands.validate.judges import objects
from stacks.commands.validate.judges.findings import Finding


def main() -> None:
    """Judge, and write findings and how much was judged."""
    given = json.load(sys.stdin)
    resources, region = given["resources"], given["region"]
    judged = {"objects of Kubernetes": objects.count(resources)}
    found = [*objects.judge(resources, given["kubernetes"]), *(_on_aws(resources, region, judged) if region else ())]
    json.dump({"findings": [each.as_dict() for each in found], "judged": judged}, sys.stdout)


def _on_aws(resources: list[dict[str, Any]], region: str, judged: dict[str, int]) -> Iterator[Finding]:
    """Findings of the validators of AWS, whose imports take two seconds of CPU; adds to `judged`."""
    from stacks.commands.validate.judges import api, aws_in_memory, cloudformation, policies  # noqa: PLC0415

    translated, unknown = cloudformation.translated(resources, region)
    calls, without = api.calls(resources)
    refused, counts = aws_in_memory.judge(calls, region)
    judged |= {
        "resources of AWS": len(translated),
        "calls of AWS's API": len(calls),
        "calls in memory": counts["made"] + counts["refused"],
        "policy documents": sum(1 for each in resources for _ in policies.documents(each)),
    }
    yield from (*unknown, *without, *cloudformation.judge(translated, region), *policies.judge(resources))
    yield from (*api.judge(calls), *refused)


if __name__ == "__main__":
    main()
