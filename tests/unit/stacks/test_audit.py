import datetime as dt
import http.server
import io
import json
import threading

import pytest

from infra.base import paths
from stacks.commands import audit
from workloads.lifecycle.base import identity
from workloads.lifecycle.registry.audit_entry import Action, Entry, name_of
from workloads.lifecycle.registry.chain import hash_in

TOKEN = "a-token-that-nobody-guesses"
NOW = dt.datetime.now(dt.UTC)


def written(count):
    """Names and contents of a whole log, a minute between two entries."""
    found, before = {}, ()
    for number in range(1, count + 1):
        entry = Entry(
            id=f"{number:032x}",
            time=NOW - dt.timedelta(minutes=count - number),
            actor="user:anna@laptop",
            action=Action.RETRAIN,
            stack="local",
            workload="loan-default",
            object=f"retrain {number}",
            outcome="accepted",
            reason="new data",
            number=number,
            before=before,
        )
        name = name_of(entry)
        found[name], before = entry.model_dump(mode="json"), (hash_in(name),)
    return found


class Service(http.server.BaseHTTPRequestHandler):
    """Stands in for the retraining service: gives a log, and keeps what it is told."""

    def do_GET(self):
        self.answer({"entries": self.server.entries, "older": []})

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.told.append((self.headers["x-actor"], json.loads(body)))
        self.answer({})

    def answer(self, content):
        assert self.headers["authorization"] == f"Bearer {TOKEN}"
        self.server.asked.append(self.path)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())

    def log_message(self, *_):
        """Nothing."""


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return paths.state_dir() / "audit"


@pytest.fixture
def service():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Service)
    server.entries, server.told, server.asked = written(3), [], []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def outputs(service):
    url = f"http://127.0.0.1:{service.server_port}/retrain"
    return {
        "retrain_url": url,
        "retrain_token": TOKEN,
        "workload": "m:D",
        "workloads": {"loan-default": "m:D"},
        "endpoints": {"loan-default": {"retrain_url": url}},
        "retrain_tokens": {"loan-default": TOKEN},
    }


@pytest.fixture
def run(monkeypatch, capsys):
    def call(do, *arguments, given=None):
        monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(given) if given else ""))
        status = audit.main([do, "--stack", "local", *arguments])
        return status, *capsys.readouterr()

    return call


def test_the_log_is_a_table_and_lines_of_json(run, service):
    status, out, err = run("show", given=outputs(service))
    assert (status, err) == (0, "3 entries verified\n")
    assert out.splitlines()[0].split() == list(audit._FIELDS)
    assert "user:anna@laptop  retrain  local  loan-default  retrain 1  accepted  new data" in out
    _, lines, _ = run("show", "--json", given=outputs(service))
    assert [json.loads(line)["object"] for line in lines.splitlines()] == ["retrain 1", "retrain 2", "retrain 3"]


def test_a_changed_entry_fails_and_is_named(run, service):
    name = sorted(service.entries)[1]
    service.entries[name] |= {"actor": "user:nobody@nowhere"}
    status, _, err = run("show", given=outputs(service))
    assert status == 1
    assert f"BROKEN loan-default: audit/{name}: content was changed" in err


def test_only_days_from_since_on_are_asked_for_and_shown(run, service):
    first = min(service.entries)
    old = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    shown = audit.shown(
        {"x": {"entries": {**service.entries, first: {"time": old.isoformat(), "id": "1"}}}}, [], NOW.replace(hour=0)
    )
    assert len(shown) <= 2
    run("show", "--since", "2026-11-01", given=outputs(service))
    assert service.asked[-1] == "/audit?since=2026-11-01T00%3A00%3A00%2B00%3A00"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--since", "yesterday"], "SINCE=yesterday is no date: write year, month and day"),
        (["--since", "2999-01-01"], "SINCE=2999-01-01 is in the future: today is"),
        (["--workload", "churn"], "no workload 'churn' (it has loan-default): correct WORKLOAD"),
    ],
)
def test_bad_input_is_one_sentence_with_the_fix(run, service, arguments, said):
    status, out, err = run("show", *arguments, given=outputs(service))
    assert (status, out) == (1, "")
    assert said in err
    assert err.count("\n") == 1


def test_a_stack_that_never_was_says_so(run):
    assert run("show")[2] == (
        "error: the stack local is not up, and no copy of its log is kept: `make up` brings it up\n"
    )


def test_a_note_names_who_did_it_and_the_exemptions_that_held(run, service, monkeypatch):
    class Held:
        rule, resource, owner, reason, expiry = "K8S-01", "Pod/x/y", "anna", "a trial of a week", dt.date(2999, 1, 1)
        is_about = staticmethod(lambda stack: stack == "local")

    monkeypatch.setattr("stacks.commands.audit.exemptions.load", lambda: [Held])
    assert run("note", "--action", "up", given=outputs(service))[0] == 0
    (actor, up), (_, exemption) = service.told
    assert actor == identity.actor()
    assert (up["action"], up["object"], up["outcome"]) == ("up", "stack local", "done")
    assert exemption["object"] == "K8S-01 on Pod/x/y"
    assert "anna" in exemption["reason"]


def test_a_failed_up_is_noted_without_exemptions(run, service):
    assert run("note", "--action", "up", "--outcome", "failed", given=outputs(service))[0] == 0
    assert [(told["action"], told["outcome"]) for _, told in service.told] == [("up", "failed")]


def test_down_of_a_stack_that_is_down_notes_nothing_more(run, service, state):
    run("note", "--action", "down", "--outcome", "begun", "--keep", given=outputs(service))
    for _ in range(2):
        run("note", "--action", "down", "--outcome", "begun", "--keep")
        run("note", "--action", "down")
    waiting = [json.loads(file.read_bytes())["outcome"] for file in sorted((state / "local-waiting").glob("*.json"))]
    assert waiting == ["begun", "done"]


def test_a_note_that_nobody_takes_waits_and_is_delivered(run, service, state):
    away = outputs(service) | {"retrain_url": "http://127.0.0.1:1/retrain"}
    assert run("note", "--action", "up", given=away)[0] == 0
    assert len(list((state / "local-waiting").glob("*.json"))) == 1
    status, _, _ = run("show", "--json", given=outputs(service))
    assert status == 0
    assert [told["action"] for _, told in service.told] == ["up"]
    assert list((state / "local-waiting").glob("*.json")) == []


def test_down_leaves_a_copy_that_is_shown_afterwards(run, service, state):
    run("note", "--action", "down", "--outcome", "begun", "--keep", given=outputs(service))
    (copy,) = state.glob("local-down-*.json")
    assert copy.stat().st_mode & 0o077 == 0
    run("note", "--action", "down")
    status, out, err = run("show", "--json")
    assert status == 0
    assert [json.loads(line)["action"] for line in out.splitlines()] == ["retrain"] * 3 + ["down"]
    assert "1 entries wait on this machine: the stack is down" in err


def test_new_stack_of_the_same_name_shows_the_log_of_the_former_one(run, service):
    run("note", "--action", "down", "--outcome", "begun", "--keep", given=outputs(service))
    service.entries = {}
    status, out, _ = run("show", "--json", "--workload", "loan-default", given=outputs(service))
    assert status == 0
    assert [json.loads(line)["object"] for line in out.splitlines()] == ["retrain 1", "retrain 2", "retrain 3"]
    assert "no workload 'churn' (it has loan-default)" in run("show", "--workload", "churn")[2]


def test_down_of_a_stack_that_is_not_there_notes_nothing(run, state):
    assert run("note", "--action", "down", "--outcome", "begun", "--keep") == (0, "", "")
    assert not state.exists()
