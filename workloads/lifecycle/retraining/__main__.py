"""`python -m workloads.lifecycle.retraining`: the service."""

import argparse
import ctypes
import logging
import os
import sys
from collections.abc import MutableMapping

import uvicorn

from workloads.lifecycle.base.command import add_address, quiet_libraries
from workloads.lifecycle.base.environment import Environment, load
from workloads.lifecycle.base.errors import run_command
from workloads.lifecycle.base.loops import Loop, Loops
from workloads.lifecycle.base.pages import OwnPagesOnly, names_of
from workloads.lifecycle.base.settings import WorkloadSettings
from workloads.lifecycle.retraining import runner
from workloads.lifecycle.retraining.audited import DELIVERY_SECONDS
from workloads.lifecycle.retraining.bearer import former, tokens
from workloads.lifecycle.retraining.challenges import Challenges
from workloads.lifecycle.retraining.champion import ChampionAlias, MlflowRegistry
from workloads.lifecycle.retraining.checks import Checks
from workloads.lifecycle.retraining.late import LOOK_SECONDS, LateWatch
from workloads.lifecycle.retraining.ledger import Ledger
from workloads.lifecycle.retraining.service import Parts, Service
from workloads.lifecycle.retraining.signer import Signer
from workloads.lifecycle.retraining.worker import ChampionWatch, Worker

_KEEP_ALIVE_SECONDS = 65
"""How long an idle connection stays open: longer than clients keep one, or a request would meet its end."""

_SLACK_SECONDS = 900.0
"""What the requests around a run may take: outcomes read, registry asked, drift measured."""

_SIGN_SECONDS = 600.0
"""Duration of one look at the versions that the aliases name, beyond which it is stuck."""

_PR_SET_DUMPABLE = 4
"""Source: https://man7.org/linux/man-pages/man2/PR_SET_DUMPABLE.2const.html"""

_SWITCH_SECONDS = 0.0005
"""How long the worker may hold the interpreter while an alert waits; a tenth of the default."""


def build(environment: Environment) -> tuple[Service, Worker]:
    """The service and its worker, not started; raises WorkloadError."""
    signer = Signer(environment)
    database = environment.retrain_database or f"sqlite:///{environment.work / 'retraining.db'}"
    ledger = Ledger(database, silence_seconds(environment.settings))
    alias = ChampionAlias(environment, ledger)
    checks = Checks(ledger, os.environ)
    champion = ChampionWatch(environment)
    challenges = Challenges(environment, ledger, MlflowRegistry(environment))
    worker = Worker(environment, ledger, runner.make(environment), alias, checks.run, challenges=challenges)
    loops = Loops()
    loops.add(worker.loop)
    loops.add(champion.loop).start()
    loops.add(
        Loop("signatures", signer.renew, pause_seconds=0, stuck_seconds=_SIGN_SECONDS, until_success=True)
    ).start()
    parts = Parts(
        environment=environment,
        ledger=ledger,
        champion=champion,
        alias=alias,
        checks=checks,
        tokens=tokens(environment),
        former=former(environment),
        sign=signer.sign,
        stop=worker.stop,
        challenges=challenges,
        loops=loops,
    )
    service = Service(parts)
    late = LateWatch(environment, ledger, alias)
    loops.add(Loop("late-outcomes", late.look, pause_seconds=LOOK_SECONDS, stuck_seconds=LOOK_SECONDS)).start()
    deliver = service.audited.deliver
    loops.add(Loop("audit", deliver, pause_seconds=DELIVERY_SECONDS, stuck_seconds=_SLACK_SECONDS)).start()
    return service, worker


def silence_seconds(settings: WorkloadSettings) -> float:
    """How long a replica of schema 0003 may work on a retrain without a change of its row: a run, or a watch window."""
    retraining = settings.retraining
    run = retraining.run_seconds + retraining.attempts * retraining.retry_pause_seconds
    watch = retraining.watch_seconds + 2 * settings.deployment.served_wait_seconds
    return max(run, watch) + _SLACK_SECONDS


def hide(environ: MutableMapping[str, str]) -> None:
    """Keep the key from what this process starts, and on clusters from everything else of the same user.

    A local stack finds its processes by their environment, and its owner can read its state anyway.
    """
    environ.pop("SIGNING_KEY", None)
    if "MLPLATFORM_STACK_FOLDER" not in environ:
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def listen(service: Service, host: str, port: int) -> None:
    """Answer HTTP until SIGTERM or SIGINT."""
    uvicorn.run(
        OwnPagesOnly(service.app(), names_of(host)),
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
    )


def main() -> None:
    """Command: serve until SIGTERM or SIGINT."""
    environment = load()
    parser = argparse.ArgumentParser(prog="python -m workloads.lifecycle.retraining", description=__doc__)
    add_address(parser, environment)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    quiet_libraries()
    hide(os.environ)
    service, worker = build(environment)
    worker.start()
    sys.setswitchinterval(_SWITCH_SECONDS)
    listen(service, arguments.host, arguments.port)
    worker.join(timeout=20)


if __name__ == "__main__":
    run_command(main)
