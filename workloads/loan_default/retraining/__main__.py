"""`python -m workloads.loan_default.retraining`: the service."""

import argparse
import logging
import os
import sys
import threading

import uvicorn

from workloads.loan_default.errors import run_command
from workloads.loan_default.loops import Loops
from workloads.loan_default.release import quiet_libraries
from workloads.loan_default.retraining import runner
from workloads.loan_default.retraining.bearer import token
from workloads.loan_default.retraining.champion import ChampionAlias, preload
from workloads.loan_default.retraining.checks import Checks
from workloads.loan_default.retraining.ledger import Ledger
from workloads.loan_default.retraining.service import Parts, Service
from workloads.loan_default.retraining.worker import ChampionWatch, Worker
from workloads.loan_default.settings import Environment, LoanDefaultSettings, load

_KEEP_ALIVE_SECONDS = 65
"""How long an idle connection stays open: longer than clients keep one, or a request would meet its end."""

_SLACK_SECONDS = 900.0
"""What the requests around a run may take: outcomes read, registry asked, drift measured."""

_SWITCH_SECONDS = 0.0005
"""How long the worker may hold the interpreter while an alert waits; a tenth of the default."""


def build(environment: Environment) -> tuple[Service, Worker]:
    """The service and its worker, not started; raises WorkloadError."""
    secret = token(environment)
    database = environment.retrain_database or f"sqlite:///{environment.work / 'retraining.db'}"
    ledger = Ledger(database, silence_seconds(environment.settings))
    alias = ChampionAlias(environment, ledger)
    checks = Checks(ledger, os.environ)
    champion = ChampionWatch(environment)
    worker = Worker(environment, ledger, runner.make(environment), alias, checks.run)
    loops = Loops()
    loops.add(worker.loop)
    loops.add(champion.loop).start()
    service = Service(Parts(environment, ledger, champion, alias, checks, secret, worker.stop, loops))
    return service, worker


def silence_seconds(settings: LoanDefaultSettings) -> float:
    """How long a replica of schema 0003 may work on a retrain without a change of its row: a run, or a watch window."""
    retraining = settings.retraining
    run = retraining.run_seconds + retraining.attempts * retraining.retry_pause_seconds
    watch = retraining.watch_seconds + 2 * settings.deployment.served_wait_seconds
    return max(run, watch) + _SLACK_SECONDS


def listen(service: Service, host: str, port: int) -> None:
    """Answer HTTP until SIGTERM or SIGINT."""
    uvicorn.run(
        service.app(),
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
    )


def main() -> None:
    """Command: serve until SIGTERM or SIGINT."""
    environment = load()
    parser = argparse.ArgumentParser(prog="python -m workloads.loan_default.retraining", description=__doc__)
    parser.add_argument(
        "--port",
        type=int,
        default=environment.port,
        required=environment.port is None,
        help="TCP port (default: $PORT)",
    )
    parser.add_argument("--host", default=environment.listen_address, help="address to bind (default: %(default)s)")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    quiet_libraries()
    service, worker = build(environment)
    worker.start()
    # So that the first rollback is as fast as the next.
    threading.Thread(target=preload, name="preload", daemon=True).start()
    sys.setswitchinterval(_SWITCH_SECONDS)
    listen(service, arguments.host, arguments.port)
    worker.join(timeout=20)


if __name__ == "__main__":
    run_command(main)
