"""One hop of the loop broken at a time on a real stack: the drill names it; run by hand (`make soak`)."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from infra.base import paths
from infra.host.supervision import Supervision
from tests.e2e.stack import LocalStack, ask, wait_until

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1200)]

MODEL_SERVER, SERVICE = "loan-default-model-service-process", "loan-default-retraining-process"
LOGINS = ("prometheus", "alertmanager")
SCORE = "evidently_data_drift_score"


@pytest.fixture(scope="module")
def stack():
    stack = LocalStack()
    stack.environ["DRILL"] = "1"
    stack.up()
    yield stack
    stack.make("down")
    shutil.rmtree(stack.state)


class Broken:
    """Breaks one hop, without the stack's knowledge, and mends it."""

    def __init__(self, stack):
        self._stack, self._files = stack, {}
        self._outputs = stack.outputs()
        self._configuration = stack.folder / "config" / "monitoring"

    def capture_off(self):
        file = self._stack.folder / "supervisor" / "specs" / f"{MODEL_SERVER}.json"
        specification = json.loads(file.read_text())
        settings = json.loads(specification["environment"]["WORKLOAD_SETTINGS"])
        settings.setdefault("serving", {})["capture"] = False
        specification["environment"]["WORKLOAD_SETTINGS"] = json.dumps(settings)
        self._write(file, json.dumps(specification))
        self._restart_model_server()

    def metric_renamed(self):
        (file,) = (self._configuration / "rules").glob("loan-default*.yml")
        self._write(file, file.read_text().replace(SCORE, f"{SCORE}_renamed"))
        self._reload("prometheus")

    def route_removed(self):
        file = self._configuration / "alertmanager.yml"
        configuration = json.loads(file.read_text())
        configuration["route"]["routes"] = []
        self._write(file, json.dumps(configuration))
        self._reload("alertmanager")

    def wrong_token(self):
        (file,) = (self._configuration / "tokens").iterdir()
        self._write(file, "another-token-than-the-service-has")
        self._reload("alertmanager")

    def pipeline_failing(self):
        work = self._stack.specification(SERVICE)["environment"]["WORK_DIR"]
        file = Path(work, "pipeline")
        shutil.rmtree(file, ignore_errors=True)
        self._files[file] = None
        file.write_text("where the pipeline's folder should be")

    def mend(self):
        for file, before in self._files.items():
            if before is None:
                file.unlink()
            else:
                file.write_text(before)
        self._reload("prometheus")
        self._reload("alertmanager")
        if any(MODEL_SERVER in file.name for file in self._files):
            self._restart_model_server()

    def _write(self, file, text):
        self._files[file] = file.read_text()
        file.write_text(text)

    def _reload(self, server):
        Supervision(self._stack.folder).hang_up(f"monitoring-{server}")

    def _restart_model_server(self):
        with self._stack.without(MODEL_SERVER):
            pass
        sample = {"instances": [[45, 72000, 680, 3]]}

        def answers():
            try:
                return ask(self._outputs["prediction_url"], sample).status == 200
            except OSError:
                return False

        wait_until(answers, "the model server answers again")


@pytest.fixture
def broken(stack):
    broken = Broken(stack)
    yield broken
    broken.mend()


def drill(stack):
    """What a drill says when it fails."""
    specification = stack.specification(SERVICE)
    done = subprocess.run(
        ["python", "-m", "workloads.lifecycle.operations.drill"],
        input=json.dumps(stack.outputs() | {f"{name}_login": stack.login(name) for name in LOGINS}),
        cwd=paths.CHECKOUT,
        env=os.environ | {name: specification["environment"][name] for name in ("PATH", "RETRAIN_TOKEN")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    print(done.stdout)  # noqa: T201  the timeline, for the reader of a run with -s
    assert done.returncode == 1, done.stdout
    return done.stdout.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("hop", "hint"),
    [
        ("capture_off", "error: captured: not within"),
        ("metric_renamed", f"error: metric: the rule DataDriftDetected does not ask for {SCORE}"),
        ("route_removed", "error: webhook: not within"),
        ("wrong_token", "unauthorized"),
        ("pipeline_failing", "error: pipeline: failed: 3 attempts failed"),
    ],
)
def test_the_drill_names_the_hop_that_was_broken(stack, broken, hop, hint):
    getattr(broken, hop)()
    said = drill(stack)
    assert hint in said
    assert said.startswith(hint if hint.startswith("error") else "error: webhook")
