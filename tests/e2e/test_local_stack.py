"""One local stack of one workload, from nothing to an answered prediction, by the README's commands."""

import json
import os
import re
import signal
import subprocess

import psutil
import pytest

from . import browser
from .stack import REAL_DATA, ask, checkout_status, wait_until, wait_until_at_work

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]

SAMPLE = {"instances": [[45, 72000, 680, 3]]}


def test_the_last_lines_of_up_are_a_request_and_its_answer(first_up, outputs):
    *_, curl, answer = first_up.strip().splitlines()
    assert curl.strip().startswith(f"curl -s {outputs['prediction_url']}")
    assert 0 < json.loads(answer)["predictions"][0] < 1


@pytest.mark.usefixtures("first_up")
def test_up_leaves_the_checkout_as_it_was(stack):
    assert checkout_status(stack.checkout) == stack.before


def test_up_shows_each_stage_while_it_runs(first_up):
    assert [stage for stage in range(1, 7) if not re.search(rf"\[{stage}/6\] \w+ done in", first_up)] == []


def test_start_page_in_a_browser_shows_model_endpoints_and_verdict(stack, outputs, tmp_path):
    wait_until_at_work(f"{outputs['start_url']}/status.json", stack.shown("start"))
    page = browser.document(stack.link())
    assert re.search(r'<span class="verdict (ok|warning)" id="verdict">[^<]+ at work<', page)
    assert outputs["mlflow_url"] in page
    assert 'Release gate</dt><dd><span class="ok">allowed' in page
    assert f"curl -s {outputs['prediction_url']}" in page
    browser.screenshot(stack.link(), tmp_path / "start.png")
    assert (tmp_path / "start.png").stat().st_size > 20_000


def test_a_vector_is_scored(outputs):
    answer = ask(outputs["prediction_url"], SAMPLE)
    assert answer.status == 200
    assert 0 < answer.body["predictions"][0] < 1


def test_a_customer_is_looked_up_and_scored(outputs):
    answer = ask(outputs["prediction_url"], {"instances": [{"CustomerID": 1001}]})
    assert answer.status == 200
    assert 0 < answer.body["predictions"][0] < 1


def test_the_v2_protocol_gives_the_same_score(outputs):
    url = outputs["model_url"].replace("/v1/", "/v2/") + "/infer"
    rows = SAMPLE["instances"]
    body = {"inputs": [{"name": "input", "shape": [1, 4], "datatype": "FP64", "data": rows[0]}]}
    assert ask(url, body).body["outputs"][0]["data"] == ask(outputs["prediction_url"], SAMPLE).body["predictions"]


def test_the_champion_is_a_registered_version_of_a_logged_run(stack, outputs):
    api, login = f"{outputs['mlflow_url']}/api/2.0/mlflow", stack.login("mlflow")
    named = ask(f"{api}/registered-models/alias?name=loan-default-model&alias=champion", login=login)
    run = ask(f"{api}/runs/get?run_id={named.body['model_version']['run_id']}", login=login).body["run"]
    metrics = {each["key"]: each["value"] for each in run["data"]["metrics"]}
    if REAL_DATA.exists():
        assert metrics["test_auc"] >= 0.755
    else:
        assert metrics["test_auc"] > 0.6


def test_the_feature_server_answers(outputs):
    body = {"feature_service": "loan_default_v1", "entities": {"CustomerID": [1001]}}
    url = f"{outputs['feature_server_url']}/get-online-features"
    wait_until(lambda: ask(url, body).status == 200, "the feature server knows the features")
    assert "CreditScore" in ask(url, body).body["metadata"]["feature_names"]


def test_every_target_is_scraped_and_the_drift_alert_is_loaded(stack, outputs):
    login = stack.login("prometheus")

    def healthy():
        active = ask(f"{outputs['prometheus_url']}/api/v1/targets", login=login).body["data"]["activeTargets"]
        return {each["labels"]["job"] for each in active if each["health"] == "up"} >= {
            "prometheus",
            "alertmanager",
            "pushgateway",
            "loan-default",
        }

    wait_until(healthy, "all scrape targets up")
    groups = ask(f"{outputs['prometheus_url']}/api/v1/rules", login=login).body["data"]["groups"]
    assert "DataDriftDetected" in {rule["name"] for group in groups for rule in group["rules"]}


@pytest.mark.usefixtures("first_up")
def test_review_of_the_deployed_stack_finds_no_changes(stack, tmp_path):
    told = stack.make("review", "DEPLOYED=1", f"REPORT={tmp_path}")
    assert told.startswith("## :white_check_mark: `local` as deployed: preview: no changes; policies: 0 mandatory")
    assert (tmp_path / "review.md").read_text() in told


def test_only_loopback_is_bound(stack, outputs):
    pids = {process.pid for process in stack.processes()}
    listening = [each for each in psutil.net_connections() if each.status == "LISTEN" and each.pid in pids]
    assert {each.laddr.ip for each in listening} == {"127.0.0.1"}
    named = {int(port) for port in re.findall(r"127\.0\.0\.1:(\d+)", json.dumps(outputs))}
    assert named <= {each.laddr.port for each in listening}


@pytest.mark.usefixtures("first_up")
def test_no_secret_is_in_a_process_title_or_a_log(stack):
    exported = stack.make("-s", "env")
    environ = stack.environ | dict(re.findall(r"^export (\w+)='?([^'\n]*)'?$", exported, re.MULTILINE))
    command = ["pulumi", "stack", "export", "--show-secrets", "--stack", "local"]
    state = subprocess.run(
        command, cwd=stack.checkout, env=environ, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL
    ).stdout
    secrets = [
        json.loads(each["outputs"]["value"]["plaintext"])
        for each in json.loads(state)["deployment"]["resources"]
        if each["type"] == "host:index:Secret"
    ]
    assert len(secrets) == 16
    titles, outputs = (
        " ".join(" ".join(process.cmdline()) for process in stack.processes()),
        json.dumps(stack.outputs()),
    )
    logs = {path: path.read_text(errors="replace") for path in (stack.folder / "logs").iterdir()}
    assert [secret for secret in secrets if secret in titles] == []
    assert [path for path, text in logs.items() if any(secret in text for secret in secrets)] == []
    assert [secret for secret in secrets if secret in outputs] == []


def test_every_killed_process_comes_back_and_nothing_is_lost(stack, outputs):
    api = f"{outputs['mlflow_url']}/api/2.0/mlflow/registered-models/alias?name=loan-default-model&alias=champion"
    login = stack.login("mlflow")
    version = ask(api, login=login).body["model_version"]["version"]
    by_id = {"instances": [{"CustomerID": 1001}]}
    score = ask(outputs["prediction_url"], by_id).body["predictions"]
    for program in stack.programs():
        before = stack.pid(program)
        os.kill(before, signal.SIGKILL)
        wait_until(lambda program=program, before=before: stack.pid(program) not in (0, before), f"{program} restarted")

    def whole():
        try:
            served = ask(outputs["prediction_url"], by_id)
            registered = ask(api, login=login)
        except OSError:
            return False
        if served.status != 200 or registered.status != 200:
            return False
        assert registered.body["model_version"]["version"] == version
        return served.body["predictions"] == score

    wait_until(whole, "the same model answers the same")


def test_a_second_up_changes_nothing(stack, outputs):
    stack.up("--expect-no-changes")
    assert stack.outputs() == outputs


def test_a_wrong_stack_name_is_one_line_with_the_stacks_that_exist(stack):
    printed = stack.make("up", "STACK=nowhere", fails=True)
    assert "there is no stack 'nowhere'" in printed
    assert "local" in printed
    assert "Traceback" not in printed


@pytest.mark.usefixtures("first_up")
def test_data_that_does_not_exist_is_one_line(stack):
    stack.environ, kept = stack.environ | {"DATA": "/no/such.csv"}, stack.environ
    printed = stack.up(fails=True)
    stack.environ = kept
    assert "DATA: there is no file /no/such.csv" in printed
    assert "Traceback" not in printed
