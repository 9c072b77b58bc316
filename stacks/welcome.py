"""`python -m stacks.welcome`: the last lines of `make up`, with the endpoints and a request with its answer.

Reads the stack's outputs as JSON from standard input (`pulumi stack output --json`).
"""

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping

SAMPLE = {"instances": [[45, 72000, 680, 3]]}
"""Age in years, monthly income, credit score, open accounts."""
TIMEOUT_SECONDS = 10


def lines(outputs: Mapping[str, str]) -> list[str]:
    """What a person sees: one line for each output, then a `curl` to paste and what it answers now."""
    width = max(map(len, outputs), default=0)
    listed = [f"  {name:<{width}}  {value}" for name, value in sorted(outputs.items())]
    url = outputs.get("prediction_url")
    if url is None:
        return listed
    body = json.dumps(SAMPLE)
    curl = f"curl -s {url} -H 'Content-Type: application/json' -d '{body}'"
    return [*listed, "", "Try it:", f"  {curl}", f"  {answer(url, body)}"]


def answer(url: str, body: str) -> str:
    """The server's answer to `body`, or why there is none."""
    request = urllib.request.Request(url, body.encode(), {"Content-Type": "application/json"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310
            return str(response.read().decode())
    except urllib.error.HTTPError as error:
        return f"HTTP {error.code}: {error.read().decode(errors='replace')}"
    except OSError as error:
        return f"no answer: {error}; see `make outputs` and the logs"


if __name__ == "__main__":
    given = sys.stdin.read()
    if not given:
        sys.exit(1)  # the command that should have given the outputs said why it did not
    sys.stdout.write("\n".join(["", "Endpoints:", *lines(json.loads(given)), ""]))
