"""The last lines of `make up`: endpoints, and a request with its answer.

Run as `python -m stacks.commands.welcome --stack NAME`.
Reads the stack's outputs as JSON from standard input (`pulumi stack output --json`). On the stack `local` an example
request that is not answered makes the exit status 1; on a cluster the URL may be out of this machine's reach, or behind
a login, so that the answer is only shown.
"""

import argparse
import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from workloads.lifecycle import discovery

ADDRESSES = ("_url", "_uri")
"""Endings of the outputs that are shown; `make outputs` has the others, `make credentials` the secrets."""

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


@dataclass(frozen=True)
class Example:
    """A request that a workload's definition gives."""

    url: str

    body: str
    """JSON."""

    @property
    def curl(self) -> str:
        """The request, to paste."""
        return f"curl -s {self.url} -H 'Content-Type: application/json' -d '{self.body}'"


def examples(outputs: Mapping[str, Any]) -> list[Example]:
    """One for each workload that the stack serves."""
    return [
        Example(
            url=outputs["endpoints"][name]["prediction_url"],
            body=json.dumps({"instances": [discovery.find(reference).example]}),
        )
        for name, reference in outputs.get("workloads", {}).items()
    ]


def lines(outputs: Mapping[str, Any]) -> list[str]:
    """One line for each address of the default workload and the platform, then for each one of other workloads."""
    flat = {name: value for name, value in outputs.items() if isinstance(value, str) and name.endswith(ADDRESSES)}
    shown = set(flat.values())
    others = {
        f"{workload}.{name}": url
        for workload, endpoints in outputs.get("endpoints", {}).items()
        for name, url in endpoints.items()
        if url not in shown
    }
    width = max(map(len, [*flat, *others]), default=0)
    return [f"  {name:<{width}}  {value}" for name, value in [*sorted(flat.items()), *others.items()]]


def answer(example: Example, wait_seconds: float) -> str:
    """The server's answer to the example; a server that is away is asked again for `wait_seconds`.

    Raises: UnansweredError.
    """
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            return _ask(example)
        except UnansweredError as error:
            if not error.may_change or time.monotonic() > deadline:
                raise
        time.sleep(PAUSE_SECONDS)


def _ask(example: Example) -> str:
    body = example.body.encode()
    request = urllib.request.Request(example.url, body, {"Content-Type": "application/json"})  # noqa: S310
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
    parser = argparse.ArgumentParser(prog="python -m stacks.commands.welcome", description=__doc__)
    parser.add_argument("--stack", required=True)
    here = parser.parse_args().stack == "local"
    given = sys.stdin.read()
    if not given:
        return 1  # the command that should have given the outputs said why it did not
    outputs = json.loads(given)
    try:
        sys.stdout.write("\n".join(["", "Endpoints:", *lines(outputs), ""]))
        answered = [_shown(example, here=here) for example in examples(outputs)]
    except BrokenPipeError:  # the reader, such as `head`, has what it wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return 0 if all(answered) or not here else 1


def _shown(example: Example, *, here: bool) -> bool:
    """Print a request and its answer; says whether it was answered."""
    sys.stdout.write(f"\nTry it:\n  {example.curl}\n")
    sys.stdout.flush()
    try:
        sys.stdout.write(f"  {answer(example, WAIT_SECONDS if here else 0)}\n")
    except UnansweredError as error:
        sys.stdout.write(f"  {error}\n")
        if here:
            sys.stderr.write(
                f"error: the stack is up, but its model server does not answer the example request ({error}): "
                "`make doctor` names the cause and the remedy\n"
            )
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
