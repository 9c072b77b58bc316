"""A second workload joins the running stack by an update that is cut off at first, then that of the tutorial does.

The tutorial's workload is an installed package.
"""

import collections
import contextlib
import json
import threading

import pytest

from tests.documents import write_package

from . import browser
from .interruption import interrupt
from .stack import ask, wait_until, wait_until_at_work

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]

LISTED = "  mlplatform:workloads: [loan_default, turbofan]\n"
NAMES = ["loan-default", "turbofan"]
SCENARIOS = ("a bad release", "drift", "poisoned outcomes")
KEYS = {"loan-default": {"CustomerID": 1001}, "turbofan": {"unit": 1}}


@pytest.fixture(scope="module")
def both(stack, first_up):
    assert first_up
    stack.environ.pop("DATA", None)  # it would be the data of whichever workload a command names
    with (stack.checkout / "Pulumi.local.yaml").open("a") as file:
        file.write(LISTED)
    return stack


@pytest.fixture(scope="module")
def printed(both):
    assert interrupt(both, 8, "ctrl-c")
    return both.up()


@pytest.fixture(scope="module")
def found(both, printed):
    assert printed
    return both.outputs()


def test_up_after_an_interrupted_one_answers_for_each_workload(printed, found):
    for name in NAMES:
        assert f"curl -s {found['endpoints'][name]['prediction_url']}" in printed
    assert printed.count('"predictions"') == len(NAMES)


def champions(both, found, name):
    """Versions that are a workload's champion."""
    api = f"{found['mlflow_url']}/api/2.0/mlflow/registered-models/get?name={name}-model"
    aliases = ask(api, login=both.login("mlflow")).body["registered_model"]["aliases"]
    return [each["version"] for each in aliases if each["alias"] == "champion"]


def test_cut_off_update_leaves_one_champion_of_each_workload(both, found):
    assert len(champions(both, found, "loan-default")) == 1
    assert champions(both, found, "turbofan") == ["1"]


@pytest.mark.parametrize("name", NAMES)
def test_each_workload_answers_by_its_key(found, name):
    answer = ask(found["endpoints"][name]["prediction_url"], {"instances": [KEYS[name]]})
    assert answer.status == 200
    assert len(answer.body["predictions"]) == 1


def test_servers_are_shared_and_endpoints_are_not(both, found):
    shared = {"artifact-store-server", "online-store-server", "tracking-server", "policy-server-server"}
    assert shared <= set(both.programs())
    assert not set(found["endpoints"]["loan-default"].values()) & set(found["endpoints"]["turbofan"].values())


@pytest.mark.usefixtures("found")
@pytest.mark.parametrize("name", NAMES)
def test_doctor_finds_the_parts_of_each_workload_at_work(both, name):
    assert "probes found their part at work" in both.make("doctor", f"WORKLOAD={name}")


def test_start_page_shows_the_workload_that_is_asked_for(both, found):
    wait_until_at_work(f"{found['start_url']}/status.json?workload=turbofan", both.shown("start"))
    page = browser.document(f"{both.link()}&workload=turbofan")
    assert 'href="?workload=loan-default"' in page
    assert f"curl -s {found['endpoints']['turbofan']['prediction_url']}" in page
    assert "Concordance" in page


def test_second_up_changes_nothing(both, found):
    both.up("--expect-no-changes")
    assert both.outputs() == found


@contextlib.contextmanager
def asked(url, body):
    """Ask for predictions all the while; counts statuses, and what broke a connection."""
    answers, done = collections.Counter(), threading.Event()

    def ask_on():
        while not done.wait(0.02):
            try:
                answers[ask(url, body).status] += 1
            except OSError as error:
                answers[type(error).__name__] += 1

    client = threading.Thread(target=ask_on)
    client.start()
    try:
        yield answers
    finally:
        done.set()
        client.join()


def test_rotation_of_the_key_under_traffic_fails_no_request(both, found):
    name = "turbofan"
    before = {program: both.pid(program) for program in both.programs()}

    def rotated():
        lines = both.make("-s", "audit", "ARGS=--json").splitlines()
        entries = [json.loads(line) for line in lines if line.startswith("{")]
        return [(each["object"], each["outcome"]) for each in entries if each["action"] == "rotation"]

    with asked(found["endpoints"][name]["prediction_url"], {"instances": [KEYS[name]]}) as answers:
        both.make("rotate-signing-key", f"WORKLOAD={name}", "ARGS=--non-interactive")
        wait_until(lambda: ("version 1", "signed anew") in rotated(), "the service has signed anew")
    assert (set(answers), answers[200] > 50) == ({200}, True), answers
    assert (f"signing key of {name}", "done") in rotated()
    after = {program: both.pid(program) for program in both.programs()}
    assert {program for program in before if after[program] != before[program]} == {f"{name}-retraining-process"}
    assert champions(both, found, name) == ["1"]


@pytest.mark.usefixtures("found")
def test_workload_that_the_stack_does_not_list_is_refused(both):
    printed = both.make("status", "WORKLOAD=pumps", fails=True)
    assert "the stack has no workload 'pumps' (it has loan-default, turbofan): correct WORKLOAD" in printed
    assert "Traceback" not in printed


@pytest.fixture(scope="module")
def joined(both, found, tmp_path_factory):
    """Outputs after the tutorial's last commands."""
    folder = write_package(tmp_path_factory.mktemp("greenhouse"))
    both.make("workload", f"FROM={folder}")
    file = both.checkout / "Pulumi.local.yaml"
    file.write_text(file.read_text().replace("turbofan]", "turbofan, greenhouse]"))
    assert f"curl -s {found['endpoints'][NAMES[0]]['prediction_url']}" in both.up()
    return both.outputs()


def test_workload_of_the_tutorial_joins_a_running_stack(both, found, joined):
    for instance in ({"Bed": 1}, [20.0, 14.0]):
        answer = ask(joined["endpoints"]["greenhouse"]["prediction_url"], {"instances": [instance]})
        assert (answer.status, len(answer.body["predictions"])) == (200, 1)
    assert {name: joined["endpoints"][name] for name in NAMES} == found["endpoints"]
    assert "probes found their part at work" in both.make("doctor", "WORKLOAD=greenhouse")


@pytest.mark.soak
@pytest.mark.usefixtures("found")
def test_drill_of_the_second_workload_closes_the_loop(both):
    printed = both.make("drill", "WORKLOAD=turbofan")
    assert printed.count("the loop closed in") == len(SCENARIOS)
    assert "of which ended, after" in printed
    assert "nothing: version" in printed
