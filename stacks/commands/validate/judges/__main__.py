"""`python -m stacks.commands.validate.judges < declared.json`: findings as JSON.

The input has `resources`, `region` (null: nothing is on AWS) and `kubernetes` (a version such as `1.36`).
"""

import json
import sys

from stacks.commands.validate.judges import api, aws_in_memory, cloudformation, objects, policies


def main() -> None:
    """Judge, and write findings and how much was judged."""
    given = json.load(sys.stdin)
    resources, region = given["resources"], given["region"]
    found = list(objects.judge(resources, given["kubernetes"]))
    judged = {"objects of Kubernetes": objects.count(resources)}
    if region is not None:
        translated, unknown = cloudformation.translated(resources, region)
        calls, without = api.calls(resources)
        refused, counts = aws_in_memory.judge(calls, region)
        found += [*unknown, *without, *cloudformation.judge(translated, region), *policies.judge(resources)]
        found += [*api.judge(calls), *refused]
        judged |= {
            "resources of AWS": len(translated),
            "calls of AWS's API": len(calls),
            "calls in memory": counts["made"] + counts["refused"],
            "policy documents": sum(1 for each in resources for _ in policies.documents(each)),
        }
    json.dump({"findings": [each.as_dict() for each in found], "judged": judged}, sys.stdout)


if __name__ == "__main__":
    main()
