"""Random `kill -9` under traffic: each is mended by itself or by one `make up`, and nothing is lost.

A long matrix runs in slices on one stack: KILLS_STATE names a state folder that outlives the run, KILLS_FIRST the
number of the first kill, KILLS how many follow. The seed and the number decide what a kill hits.
"""

import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import sqlite3
import threading
import time
import urllib.request
from pathlib import Path

import psutil
import pytest

from infra.base import health, orphans
from infra.host.processes import Identity
from infra.host.supervision import WATCHDOG, Supervision
from tests.e2e.stack import LocalStack, ask, wait_until

pytestmark = [pytest.mark.soak, pytest.mark.timeout(7200)]

SEED = int(os.environ.get("KILLS_SEED", "42"))
FIRST = int(os.environ.get("KILLS_FIRST", "0"))
KILLS = int(os.environ.get("KILLS", "60"))
STATE = os.environ.get("KILLS_STATE")
BY_ITSELF_SECONDS = 240
"""Time to recover on a busy machine of two cores; a quiet one needs a tenth."""
KINDS = ("one", "one", "one", "one", "supervisor", "pair", "supervisor and one", "everything", "all but workers")
MODEL_SERVER, SERVICE, TRACKING = (
    "loan-default-model-service-process",
    "loan-default-retraining-process",
    "tracking-server",
)
VECTOR = {"instances": [[45, 72000, 680, 3]]}
CUSTOMER = {"instances": [{"CustomerID": 1001}]}


@pytest.fixture
def stack():
    stack = LocalStack(Path(STATE) if STATE else None)
    stack.up()
    yield stack
    if not STATE:
        stack.make("down")
        shutil.rmtree(stack.state)


class Traffic:
    """Asks for the same two predictions again and again; counts right, wrong and missing answers."""

    def __init__(self, url):
        self._url = url
        self._expected = [ask(url, body).body["predictions"] for body in (VECTOR, CUSTOMER)]
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._ask_again_and_again)
        self.counts, self.wrong = {"right": 0, "missing": 0}, []
        self._moment, self.back_after_seconds = 0.0, None

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stopping.set()
        self._thread.join()

    def _ask_again_and_again(self):
        while not self._stopping.wait(0.05):
            for body, expected in zip((VECTOR, CUSTOMER), self._expected, strict=True):
                self._count(body, expected)

    def _count(self, body, expected):
        begun = time.monotonic()
        try:
            answer = ask(self._url, body)
        except (OSError, ValueError):
            answer = None
        if answer is None or answer.status >= 500:
            self.counts["missing"] += 1
            self.back_after_seconds = None
        elif answer.status == 200 and answer.body["predictions"] == pytest.approx(expected, rel=1e-6):
            self.counts["right"] += 1
            if self.back_after_seconds is None and begun > self._moment:
                self.back_after_seconds = time.monotonic() - self._moment
        else:
            self.wrong.append(answer)

    def killed(self, moment):
        """Measure from here: `back_after_seconds` is the first right answer after the last missing one."""
        self._moment, self.back_after_seconds = moment, None


def leaders(stack):
    """Process of each program that has one, the supervisor included."""
    supervisor = int((stack.folder / "supervisor" / "supervisord.pid").read_text())
    found = {program: stack.pid(program) for program in stack.programs()}
    return {"supervisor": supervisor} | {program: pid for program, pid in found.items() if pid}


def targets(stack, number):
    """What kill `number` hits: its kind, names, and the processes that die at once."""
    chance = random.Random(f"{SEED}-{number}")
    kind, alive = chance.choice(KINDS), leaders(stack)
    programs = sorted(set(alive) - {"supervisor"})
    match kind:
        case "one":
            names = [chance.choice(programs)]
        case "supervisor":
            names = ["supervisor"]
        case "pair":
            names = chance.sample([*programs, "supervisor"], 2)
        case "supervisor and one":
            names = ["supervisor", chance.choice(programs)]
        case "all but workers":
            names = [*programs, "supervisor"]
        case "everything":
            return kind, [], [found.pid for found in orphans.find(stack.folder)]
    return kind, names, [alive[name] for name in names]


def kill(pids):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for pid in pids:
        wait_until(lambda pid=pid: Identity.of(pid) is None, f"process {pid} is dead")


def specifications(stack):
    found = sorted((stack.folder / "supervisor" / "specs").glob("*.json"))
    return {path.stem: json.loads(path.read_text()) for path in found}


def unhealthy(stack, expected):
    """Programs that are not up."""
    found = specifications(stack)
    status = Supervision(stack.folder).status
    return sorted(
        program
        for program in expected
        if program not in found
        or status(program).identity is None
        or not health.answers(found[program]["health"], found[program]["environment"], 10)
    )


def recovered(stack, expected, traffic):
    """Seconds until the model server answered again, once every program is healthy; None if they stay away."""
    deadline = time.monotonic() + BY_ITSELF_SECONDS
    while unhealthy(stack, expected) or (seconds := traffic.back_after_seconds) is None:
        if time.monotonic() > deadline:
            return None
        if not any(found.program == orphans.SUPERVISOR for found in orphans.find(stack.folder)):
            return None  # supervisor and watchdog died together: only `make up` starts them again
        time.sleep(0.5)
    return seconds


def rows(url, query):
    with contextlib.closing(sqlite3.connect(f"file:{url.removeprefix('sqlite:///')}?mode=ro", uri=True)) as database:
        return {tuple(row) for row in database.execute(query)}


def kept(stack):
    """Everything that was acknowledged and must never go: model versions, ledger rows, objects of the store."""
    specs = specifications(stack)
    registry = specs[TRACKING]["environment"]["MLFLOW_BACKEND_STORE_URI"]
    ledger = specs[SERVICE]["environment"]["RETRAIN_DATABASE"]
    objects = stack.folder / "data" / "artifact-store" / "objects"
    captures = {
        ("capture", str(path.relative_to(objects)), hashlib.sha256(path.read_bytes()).hexdigest())
        for path in objects.rglob("*.parquet")
        if "captures" in path.parts
    }
    return {
        "model versions": rows(registry, "select name, version, run_id from model_versions"),
        "ledger rows": rows(ledger, "select id, created_at from retrains"),
        "objects": {(str(path.relative_to(objects)),) for path in objects.rglob("*") if path.is_file()},
        "captured files": captures,
    }


def lost(before, now):
    return {name: sorted(before[name] - now[name]) for name in before if before[name] - now[name]}


def ask_for_a_retrain(stack, outputs):
    token = stack.specification(SERVICE)["environment"]["RETRAIN_TOKEN"]
    request = urllib.request.Request(outputs["retrain_url"], json.dumps({"reason": "random kills"}).encode())
    request.add_header("authorization", f"Bearer {token}")
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)["retrain"]


def test_every_random_kill_is_mended_and_nothing_is_lost(stack):
    outputs = stack.outputs()
    expected = [program for program in stack.programs() if program != WATCHDOG]
    if FIRST == 0:
        ask_for_a_retrain(stack, outputs)
    known = kept(stack)
    with Traffic(outputs["prediction_url"]) as traffic:
        for number in range(FIRST, FIRST + KILLS):
            kind, names, pids = targets(stack, number)
            load = os.getloadavg()[0]
            moment = time.monotonic()
            kill(pids)
            traffic.killed(moment)
            mended, seconds = "by itself", recovered(stack, expected, traffic)
            if seconds is None:
                stack.up()
                mended, seconds = "by `make up`", recovered(stack, expected, traffic)
                assert seconds is not None, f"kill {number}: {unhealthy(stack, expected)}"
            after = kept(stack)
            gone = lost(known, after)
            line = {"kill": number, "kind": kind, "hit": names, "mended": mended, "load": round(load, 1)}
            line |= {
                "model server s": round(seconds, 1),
                "all s": round(time.monotonic() - moment, 1),
            }
            print(json.dumps(line), flush=True)  # noqa: T201  the figures, for the reader of a run with -s
            assert not gone, f"kill {number} lost {gone}"
            assert not traffic.wrong, f"kill {number}: {traffic.wrong[:3]}"
            known = after
    print(json.dumps({"traffic": traffic.counts, "kept": {name: len(found) for name, found in known.items()}}))  # noqa: T201
    assert outside_the_supervisor(stack) == []


def outside_the_supervisor(stack):
    """Processes of the stack that the supervisor does not know: leftovers of those that were killed."""
    supervisor = int((stack.folder / "supervisor" / "supervisord.pid").read_text())
    below = {supervisor, *(child.pid for child in psutil.Process(supervisor).children(recursive=True))}
    return [found for found in orphans.find(stack.folder) if found.pid not in below]
