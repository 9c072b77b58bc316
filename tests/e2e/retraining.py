"""A second retraining service on a running stack: the real program with short waits and a ledger of its own.

The stack's own service stays idle beside it. This one is started, killed and started again by a test.
"""

import json
import os
import signal
import socket
import subprocess
import urllib.request

import psutil

from .stack import ask, wait_until

PROGRAM = "loan-default-retraining-process"
SETTINGS = {
    "deployment": {"server_wait_seconds": 10.0},
    "retraining": {"attempts": 2, "cooldown_seconds": 0.0, "retry_pause_seconds": 1.0, "watch_seconds": 5.0},
}
OVER = ("promoted", "refused", "insufficient", "unchanged", "failed", "rolled_back", "superseded")
RETRAIN_SECONDS = 400


class RetrainingService:
    def __init__(self, stack, folder):
        specification = stack.specification(PROGRAM)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        told = json.loads(specification["environment"]["WORKLOAD_SETTINGS"])
        for part, values in SETTINGS.items():
            told[part] = told.get(part, {}) | values
        self._environ = specification["environment"] | {
            "WORKLOAD_SETTINGS": json.dumps(told),
            "PORT": str(port),
            "RETRAIN_DATABASE": f"sqlite:///{folder}/ledger.db",
            "WORK_DIR": f"{folder}/work",
        }
        self._command, self._checkout = specification["command"], stack.checkout
        self._log = folder / "service.log"
        self._process = None
        self.url = f"http://127.0.0.1:{port}"

    def start(self):
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, cwd=self._checkout, env=self._environ, stdout=log, stderr=log, start_new_session=True
            )
        wait_until(self._lives, f"the service lives: {self._log.read_text()[-2000:]}")
        wait_until(lambda: self.status()["champion"], "the service knows the champion")

    def kill(self):
        """As `kill -9` does: the pipeline's processes stay."""
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def stop(self):
        self._process.terminate()
        self._process.wait(timeout=30)

    def status(self):
        request = urllib.request.Request(f"{self.url}/status")
        request.add_header("authorization", f"Bearer {self._environ['RETRAIN_TOKEN']}")
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.load(response)

    def retrain(self):
        """Ask for a retrain; gives its id."""
        body = json.dumps({"reason": "a test"}).encode()
        request = urllib.request.Request(f"{self.url}/retrain", body)
        request.add_header("authorization", f"Bearer {self._environ['RETRAIN_TOKEN']}")
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.load(response)["retrain"]

    def found(self, retrain):
        """The retrain in the ledger."""
        return next(item for item in self.status()["recent"] if item["id"] == retrain)

    def ended(self, retrain, meanwhile=lambda: None):
        """The retrain once it is over; calls `meanwhile` again and again until then."""

        def over():
            meanwhile()
            return self.found(retrain)["status"] in OVER

        wait_until(over, "the retrain is over", RETRAIN_SECONDS)
        return self.found(retrain)

    def metric(self, name):
        shown = f'{name}{{workload="loan-default"}} '
        (line,) = [line for line in ask(f"{self.url}/metrics").body.splitlines() if line.startswith(shown)]
        return float(line.split()[1])

    def pipelines(self, retrain):
        """Processes that run the retrain's pipeline now; its stages are children of them."""
        found = []
        for process in psutil.process_iter():
            try:
                mine = process.environ().get("RETRAIN_ID", "").partition(".")[0] == retrain  # behind it: the epoch
                if mine and "workloads.lifecycle.pipelines.kubeflow" in process.cmdline():
                    found.append(process.pid)
            except psutil.Error:
                continue
        return found

    def log_of(self, retrain):
        """What the pipeline has said so far."""
        file = self._log.parent / "work" / "retrains" / f"{retrain}.log"
        return file.read_text(errors="replace") if file.exists() else ""

    def _lives(self):
        try:
            return ask(f"{self.url}/healthz").status == 200
        except OSError:
            return False
