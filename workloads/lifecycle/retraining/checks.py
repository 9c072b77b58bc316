"""Runs the drift job on demand, one at a time over all replicas, which share the record of it."""

import logging
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from workloads.lifecycle.base.errors import WorkloadError
from workloads.lifecycle.retraining import database
from workloads.lifecycle.retraining.database import CHECKS, clock, outages_named
from workloads.lifecycle.retraining.lease import Lease
from workloads.lifecycle.retraining.ledger import Ledger
from workloads.lifecycle.retraining.runner import SECRETS_OF_THE_SERVICE

_PAUSE_SECONDS = 0.5
_LIMIT_SECONDS = 1800.0
"""Duration of one drift job beyond which it is ended."""

_log = logging.getLogger(__name__)


class Checks:
    """Drift checks, in the ledger; each runs in a process of its own."""

    def __init__(self, ledger: Ledger, environ: Mapping[str, str]) -> None:
        self._engine = ledger.engine
        self._owner = ledger.owner
        self._environ = {name: value for name, value in environ.items() if name not in SECRETS_OF_THE_SERVICE}

    def status(self) -> dict[str, Any]:
        """Whether one runs, how many have ended since the ledger began, and exit status and last line of the newest."""
        ended = CHECKS.c.ended_at.is_not(None)
        with outages_named(), self._engine.connect() as connection:
            alive = sa.select(CHECKS.c.id).where(CHECKS.c.slot == "running", CHECKS.c.owned_until > clock())
            running = connection.execute(alive).first() is not None
            finished = connection.execute(sa.select(sa.func.count()).where(ended)).scalar_one()
            newest = sa.select(CHECKS).where(ended).order_by(CHECKS.c.ended_at.desc()).limit(1)
            last = connection.execute(newest).mappings().first()
        shown = {"exit_status": last["exit_status"], "line": last["line"], "at": last["ended_at"]} if last else {}
        return {"running": running, "finished": finished, "last": shown}

    def start(self) -> bool:
        """Run one in the background; False when one runs already, at any replica."""
        check = self._claim()
        if check is None:
            return False
        threading.Thread(target=self._background, args=(check,), name="check", daemon=True).start()
        return True

    def run(self) -> None:
        """Run one to its end, after the one that runs already."""
        while (check := self._claim()) is None:
            time.sleep(_PAUSE_SECONDS)
        self._run(check)

    def _background(self, check: str) -> None:
        try:
            self._run(check)
        except WorkloadError as error:
            _log.warning("drift check %s: %s", check, error)

    def _claim(self) -> str | None:
        check = uuid.uuid4().hex
        row = {
            "id": check,
            "slot": "running",
            "owner": self._owner,
            "owned_until": clock() + database.LEASE_SECONDS,
            "begun_at": clock(),
        }
        dead = sa.update(CHECKS).where(CHECKS.c.slot == "running", CHECKS.c.owned_until < clock())
        with outages_named(), self._engine.begin() as connection:
            connection.execute(dead.values(slot=None, ended_at=clock(), line="the replica that ran it died"))
            try:
                connection.execute(sa.insert(CHECKS).values(row))
            except IntegrityError:
                return None
        return check

    def _run(self, check: str) -> None:
        with Lease(f"drift check {check}", lambda: self._write(check, owned_until=clock() + database.LEASE_SECONDS)):
            status, line = self._outcome()
        if status != 0:
            _log.warning("drift job: exit status %s: %s", status, line)
        if not self._write(check, slot=None, ended_at=clock(), exit_status=status, line=line):
            _log.warning("drift check %s: another replica has counted it as dead", check)

    def _outcome(self) -> tuple[int | None, str]:
        """Exit status and last line of one drift job; a job that cannot be run, or takes too long, has no status."""
        try:
            done = subprocess.run(
                [sys.executable, "-m", "workloads.lifecycle.monitoring.check"],
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                check=False,
                timeout=_LIMIT_SECONDS,
            )
        except (OSError, subprocess.SubprocessError) as error:
            return None, f"{type(error).__name__}: {error}"
        lines = done.stdout.strip().splitlines()
        return done.returncode, lines[-1] if lines else ""

    def _write(self, check: str, **values: Any) -> bool:
        mine = sa.update(CHECKS).where(CHECKS.c.id == check, CHECKS.c.slot == "running")
        with outages_named(), self._engine.begin() as connection:
            return connection.execute(mine.values(values)).rowcount == 1
