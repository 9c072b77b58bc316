"""What another account of this machine, or a page in a person's browser, changes or reads of a local stack: nothing."""

import http.client
import json
from urllib.parse import urlsplit

import pytest

from . import browser
from .attacks import ATTACKS, COMMANDS, EVIL, FEATURES, REFUSED
from .intruders import as_another_account, asked_of_redis, opened, read_by_a_page, seized
from .stack import ask, wait_until

VERSIONS = "/api/2.0/mlflow/model-versions/search"
QUERY = "/api/v1/query?query=up"

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def addresses(stack, outputs):
    """Host and port of each server, of the Pushgateway too."""
    found = {name.removesuffix("_url"): url for name, url in outputs.items() if name.endswith("_url")}
    environment = stack.specification("loan-default-retraining-process")["environment"]
    found |= {"pushgateway": environment["PUSHGATEWAY_URL"], "artifact_store": environment["AWS_ENDPOINT_URL_S3"]}
    return {name: urlsplit(url).netloc for name, url in found.items()}


def sent(address, attack):
    """Status of the answer."""
    connection = http.client.HTTPConnection(address, timeout=30)
    try:
        connection.request(attack.method, attack.path, attack.body.encode(), attack.headers)
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.fixture(scope="module")
def state(stack, outputs):
    """What attacks are about: who serves, what was retrained, what features, alerts and pushed metrics there are."""

    def seen():
        features = ask(f"{outputs['feature_server_url']}/get-online-features", json.loads(FEATURES)).body
        alerts = ask(f"{outputs['alertmanager_url']}/api/v2/alerts", login=stack.login("alertmanager")).body
        silences = ask(f"{outputs['alertmanager_url']}/api/v2/silences", login=stack.login("alertmanager")).body
        versions = ask(f"{outputs['mlflow_url']}{VERSIONS}", login=stack.login("mlflow")).body["model_versions"]
        retraining = json.loads(stack.make("-s", "status"))
        return {
            "served": ask(outputs["model_url"]).body,
            "features": [each["values"] for each in features["results"]],
            "alerts": sorted(each["labels"]["alertname"] for each in alerts),
            "silences": len(silences),
            "versions": [(each["version"], each.get("tags")) for each in versions],
            "retrains": [retraining[name] for name in ("champion", "running", "queued", "recent")],
            "pids": {name: stack.pid(name) for name in stack.programs()},
        }

    return seen


def test_no_attack_changes_or_reads_anything(addresses, state, subtests):
    before = state()
    for attack in ATTACKS:
        with subtests.test(attack.title):
            assert sent(addresses[attack.server], attack) in REFUSED
    assert state() == before


def test_another_account_opens_no_file_socket_or_process(stack, addresses, state):
    before, folder = state(), stack.folder.parent
    control = stack.state / "for-everybody"
    control.touch(mode=0o644)
    stack.state.chmod(0o755)  # else this folder would keep others out in place of the stack's own
    kept, pids = [folder, *folder.rglob("*"), control], [process.pid for process in stack.processes()]
    host, port = addresses["online_store"].split(":")

    def intrude():
        answers = [(attack.title, sent(addresses[attack.server], attack)) for attack in ATTACKS]
        return {
            "files": opened(kept),
            "processes": seized(pids),
            "redis": asked_of_redis((host, int(port)), COMMANDS),
            "answers": [each for each in answers if each[1] not in REFUSED],
        }

    assert len(kept) > 100
    found = as_another_account(intrude)
    control.unlink()
    assert found == {"files": [str(control)], "processes": [], "redis": [], "answers": []}
    assert state() == before


def test_page_of_another_site_in_a_browser_changes_and_reads_nothing(addresses, state):
    before = state()
    attacks = [
        {"address": addresses[attack.server], "method": attack.method, "path": attack.path, "body": attack.body}
        for attack in ATTACKS
    ]
    read, arrived = read_by_a_page([*attacks, {**attacks[0], "address": addresses["online_store"], "path": "/"}])
    at_work = {"fetch", "script", "post", "preflight"}
    assert {how for how, url, _ in read if url.endswith("/open")} >= at_work
    assert [each for each in read if not each[1].endswith("/open")] == []
    assert arrived.count(("POST", "/open")) >= 5
    assert state() == before


@pytest.mark.parametrize("server", ["start", "mlflow", "model"])
def test_page_whose_name_was_pointed_here_reads_nothing(addresses, server):
    port = addresses[server].partition(":")[2]
    shown = browser.document(f"http://{EVIL}:{port}/metrics", f"--host-resolver-rules=MAP {EVIL} 127.0.0.1")
    assert "names" in shown or "Rejected" in shown


def test_the_stacks_own_login_is_let_in_and_a_guessed_one_is_not(stack, outputs):
    for server, path in (("prometheus", QUERY), ("alertmanager", "/api/v2/status"), ("mlflow", VERSIONS)):
        url = f"{outputs[f'{server}_url']}{path}"
        assert ask(url, login=stack.login(server)).status == 200
        assert ask(url, login="platform:guessed").status == 401
        assert ask(url, login=f"admin:{stack.login(server).partition(':')[2]}").status == 401


def test_a_login_opens_one_server_and_no_other(stack, outputs):
    url = f"{outputs['alertmanager_url']}/api/v2/status"
    assert ask(url, login=stack.login("prometheus")).status == 401


def test_login_opens_nothing_that_stops_or_changes_a_server(stack, outputs):
    login = stack.login("prometheus")
    for path in ("/-/quit", "/-/reload"):
        assert ask(f"{outputs['prometheus_url']}{path}", {}, login).status == 403
    wiped = ask(f"{outputs['prometheus_url']}/api/v1/admin/tsdb/delete_series?match[]=up", {}, login)
    assert wiped.body["error"] == "admin APIs disabled"


def test_prometheus_lets_no_other_page_read(stack, outputs):
    answer = ask(
        f"{outputs['prometheus_url']}/api/v1/query?query=up",
        login=stack.login("prometheus"),
        headers={"Origin": f"http://{EVIL}"},
    )
    assert answer.status == 200
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_no_password_is_in_an_argument_or_a_file_of_others(stack, outputs):
    assert outputs
    secrets = [stack.login(server).partition(":")[2] for server in ("prometheus", "alertmanager", "mlflow")]
    secrets += [stack.shown(server)["Authorization"].split()[1] for server in ("policy", "start", "retrain")]
    shown = [argument for process in stack.processes() for argument in process.cmdline()]
    assert [secret for secret in secrets if any(secret in argument for argument in shown)] == []
    readable = [path for path in (stack.folder / "config").rglob("*") if path.is_file() and path.stat().st_mode & 0o077]
    assert readable == []


def test_the_doctor_and_the_start_page_get_in(stack, outputs):
    assert "probes found their part at work" in stack.make("doctor")

    def curves():
        status = ask(f"{outputs['start_url']}/status.json", headers=stack.shown("start")).body
        return any(each["points"] for each in status.get("curves", []))

    wait_until(curves, "the start page draws what Prometheus has")
