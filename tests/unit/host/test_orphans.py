import json
import os
import pwd
import signal
import subprocess
import sys
import time

import psutil
import pytest

from infra.base import orphans
from infra.host.supervision import Supervision

from .conftest import kind_of, request_for, web_server

PROCESS, SUPERVISOR = kind_of("Process"), kind_of("Supervisor")


def wait_until(condition, seconds=15):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.05)


def forking_server(port, session=""):
    """A parent that serves in a child of its own, as MLflow and gunicorn do."""
    server = f"{session} {sys.executable} -m http.server --bind 127.0.0.1 {port}"
    return web_server(port, command=["sh", "-c", f"{server} & wait"])


def kill_all_but_the_worker(host):
    """Kill supervisor, watchdog and the server's parent at once; gives the worker that is left."""
    supervisor = psutil.Process(int((host.root / "supervisor" / "supervisord.pid").read_text()))
    parent = psutil.Process(host.supervision.status("web").identity.pid)
    (worker,) = parent.children(recursive=True)
    for each in [supervisor, *(child for child in supervisor.children(recursive=True) if child != worker)]:
        each.kill()
    wait_until(lambda: not host.supervision.alive() and gone(parent))
    assert not gone(worker)
    return worker


def gone(process):
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def supervise(host):
    return SUPERVISOR.create(host, request_for("Supervisor", "supervisor", search_path=os.environ["PATH"]))


@pytest.mark.parametrize("session", ["", "setsid"])
def test_worker_that_outlived_everything_ends_before_the_next_start(supervised, port, session):
    PROCESS.create(supervised, forking_server(port, session))
    worker = kill_all_but_the_worker(supervised)
    supervise(supervised)
    assert gone(worker)
    assert PROCESS.create(supervised, forking_server(port, session))["state"] == "running"


def test_program_that_a_new_supervisor_starts_is_not_started_twice(supervised, port):
    PROCESS.create(supervised, web_server(port))
    for each in orphans.find(supervised.root):
        os.kill(each.pid, signal.SIGKILL)
    wait_until(lambda: not supervised.supervision.alive())
    supervise(supervised)
    PROCESS.create(supervised, web_server(port))
    told = (supervised.root / "supervisor" / "supervisord.log").read_text()
    assert told.count("spawned: 'web'") == 2
    assert "waiting for web to stop" not in told


def test_copy_of_the_supervisor_that_becomes_a_program_is_launching(supervised, sleeper, monkeypatch):
    forked = sleeper(None, sys.executable, "-c", "import os, time; os.fork(); time.sleep(300)")
    wait_until(lambda: psutil.Process(forked.pid).children())
    (child,) = psutil.Process(forked.pid).children()
    answer = {"pid": child.pid, "statename": "STARTING"}
    with monkeypatch.context() as patch:
        patch.setattr(supervised.supervision, "_call", lambda *_: answer)
        assert supervised.supervision.status("web").launching
    child.kill()


def test_watchdog_ends_a_worker_that_outlived_supervisor_and_parent(supervised, port):
    PROCESS.create(supervised, forking_server(port, "setsid"))
    supervisor = int((supervised.root / "supervisor" / "supervisord.pid").read_text())
    parent = supervised.supervision.status("web").identity.pid
    (worker,) = psutil.Process(parent).children(recursive=True)
    for pid in (supervisor, parent):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: gone(worker) and supervised.supervision.status("web").state == "RUNNING")


def test_worker_without_environment_is_found_by_its_recorded_group(supervised, port):
    command = ["sh", "-c", f"env -i {sys.executable} -m http.server --bind 127.0.0.1 {port} & wait"]
    PROCESS.create(supervised, web_server(port, command=command))
    worker = kill_all_but_the_worker(supervised)
    assert [each.pid for each in orphans.find(supervised.root)] == [worker.pid]


def test_end_without_any_record_leaves_nothing_running(supervised, port):
    PROCESS.create(supervised, forking_server(port))
    running = [psutil.Process(each.pid) for each in orphans.find(supervised.root)]
    for path in (supervised.root / "supervisor" / "specs").glob("*.run"):
        path.unlink()
    ended = orphans.end(supervised.root, grace_seconds=15)
    assert {each.program for each in ended} == {"supervisor", "process:web"}
    assert len(running) >= 4
    assert all(gone(each) for each in running)


def test_stopped_processes_are_ended_too(supervised, port):
    PROCESS.create(supervised, web_server(port))
    running = [psutil.Process(each.pid) for each in orphans.find(supervised.root)]
    for each in running:
        each.suspend()
    orphans.end(supervised.root)
    assert all(gone(each) for each in running)


@pytest.fixture
def sleeper():
    started = []

    def start(environment, *command, **options):
        started.append(subprocess.Popen(command or ["sleep", "300"], env=environment, **options))
        return started[-1]

    yield start
    for each in started:
        each.kill()
        each.wait()


def test_processes_of_another_stack_are_never_found(root, sleeper):
    ours = sleeper(orphans.mark(root, "process:web"))
    sleeper(orphans.mark(root.with_name(f"{root.name}-2"), "process:web"))
    sleeper({"NOTE": str(root)})
    assert [each.pid for each in orphans.find(root)] == [ours.pid]


def test_processes_of_another_user_are_never_found(root, sleeper):
    if os.geteuid() != 0:
        pytest.skip("only root can start a process of another user")
    nobody = pwd.getpwnam("nobody").pw_uid
    theirs = sleeper(orphans.mark(root, "process:web"), user=nobody)
    orphans.end(root)
    assert theirs.poll() is None


@pytest.fixture
def recorded(root, sleeper):
    """A group of a parent and its worker without any mark, and the function that writes its record."""
    specs = root / "supervisor" / "specs"
    specs.mkdir(parents=True)
    leader = sleeper({"PATH": os.environ["PATH"]}, "sh", "-c", "sleep 300 & wait", start_new_session=True)
    wait_until(lambda: psutil.Process(leader.pid).children())
    (worker,) = psutil.Process(leader.pid).children()
    record = orphans.launch_record(leader.pid)

    def write(**changes):
        (specs / "web.run").write_text(json.dumps(record | {"digest": "x"} | changes))
        return {each.pid for each in orphans.find(root)}

    yield leader, worker, write
    worker.kill()


def test_group_is_found_with_and_without_its_leader(recorded):
    leader, worker, found_by = recorded
    assert found_by() == {leader.pid, worker.pid}
    leader.kill()
    leader.wait()
    assert found_by() == {worker.pid}


@pytest.mark.parametrize("change", [{"start_ticks": 1}, {"boot": "another"}])
def test_group_that_got_a_recorded_number_later_is_not_found(recorded, change):
    _, _, found_by = recorded
    assert found_by(**change) == set()


@pytest.mark.parametrize("change", [{"session": 1}, {"start_ticks": 2**40}])
def test_group_that_got_the_number_of_a_dead_leader_is_not_found(recorded, change):
    leader, _, found_by = recorded
    leader.kill()
    leader.wait()
    assert found_by(**change) == set()


def test_own_process_is_never_found(root):
    code = f"from infra.base import orphans; from pathlib import Path; print(orphans.find(Path({str(root)!r})))"
    environment = {"PYTHONPATH": os.pathsep.join(sys.path), **orphans.mark(root, "process:web")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_damaged_record_is_no_error(root):
    specs = root / "supervisor" / "specs"
    specs.mkdir(parents=True)
    (specs / "web.run").write_text("")
    assert orphans.find(root) == []
    assert Supervision(root).status("web").state == "ABSENT"
