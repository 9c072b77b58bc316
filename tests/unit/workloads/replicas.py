"""Replicas of the retraining service in processes of their own, on files that stand in for MLflow and the pipeline.

Each replica is the real worker with the real ledger. What happens is in a log that is on the disk before it goes on, so
that a replica can be killed at any moment.
"""

import fcntl
import json
import multiprocessing
import os
import random
import signal
import threading
import time
from contextlib import contextmanager
from pathlib import Path

from workloads.lifecycle.base.errors import AliasMovedError
from workloads.lifecycle.monitoring import outcomes
from workloads.lifecycle.retraining import champion as champions
from workloads.lifecycle.retraining import worker as workers
from workloads.lifecycle.retraining.champion import ChampionAlias
from workloads.lifecycle.retraining.ledger import Ledger
from workloads.lifecycle.retraining.runner import Outcome
from workloads.lifecycle.retraining.worker import Worker
from workloads.lifecycle.training import reference
from workloads.lifecycle.training.reference import Champion

WAIT_SECONDS = 60
ENDED = {"promoted", "refused", "insufficient", "unchanged", "failed", "rolled_back", "superseded"}


def wait_for(reached, what):
    deadline = time.monotonic() + WAIT_SECONDS
    while not (found := reached()):
        assert time.monotonic() < deadline, f"not within {WAIT_SECONDS} s: {what}"
        time.sleep(0.01)
    return found


def is_bad(retrain):
    """Whether the watch finds the release of a retrain worse than its predecessor: every second one."""
    return int(retrain, 16) % 2 == 1


class Events:
    """One line of JSON for each event, in their order over all processes."""

    def __init__(self, folder):
        self._path = folder / "events"

    def add(self, **event):
        with self._path.open("ab") as file:
            file.write(json.dumps({"process": os.getpid(), **event}).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def all(self, name):
        if not self._path.exists():
            return []
        lines = [json.loads(line) for line in self._path.read_text().splitlines()]
        return [line for line in lines if line["event"] == name]


class FileRegistry:
    """Versions and aliases; version 1 is the first champion."""

    def __init__(self, folder, at=lambda _moment: None):
        """`at` is called with the name of each moment of a move at which a test may suspend the process."""
        self.folder = folder
        self._at = at
        self.events = Events(folder)

    @contextmanager
    def _state(self):
        with (self.folder / "registry.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            path = self.folder / "registry"
            state = {"champion": "1", "previous": None, "retrains": {"1": ""}}
            if path.exists():
                state = json.loads(path.read_text())
            yield state
            new = path.with_suffix(f".{os.getpid()}")
            new.write_text(json.dumps(state))
            new.replace(path)

    def champion(self):
        with self._state() as state:
            return state["champion"]

    def previous(self):
        with self._state() as state:
            return state["previous"]

    def serviceable(self, version):
        with self._state() as state:
            return version in state["retrains"]

    def retrain_of(self, version):
        with self._state() as state:
            return state["retrains"][version]

    def register(self, retrain):
        with self._state() as state:
            version = str(len(state["retrains"]) + 1)
            state["retrains"][version] = retrain
            return version

    def candidate(self, retrain):
        with self._state() as state:
            found = [version for version, owner in state["retrains"].items() if owner == retrain]
        return max(found, key=int, default=None)

    def move(self, version_from, version_to, kind, fence):
        before = self.champion()
        if before not in {version_from, version_to}:
            raise AliasMovedError(f"champion is {before}")
        if before == version_to:
            return
        self._at("before the ledger is asked")
        fence()
        with self._state() as state:
            state["previous"] = before
        fence()
        self._at("after the ledger answered")
        with self._state() as state:
            if state["champion"] != version_to:
                retrain = state["retrains"][version_from if kind == "rollback" else version_to]
                self.events.add(event=kind, version_from=before, version_to=version_to, retrain=retrain)
            state["champion"] = version_to


class FileRunner:
    """A pipeline that takes a moment and registers a candidate."""

    def __init__(self, folder, registry, rng, at=lambda _moment: None):
        self._folder = folder
        self._registry = registry
        self._rng = rng
        self._at = at

    def run(self, retrain, _window, _handle, _noted, stopped, **_unless):
        name = retrain.partition(".")[0]
        with (self._folder / "pipeline.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._registry.events.add(event="overlap", retrain=name)
            self._registry.events.add(event="pipeline", retrain=name)
            self._at("in the pipeline")
            time.sleep(self._rng.uniform(0.05, 0.3))
            if stopped():
                return Outcome("failed", "the service was stopped")
            version = self._registry.register(name)
            return Outcome("succeeded", f"version {version}")

    def clear(self, retrain):
        """Nothing runs elsewhere."""


class FileWatch:
    """Finds every second release worse than its predecessor."""

    registry: FileRegistry

    def __init__(self, _environment, version):
        self._version = version

    def run(self, _stopped):
        time.sleep(0.1)
        return "its live AUC is lower" if is_bad(self.registry.retrain_of(self._version)) else None


def prepare(patch, registry):
    """Replace, in this process, what the worker asks of servers."""
    FileWatch.registry = registry
    patch.setattr(reference, "champion", lambda _: Champion(registry.champion(), "run", 0.0))
    patch.setattr(reference, "learnt", lambda *_: "")
    patch.setattr(champions, "wait_until_served", lambda *_: 0.0)
    patch.setattr(workers, "Watch", FileWatch)
    patch.setattr(outcomes, "window", lambda *_: None)
    patch.setattr(Worker, "_attributes", lambda _: None)


def make_worker(environment, url, folder, seed=0, at=lambda _moment: None):
    registry = FileRegistry(folder, at)
    ledger = Ledger(url)
    alias = ChampionAlias(environment, ledger, registry)
    return Worker(environment, ledger, FileRunner(folder, registry, random.Random(seed), at), alias, lambda: None)


class Replica:
    """One worker process, which can be killed, suspended and started anew."""

    def __init__(self, environment, url, folder, seed=0, suspended_at=None):
        self._arguments = (environment, url, folder, seed)
        self._suspended_at = suspended_at
        self.start()

    def start(self):
        self._process = multiprocessing.get_context("fork").Process(target=self._work, daemon=True)
        self._process.start()

    def _work(self):
        def suspend(moment):
            if moment == self._suspended_at:
                self._suspended_at = None
                # A signal to the process stops another thread first: this one would go on, into the registry's lock.
                signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)

        make_worker(*self._arguments, at=suspend).start()
        signal.pause()

    def kill(self):
        self._process.kill()
        self._process.join()

    def wait_until_suspended(self):
        def stopped():
            stat = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="ascii")
            return stat.rpartition(")")[2].split()[0] == "T"

        wait_for(stopped, "the replica is suspended")

    def resume(self):
        os.kill(self._process.pid, signal.SIGCONT)
