"""Who is let in to the start page of a machine with several accounts."""

import pytest
from starlette.testclient import TestClient

from workloads.lifecycle.operations.start_page import __main__ as start_page
from workloads.lifecycle.operations.start_page import door as module
from workloads.lifecycle.operations.start_page.door import COOKIE, LINK_SECONDS, SESSION_SECONDS, Door, link
from workloads.lifecycle.operations.start_page.status import Status
from workloads.loan_default.definition import LOAN_DEFAULT

HOME, TOKEN = "http://127.0.0.1:8000", "generated"
CLOSED = "`make credentials` prints a link"


@pytest.fixture
def clock(monkeypatch):
    """Seconds that have passed."""
    passed, began = {"seconds": 0.0}, module._now()
    monkeypatch.setattr(module, "_now", lambda: began + int(passed["seconds"] * 1000))
    return passed


@pytest.fixture(scope="module")
def status():
    return Status(LOAN_DEFAULT, {}, {})


@pytest.fixture
def client(clock, status):
    assert clock
    application = start_page.app({"loan-default": status}, "loan-default", Door(TOKEN))
    return TestClient(application, base_url=HOME, follow_redirects=False)


def followed(client, address):
    """The page that a link leads to, as a browser opens it."""
    return client.get(client.get(address).headers["location"])


def test_person_reads_the_page_by_a_link(client):
    answer = client.get(link(HOME, TOKEN))
    folder = answer.headers["location"]
    assert answer.status_code == 303
    assert TOKEN not in folder
    said = answer.headers["set-cookie"].lower()
    assert {"httponly", "samesite=strict", f"path={folder.rstrip('/')}"} <= set(said.split("; "))
    assert client.get(folder).headers["content-type"].startswith("text/html")
    assert client.get(f"{folder}status.json").json()["workload"] == "loan-default"


def test_cookie_opens_nothing_outside_of_its_folder_in_a_browser(client):
    followed(client, link(HOME, TOKEN))
    for path in ("/", "/status.json"):
        assert client.get(path).status_code == 401


def test_workload_of_a_link_is_the_one_that_is_shown(client):
    assert client.get(f"{link(HOME, TOKEN)}&workload=turbofan").headers["location"].endswith("/?workload=turbofan")


def test_link_works_once(client):
    address = link(HOME, TOKEN)
    assert followed(client, address).status_code == 200
    again = client.get(address)
    assert (again.status_code, "set-cookie" in again.headers) == (401, False)
    assert CLOSED in again.text


def test_link_is_too_old_after_its_minutes(client, clock):
    address = link(HOME, TOKEN)
    clock["seconds"] = LINK_SECONDS
    assert client.get(address).status_code == 401


def test_link_of_before_a_restart_opens_nothing(client, clock):
    address = link(HOME, TOKEN)
    clock["seconds"] = 1
    assert client.get(address).status_code == 303
    assert Door(TOKEN).admits_link(address.partition("=")[2]) is False


def test_session_outlives_a_restart_and_ends_after_its_time(clock):
    cookies = {COOKIE: Door(TOKEN).session()}
    clock["seconds"] = SESSION_SECONDS - 1
    assert Door(TOKEN).admits({}, cookies)
    clock["seconds"] = SESSION_SECONDS
    assert not Door(TOKEN).admits({}, cookies)


def test_program_reads_by_the_token(client):
    answer = client.get("/status.json", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.json()["workload"] == "loan-default"


def test_page_without_a_login_says_which_command_prints_a_link(client):
    for path in ("/", "/status.json", "/login", "/login?token=", f"{Door(TOKEN).folder}/"):
        answer = client.get(path)
        assert (answer.status_code, CLOSED in answer.text) == (401, True)
    assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer guessed"},
        {"Authorization": "Bearer"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Cookie": COOKIE},
        {"Cookie": f"{COOKIE}={TOKEN}"},
        {"Cookie": f"{COOKIE}=99999999999999."},
        {"Cookie": f"{COOKIE}=99999999999999.{'0' * 64}"},
        {"Cookie": f"{COOKIE}=.{'0' * 64}"},
        {"Cookie": f"{COOKIE}={Door('other').session()}"},
    ],
)
def test_guessed_credentials_open_nothing(client, headers):
    assert client.get("/status.json", headers=headers).status_code == 401


@pytest.mark.parametrize("change", ["x{}", "{}0", "1{}"])
def test_changed_link_opens_nothing(client, change):
    made, _, signature = link(HOME, TOKEN).partition("=")[2].rpartition(".")
    for forged in (f"{change.format(made)}.{signature}", f"{made}.{change.format(signature)}", f"{made}.é", "é", "."):
        assert client.get("/login", params={"token": forged}).status_code == 401


def test_links_cookie_is_no_link_and_no_token(client):
    session = Door(TOKEN).session()
    assert client.get("/login", params={"token": session}).status_code == 401
    made = link(HOME, TOKEN).partition("=")[2]
    assert client.get("/status.json", headers={"Cookie": f"{COOKIE}={made}"}).status_code == 401
