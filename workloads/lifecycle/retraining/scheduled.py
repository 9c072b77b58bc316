"""`python -m workloads.lifecycle.retraining.scheduled`: asks the retraining service for a retrain, as a timer does.

The service alone promotes, so that a timer's retrain takes the ledger's one running place, is judged against the
champion, and is watched and taken back like every other one.
"""

import httpx

from workloads.lifecycle.base.environment import Environment, load
from workloads.lifecycle.base.errors import WorkloadError, run_command
from workloads.lifecycle.base.servers import wait_for_retraining
from workloads.lifecycle.retraining.bearer import token

REASON = "asked for by schedule"
_SECONDS = 90.0


def ask(environment: Environment) -> str:
    """Queue a retrain, once the service answers; returns what the service said.

    One that waits already is as good. Raises WorkloadError when the service stays away or refuses.
    """
    url = environment.need("retrain_url")
    wait_for_retraining(environment)
    headers = {"authorization": f"Bearer {token(environment)}"}
    try:
        answer = httpx.post(url, json={"reason": REASON}, headers=headers, timeout=_SECONDS)
    except httpx.HTTPError as error:
        raise WorkloadError(f"the retraining service at {url} does not answer: {error}") from error
    if answer.is_error and answer.status_code != httpx.codes.CONFLICT:
        raise WorkloadError(f"{url}: {answer.status_code}: {answer.text[:300]}")
    return answer.text


def main() -> None:
    """Command: one request, its answer on standard output."""
    print(ask(load()))


if __name__ == "__main__":
    run_command(main)
