"""`python -m stacks.commands.validate --stack prod`: validators of others judge what STACK declares.

AWS's resource schemas (cfn-lint), botocore's models, moto, policy_sentry and parliament judge what is made on AWS,
Kubernetes' own schemas and checkov what is made on the cluster. No account and no cluster is asked. Exits with 1 when
something is found that `exceptions.toml` does not name.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from stacks import settings
from stacks.commands.validate import declared, judging, security, verdict


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge, and print what is found."""
    parser = argparse.ArgumentParser(prog="python -m stacks.commands.validate", description=__doc__)
    parser.add_argument("--stack", required=True)
    parser.add_argument("--json", type=Path, help="file for every finding, excepted ones too")
    given = parser.parse_args(arguments)
    try:
        read = settings.read(given.stack)
        if (chosen := read.on_cluster) is None:
            sys.stdout.write(f"{given.stack} makes nothing on AWS or Kubernetes: nothing to validate\n")
            return 0
        resources = declared.resources(read, given.stack)
        found, judged = judging.judge(resources, chosen.region, chosen.kubernetes_version or declared.KUBERNETES)
        insecure, checked = security.judge(resources)
    except (settings.StackFileError, judging.ValidatorsError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    found, judged = [*found, *insecure], {**judged, **checked}
    refused = verdict.refused(found)
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps({"judged": judged, "findings": found}, indent=2))
    for each in refused:
        sys.stdout.write(f"{each['judge']} {each['rule']}: {each['where']}: {each['message']}\n")
    counts = ", ".join(f"{count} {what}" for what, count in judged.items())
    sys.stdout.write(f"{given.stack}: {counts} judged; {len(refused)} refused, {len(found) - len(refused)} excepted\n")
    return int(bool(refused))


if __name__ == "__main__":
    sys.exit(main())
