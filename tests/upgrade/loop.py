"""Records what the loop of a release leaves: captures, outcomes, evidence, the ledger, and tags of the registry.

`tests.upgrade.record` runs it in the environment `workloads`. The files are written by the code of the release itself.
The requests are made up, and no server ran: the tags are what the code writes, without an MLflow that keeps them.
"""

import io
import json
import random
import socket
import sqlite3
import sys
import tarfile
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from workloads.lifecycle.base.environment import Environment
from workloads.lifecycle.base.settings import ServingSettings
from workloads.lifecycle.base.store import Store
from workloads.lifecycle.monitoring import outcomes
from workloads.lifecycle.registry import evidence
from workloads.lifecycle.registry.challenge import CHALLENGE_TAG, Challenge
from workloads.lifecycle.registry.keys import verifying_key
from workloads.lifecycle.registry.signature import SIGNATURE_TAG, Approval, seal
from workloads.lifecycle.registry.verdict import VERDICT_TAG, Verdict
from workloads.lifecycle.registry.versions import BUNDLE_URI_TAG, EVIDENCE_TAG
from workloads.lifecycle.retraining.ledger import Ledger
from workloads.lifecycle.serving.capture import Capture, Scored
from workloads.lifecycle.training.bundle import sha256
from workloads.lifecycle.training.train import BUNDLE_TAG
from workloads.loan_default.definition import LOAN_DEFAULT

FILE = "loop.tar.gz"
REQUESTS = 60
FIRST_KEY = 1001
STRUCK = "loadtest-"
SIGNING_KEY = "key-of-a-recorded-stack-" * 2
STACK = "recorded"
FACTS = b'{"bias": {}}'
BUNDLE, POLICY = sha256(b"bundle"), sha256(b"policy")


def environment_in(folder):
    return Environment(
        workload="workloads.loan_default.definition:LOAN_DEFAULT",
        artifact_store_uri=f"file://{folder}/store",
        work_dir=folder / "work",
    )


def requests(at):
    """Score and outcome of each request: high scores default more often; every tenth one was a load test."""
    rng = random.Random(7)
    for number in range(REQUESTS):
        score = rng.random()
        yield number, at + number, score, int(rng.random() < score), number % 10 == 9


def capture(environment, at):
    """Requests by key; a client's own id goes with every other one, and with those of a load test."""
    written = Capture(Store.open(environment), LOAN_DEFAULT, ServingSettings(), lambda _outcome, _rows: None)
    for number, moment, score, _, struck in requests(at):
        own = f"{STRUCK}{number}" if struck else f"client-{number}" if number % 2 else ""
        vector = np.array([[30 + number % 30, 50_000.0, 600, 3]], dtype=np.float32)
        scores, key = np.array([score], dtype=np.float32), (FIRST_KEY + number,)
        written.add(Scored(f"request-{number}", moment, "champion", "1", (key,), vector, scores, client_id=own))
    written.flush()


def feed(environment, at):
    known = datetime.fromtimestamp(at, UTC) + timedelta(hours=1)
    told = [
        {"request_id": f"request-{number}", "outcome": outcome, "observed_at": known.isoformat()}
        for number, _, _, outcome, _ in requests(at)
    ]
    outcomes.add(environment, outcomes.parse(json.dumps({"outcomes": told}).encode(), LOAN_DEFAULT))
    outcomes.strike(environment, STRUCK)


def promote(environment):
    """A promotion and a way back; returns the hash of the last record."""
    fields = {"run_id": "run", "data_hash": "data", "ingestion_run": "run", "model_sha256": BUNDLE, "bias": {}}
    fields |= {"metrics": {"test_auc": 0.77}, "allowed": True, "reasons": (), "approver": "policy", "feature_view": "f"}
    evidence.append(environment, evidence.Promotion(kind="promotion", version="1", previous=None, **fields))
    return evidence.append(environment, evidence.Promotion(kind="rollback", version="2", previous="1", **fields))


def tags(record, at):
    """Tags of a version and of the model, and what their signature is checked by."""
    approval = Approval(
        stack=STACK,
        workload=LOAN_DEFAULT.name,
        version="2",
        run_id="run",
        facts_sha256=sha256(FACTS),
        question_sha256=sha256(b"question"),
        policy_sha256=POLICY,
        judged_by=POLICY,
        signed_at=datetime.fromtimestamp(at, UTC),
    )
    announced = Challenge(id="a" * 32, version="3", champion="2", until=at + 3600)
    return {
        "version": {
            BUNDLE_TAG: BUNDLE,
            BUNDLE_URI_TAG: "mlflow-artifacts:/1/2/serving",
            VERDICT_TAG: Verdict(allowed=True, reasons=(), bias={}).model_dump_json(),
            EVIDENCE_TAG: record,
            SIGNATURE_TAG: seal(SIGNING_KEY, LOAN_DEFAULT.model_name, BUNDLE, approval),
        },
        "model": {CHALLENGE_TAG: announced.model_dump_json()},
        "verifying_key": verifying_key(SIGNING_KEY),
    }


def retrains(file):
    """A ledger with one retrain of each end, one that runs and one that waits; its dump in SQL."""
    ledger = Ledger(f"sqlite:///{file}")
    for status in ("promoted", "failed", "rolled_back"):
        ledger.submit(alert=f"{status}:1", reason="drift", version="1", cooldown_seconds=0)
        ledger.end(ledger.take(0), status, f"it {status}")
    ledger.submit(alert="running:1", reason="drift", version="2", cooldown_seconds=0)
    ledger.note(ledger.take(0), version_after="3", status="watching", attempts=1)
    ledger.submit(alert="queued:1", reason="drift", version="2", cooldown_seconds=0)
    ledger.close()
    connection = sqlite3.connect(file)
    try:
        return "\n".join(connection.iterdump())
    finally:
        connection.close()


def main(folder):
    """Write one archive with everything."""
    socket.gethostname = lambda: "recorder"  # names of files and owners hold it
    at = (datetime.now(UTC) - timedelta(hours=2)).replace(minute=0, second=0, microsecond=0).timestamp()
    with tempfile.TemporaryDirectory() as temporary:
        world = Path(temporary)
        environment = environment_in(world)
        capture(environment, at)
        feed(environment, at)
        described = {"at": at, "tags": tags(promote(environment), at)}
        (world / "release.json").write_text(json.dumps(described, indent=1))
        (world / "ledger.sql").write_text(retrains(world / "retraining.db"))
        pack(world, folder / FILE)


def pack(world, file):
    """The archive of a recorded world."""
    with tarfile.open(file, "w:gz") as archive:
        for name in ("store", "ledger.sql", "release.json"):
            archive.add(world / name, name)


def unpack(file, world):
    """A recorded world in an empty folder; returns what `release.json` says, and fills the ledger's file."""
    with tarfile.open(fileobj=io.BytesIO(file.read_bytes())) as archive:
        archive.extractall(world, filter="data")
    connection = sqlite3.connect(world / "retraining.db")
    connection.executescript((world / "ledger.sql").read_text())
    connection.close()
    return json.loads((world / "release.json").read_text())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
