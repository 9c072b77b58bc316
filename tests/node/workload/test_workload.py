"""The loan-default workload on a real node: released by its own job, served by KServe, watched, retrained, rolled back.

All tests share one stack (`conftest.py` says what of it is a stand-in) and run in this order.
"""

import json
import os
import subprocess
import sys

import pytest

from infra.base import paths
from tests.node import pods
from tests.node.workload.reached import Reached

pytestmark = [pytest.mark.node, pytest.mark.soak, pytest.mark.timeout(4000)]

VECTOR = {"instances": [[45, 72000, 680, 3]]}
CUSTOMER = {"instances": [{"CustomerID": 1001}]}
PYTHON = str(paths.environment_dir("workloads") / "bin" / "python")
ABSENT = {"admission"}
"""Probes of `make doctor` that cannot be content here: Gatekeeper is absent. Of Grafana and KFP it asks nothing."""
TARGETS = ("loan-default", "loan-default-retraining", "pushgateway")
"""Jobs of Prometheus."""


@pytest.fixture(scope="session")
def reached(platform):
    """The stack's servers, from the node's network."""
    return Reached(platform.node, platform.folder, platform.outputs)


def test_servers_answer_by_their_services(reached):
    assert reached.ask("mlflow", "/version", parse=False) == "3.17.2"
    assert reached.ask("policy", "/health") == {}


def test_release_job_has_put_a_champion_into_the_registry(platform, reached):
    """Spark, Feast, training, the gate and the registry, in one pod of the image `ingest`."""
    (job,) = platform.node.cluster.client.list("batch/v1", "Job", "loan-default")
    assert job["status"]["succeeded"] == 1
    body = {"name": "loan-default-model", "alias": "champion"}
    query = "&".join(f"{key}={value}" for key, value in body.items())
    champion = reached.ask("mlflow", f"/api/2.0/mlflow/registered-models/alias?{query}")
    assert champion["model_version"]["version"] == "1"


def test_prometheus_scrapes_every_server_that_it_was_told_of(watched, reached):
    def down():
        targets = reached.ask("prometheus", "/api/v1/targets?state=active")["data"]["activeTargets"]
        return sorted(each["labels"]["job"] for each in targets if each["health"] != "up") or len(targets) < len(
            TARGETS
        )

    assert watched
    pods.await_(lambda: not down(), "a target cannot be scraped", down)


@pytest.mark.parametrize("body", [VECTOR, CUSTOMER], ids=["vector", "customer"])
def test_model_answers_through_its_service(reached, body):
    (probability,) = reached.predict(body)["predictions"]
    assert 0 < probability < 1


def test_doctor_finds_every_part_at_work_but_those_that_are_absent(watched, forwarded):
    kubectl = watched.node.tools.find("kubectl").parent
    done = subprocess.run(
        [sys.executable, "-m", "stacks.commands.doctor", "--stack", "dev", "--json"],
        input=json.dumps(forwarded),
        env=os.environ | {"PATH": f"{kubectl}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
        cwd=paths.CHECKOUT,
        timeout=300,
    )
    answers = {each["probe"]: each["finding"] for each in json.loads(done.stdout)}
    wrong = {probe: found for probe, found in answers.items() if found["status"] in ("failed", "unknown")}
    assert set(wrong) == ABSENT, wrong
    assert {"prediction", "artifact store", "offline and online", "alert route"} <= set(answers)


def drill(forwarded, *flags):
    """One fire drill, as `make drill` runs it; gives its timeline."""
    command = [PYTHON, "-m", "workloads.lifecycle.operations.drill", "--outputs", "-", *flags]
    done = subprocess.run(
        command,
        input=json.dumps(forwarded),
        capture_output=True,
        text=True,
        check=False,
        cwd=paths.CHECKOUT,
        timeout=1800,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    sys.stdout.write(done.stdout)
    return done.stdout


def test_bad_release_goes_back_by_itself(watched, forwarded):
    assert watched
    assert "the loop closed in" in drill(forwarded, "--bad-release")


def test_drift_leads_through_alert_and_webhook_to_a_promoted_model(watched, forwarded):
    assert watched
    assert "the loop closed in" in drill(forwarded)


def test_poisoned_outcomes_promote_nothing(watched, forwarded):
    assert watched
    assert "the loop closed in" in drill(forwarded, "--poisoned")
