"""`python -m stacks.welcome --stack NAME`: the last lines of `make up`: endpoints, and a request with its answer.

Reads the stack's outputs as JSON from standard input (`pulumi stack output --json`). On the stack `local` an example
request that is not answered makes the exit status 1; on a cluster the URL may be out of this machine's reach, or behind
a login, so that the answer is only shown.
"""

import argparse
import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from http import HTTPStatus

SAMPLE = {"instances": [[45, 72000, 680, 3]]}
"""Age in years, monthly income, credit score, open accounts."""
TIMEOUT_SECONDS = 10
WAIT_SECONDS = 30.0
"""How long the model server of the stack `local` may take to answer: a restarted one is live before it has a model."""
PAUSE_SECONDS = 0.5
AWAY = {HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}


class UnansweredError(Exception):
    """The example request got no prediction; the text is the server's own sentence, or why there is none."""

    def __init__(self, text: str, *, may_change: bool) -> None:
        super().__init__(text)
        self.may_change = may_change
        """Whether another attempt may be answered."""


def lines(outputs: Mapping[str, str]) -> list[str]:
    """One line for each output, then a `curl` to paste, if the stack serves a model."""
    width = max(map(len, outputs), default=0)
    listed = [f"  {name:<{width}}  {value}" for name, value in sorted(outputs.items())]
    url = outputs.get("prediction_url")
    if url is None:
        return listed
    curl = f"curl -s {url} -H 'Content-Type: application/json' -d '{json.dumps(SAMPLE)}'"
    return [*listed, "", "Try it:", f"  {curl}"]


def answer(url: str, wait_seconds: float) -> str:
    """The server's answer to the sample; a server that is away is asked again for `wait_seconds`.

    Raises: UnansweredError.
    """
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            return _ask(url)
        except UnansweredError as error:
            if not error.may_change or time.monotonic() > deadline:
                raise
        time.sleep(PAUSE_SECONDS)


def _ask(url: str) -> str:
    body = json.dumps(SAMPLE).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310
            return str(response.read().decode())
    except urllib.error.HTTPError as error:
        text = error.read().decode(errors="replace")
        raise UnansweredError(f"HTTP {error.code}: {text}", may_change=error.code in AWAY) from error
    except OSError as error:
        raise UnansweredError(f"no answer: {error}", may_change=True) from error


def main() -> int:
    """Print the lines; exit status 1 when the stack `local` does not answer."""
    parser = argparse.ArgumentParser(prog="python -m stacks.welcome", description=__doc__)
    parser.add_argument("--stack", required=True)
    here = parser.parse_args().stack == "local"
    given = sys.stdin.read()
    if not given:
        return 1  # the command that should have given the outputs said why it did not
    outputs = json.loads(given)
    sys.stdout.write("\n".join(["", "Endpoints:", *lines(outputs), ""]))
    sys.stdout.flush()
    url = outputs.get("prediction_url")
    if url is None:
        return 0
    try:
        sys.stdout.write(f"  {answer(url, WAIT_SECONDS if here else 0)}\n")
    except UnansweredError as error:
        sys.stdout.write(f"  {error}\n")
        if here:
            sys.stderr.write(
                f"error: the stack is up, but its model server does not answer the example request ({error}): "
                "`make doctor` names the cause and the remedy\n"
            )
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
