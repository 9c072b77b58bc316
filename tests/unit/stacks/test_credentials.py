import io
import json

import pytest

from stacks.commands import credentials
from workloads.lifecycle.operations.start_page.door import Door

OUTPUTS = {
    "feature_server_url": "http://127.0.0.1:6566",
    "prometheus_url": "http://127.0.0.1:9090",
    "prometheus_login": "platform:hunter2",
    "policy_url": "http://127.0.0.1:8181",
    "policy_token": "p",
}
CLOSED = OUTPUTS | {"start_url": "http://127.0.0.1:8000", "start_token": "s"}


@pytest.fixture
def run(monkeypatch, capsys):
    def ran(outputs, *arguments):
        monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(outputs) if outputs else ""))
        return credentials.main(arguments), *capsys.readouterr()

    return ran


def test_a_person_is_told_where_to_log_in_and_as_whom(run):
    assert run(OUTPUTS) == (0, "http://127.0.0.1:9090  user platform  password hunter2\n", "")


def test_a_login_for_curl_comes_as_its_configuration(run):
    assert run(OUTPUTS, "--server", "prometheus") == (0, 'user = "platform:hunter2"\n', "")


def test_a_token_for_curl_comes_as_a_header(run):
    assert run(OUTPUTS, "--server", "policy") == (0, 'header = "Authorization: Bearer p"\n', "")


def test_a_server_without_a_login_is_named_with_those_that_have_one(run):
    assert run(OUTPUTS, "--server", "feature_server") == (
        1,
        "",
        "the stack has no login of a server 'feature_server' (it has policy, prometheus): correct SERVER\n",
    )


def test_start_page_is_opened_by_a_link_that_holds_no_secret(run):
    status, printed, _ = run(CLOSED)
    _, alone, _ = run(CLOSED, "--link")
    assert status == 0
    assert printed.splitlines()[0] == "http://127.0.0.1:9090  user platform  password hunter2"
    for line in (printed.splitlines()[1], alone.strip()):
        address, _, said = line.partition("  ")
        assert said == "opens the start page once, within 10 minutes"
        assert address.startswith("http://127.0.0.1:8000/login?token=")
        assert Door("s", opened=0).admits_link(address.partition("=")[2])
    assert run(OUTPUTS, "--link") == (0, "", "")


def test_a_stack_without_logins_says_who_guards_its_servers(run):
    status, printed, _ = run({"prometheus_url": "https://prometheus.ml.example.org"})
    assert (status, printed.splitlines()[0].split(":")[0]) == (0, "No server of this stack asks for a login of its own")


def test_without_outputs_the_command_that_gave_none_has_said_why(run):
    assert run(None) == (1, "", "")
