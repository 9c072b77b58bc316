import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil
import pytest

from infra.host.errors import CancelledError, HostError
from infra.host.processes import Identity
from infra.host.supervision import Supervision

from .conftest import kind_of, request_for, web_server

PROCESS = kind_of("Process")


def wait_until(condition, seconds=15):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.05)


def pid(host):
    return host.supervision.status("web").identity.pid


def wait_until_running(host):
    """Until the supervisor counts the start as a success: what dies earlier failed to start."""
    wait_until(lambda: host.supervision.status("web").state == "RUNNING")


def answers(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=1) as answer:
            return answer.status == 200
    except OSError:
        return False


def test_a_process_is_created_once_it_answers(supervised, port):
    outputs = PROCESS.create(supervised, web_server(port))
    assert answers(port)
    assert outputs["state"] == "running"
    assert PROCESS.drift(supervised, web_server(port).inputs, outputs) == []


def test_a_killed_process_comes_back_with_another_pid(supervised, port):
    PROCESS.create(supervised, web_server(port))
    wait_until_running(supervised)
    first = pid(supervised)
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: answers(port))
    assert pid(supervised) != first


def test_a_killed_supervisor_comes_back_and_its_processes_with_it(supervised, root, port):
    PROCESS.create(supervised, web_server(port))
    wait_until_running(supervised)
    pidfile = root / "supervisor" / "supervisord.pid"
    first = pidfile.read_text()
    os.kill(int(first), signal.SIGKILL)
    wait_until(lambda: pidfile.read_text() not in (first, "") and supervised.supervision.alive() and answers(port))
    assert PROCESS.read(supervised, web_server(port), {})["state"] == "running"


def test_workers_of_a_killed_parent_end_before_it_comes_back(supervised, port):
    # A parent that serves in a child of its own, as MLflow and gunicorn do.
    server = f"{sys.executable} -m http.server --bind 127.0.0.1 {port}"
    PROCESS.create(supervised, web_server(port, command=["sh", "-c", f"{server} & wait"]))
    wait_until_running(supervised)
    first = pid(supervised)
    (worker,) = psutil.Process(first).children()
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)
    wait_until(lambda: supervised.supervision.status("web").state == "RUNNING" and answers(port))
    assert pid(supervised) != first


def test_read_tells_a_dead_process(supervised, port):
    outputs = PROCESS.create(supervised, web_server(port))
    supervised.supervision._call("stopProcessGroup", "web")
    seen = PROCESS.read(supervised, web_server(port), outputs)
    assert seen["state"] == "dead"
    assert PROCESS.drift(supervised, web_server(port).inputs, seen) == ["state"]
    assert PROCESS.update(supervised, web_server(port), seen)["state"] == "running"


def test_read_tells_a_process_that_was_launched_with_other_inputs(supervised, port):
    outputs = PROCESS.create(supervised, web_server(port))
    edited = web_server(port, environment={"MODE": "edited"})
    seen = PROCESS.read(supervised, edited, outputs)
    assert seen["state"].startswith("changed")
    PROCESS.update(supervised, edited, seen)
    assert PROCESS.read(supervised, edited, outputs)["state"] == "running"


def test_process_whose_folder_was_made_anew_is_restarted(supervised, root, port):
    folder = root / "objects"
    folder.mkdir()
    asked = web_server(port, folders=[str(folder)], directory=str(folder))
    outputs = PROCESS.create(supervised, asked)
    first = pid(supervised)
    assert PROCESS.update(supervised, asked, outputs)["state"] == "running"
    assert pid(supervised) == first
    shutil.rmtree(folder)
    seen = PROCESS.read(supervised, asked, outputs)
    assert seen["state"] == f"changed: it uses the folder {folder} of before, which was deleted"
    assert PROCESS.drift(supervised, asked.inputs, seen) == ["state"]
    folder.mkdir()
    assert PROCESS.update(supervised, asked, seen)["state"] == "running"
    assert pid(supervised) != first
    assert PROCESS.read(supervised, asked, outputs)["state"] == "running"


def test_read_tells_a_foreign_process_on_the_port(supervised, port):
    outputs = PROCESS.create(supervised, web_server(port))
    supervised.supervision.stop("web")
    with socket.create_server(("127.0.0.1", port)):
        seen = PROCESS.read(supervised, web_server(port), outputs)
        assert seen["state"] == f"foreign: port {port} is held by pid {os.getpid()} ({_own_name()})"


def _own_name():
    return Path("/proc/self/comm").read_text().strip()


def test_read_is_not_deceived_by_a_reused_pid(supervised, root, port):
    outputs = PROCESS.create(supervised, web_server(port))
    record = root / "supervisor" / "specs" / "web.run"
    real = Identity.of(pid(supervised))
    record.write_text(f'{{"pid": {real.pid}, "start_ticks": {real.start_ticks - 100}, "digest": "x"}}')
    wait_until(lambda: supervised.supervision.status("web").state == "RUNNING")
    assert PROCESS.read(supervised, web_server(port), outputs)["state"].startswith("foreign")


def test_a_taken_port_is_reported_with_its_owner(supervised, port):
    with socket.create_server(("127.0.0.1", port)):
        message = rf"port {port} for 'web' is taken by pid {os.getpid()} \(.+\): end that process, or give another port"
        with pytest.raises(HostError, match=message):
            PROCESS.create(supervised, web_server(port))


def test_process_that_keeps_exiting_fails_with_its_last_lines(supervised, root):
    asked = request_for(
        "Process", "web", command=["sh", "-c", "echo cannot find my hat; exit 3"], health={"command": ["false"]}
    )
    with pytest.raises(HostError, match=r"'web' exited 3 times while starting; last lines of(.|\n)*cannot find my hat"):
        PROCESS.create(supervised, asked)
    assert supervised.supervision.status("web").state == "ABSENT"
    assert not (root / "supervisor" / "programs" / "web.conf").exists()


def test_error_of_a_process_that_does_not_start_names_its_runbook(supervised):
    asked = request_for(
        "Process", "web", command=["false"], health={"command": ["false"]}, runbook="docs/runbooks/online-store.md"
    )
    with pytest.raises(HostError, match=r"while starting \(remedies: docs/runbooks/online-store.md\); last lines"):
        PROCESS.create(supervised, asked)


def test_a_process_that_never_answers_fails_after_its_start_timeout(supervised):
    asked = request_for(
        "Process", "web", command=["sleep", "60"], health={"command": ["false"]}, start_timeout_seconds=1
    )
    with pytest.raises(HostError, match="did not answer its health check within 1 s"):
        PROCESS.create(supervised, asked)


def test_cancelling_ends_what_was_starting(supervised):
    supervised.cancelled.set()
    asked = request_for("Process", "web", command=["sleep", "60"], health={"command": ["false"]})
    with pytest.raises(CancelledError):
        PROCESS.create(supervised, asked)
    assert supervised.supervision.status("web").state == "ABSENT"


def test_creating_again_leaves_a_running_process_alone(supervised, port):
    PROCESS.create(supervised, web_server(port))
    first = pid(supervised)
    PROCESS.create(supervised, web_server(port))
    assert pid(supervised) == first


def test_deleting_leaves_neither_process_nor_file(supervised, root, port):
    outputs = PROCESS.create(supervised, web_server(port))
    leader = Identity.of(pid(supervised))
    PROCESS.delete(supervised, web_server(port), outputs)
    assert not leader.alive()
    assert [path for path in root.rglob("*") if "web" in path.name] == []


def test_values_of_any_shape_reach_the_process(supervised, root, port):
    odd = {"QUOTES": "a'b\"c", "PERCENT": "%(here)s", "LINES": "one\ntwo", "EQUALS": "x=y,z"}
    program = f"import json,os; print(json.dumps({{k: os.environ[k] for k in {sorted(odd)}}}), flush=True)"
    command = [
        sys.executable,
        "-c",
        f"{program}; import runpy, sys; sys.argv = ['x', '--bind', '127.0.0.1', '{port}']; ",
    ]
    command[-1] += "runpy.run_module('http.server', run_name='__main__')"
    PROCESS.create(supervised, web_server(port, command=command, environment=odd))
    assert json.loads((root / "logs" / "web.log").read_text().splitlines()[0]) == odd


def test_secrets_are_in_no_argument_and_no_file_that_others_can_read(supervised, root, port):
    secret = "hunter2-hunter2-hunter2"
    PROCESS.create(supervised, web_server(port, environment={"TOKEN": secret}))
    titles = subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, text=True, check=True).stdout
    assert secret not in titles
    holders = [path for path in root.rglob("*") if path.is_file() and secret in path.read_text(errors="replace")]
    assert holders
    assert {path.stat().st_mode & 0o077 for path in holders} == {0}


def test_only_loopback_is_bound(supervised, port):
    PROCESS.create(supervised, web_server(port))
    everyone = psutil.process_iter(["pid", "cmdline"])
    pids = {each.pid for each in everyone if str(supervised.root) in " ".join(each.info["cmdline"] or [])}
    listening = [c for c in psutil.net_connections() if c.status == "LISTEN" and c.pid in {*pids, pid(supervised)}]
    assert listening
    assert {c.laddr.ip for c in listening} == {"127.0.0.1"}


def test_shutting_down_ends_every_process(supervised, port):
    PROCESS.create(supervised, web_server(port))
    leader = Identity.of(pid(supervised))
    supervised.supervision.shut_down()
    assert not leader.alive()
    assert not supervised.supervision.alive()


def test_a_socket_path_that_is_too_long_is_refused_with_the_fix(tmp_path):
    with pytest.raises(HostError, match="a unix socket allows 107: set XDG_STATE_HOME to a shorter path"):
        Supervision(tmp_path / ("x" * 120)).ensure("/bin")
