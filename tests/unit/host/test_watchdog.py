import os
import signal
import socket
import sys
import threading
import time

import psutil
import pytest

from infra.base import health
from infra.host import watchdog
from infra.host.supervision import WATCHDOG

from .conftest import kind_of, request_for, web_server
from .test_orphans import wait_until

PROCESS, SUPERVISOR = kind_of("Process"), kind_of("Supervisor")
QUICK = {"interval_seconds": 0.1, "timeout_seconds": 0.3, "misses": 3, "grace_seconds": 0}


def quick_server(port, **changes):
    # With a grace, because a busy machine starts no server within three misses, 0.3 s.
    check = {"http_url": f"http://127.0.0.1:{port}/", **QUICK, "grace_seconds": 10}
    return web_server(port, health=check, **changes)


def pid(host, program="web"):
    return host.supervision._call("getProcessInfo", f"{program}:{program}")["pid"]


def log(host):
    return host.supervision.log_path(WATCHDOG).read_text()


@pytest.mark.parametrize("worker", [False, True])
def test_server_stopped_by_a_signal_is_restarted(supervised, port, worker):
    command = f"{sys.executable} -m http.server --bind 127.0.0.1 {port}"
    asked = quick_server(port, command=["sh", "-c", f"{command} & wait" if worker else f"exec {command}"])
    PROCESS.create(supervised, asked)
    first = pid(supervised)
    hung = psutil.Process(first).children()[0] if worker else psutil.Process(first)
    hung.suspend()
    wait_until(lambda: pid(supervised) not in (0, first), 30)
    wait_until(lambda: health.http_status(f"http://127.0.0.1:{port}/", 1) == 200)
    assert not hung.is_running() or hung.status() == psutil.STATUS_ZOMBIE
    assert "web: no answer 3 times in a row; killed, so that it starts again" in log(supervised)


def test_stopped_program_without_a_server_is_restarted(supervised):
    asked = request_for("Process", "web", command=["sleep", "300"], health={"command": ["true"], **QUICK})
    PROCESS.create(supervised, asked)
    wait_until(lambda: supervised.supervision.status("web").identity)
    first = pid(supervised)
    os.kill(first, signal.SIGSTOP)
    wait_until(lambda: pid(supervised) not in (0, first), 30)


def test_server_that_misses_less_often_in_a_row_is_left_alone(supervised, root):
    # Every third look is answered.
    check = f"n=$(cat {root}/n 2>/dev/null || echo 0); echo $((n + 1)) > {root}/n; test $((n % 3)) = 0"
    asked = request_for(
        "Process",
        "web",
        command=["sleep", "300"],
        health={"command": ["sh", "-c", check], **QUICK, "timeout_seconds": 60},
    )
    PROCESS.create(supervised, asked)
    wait_until(lambda: supervised.supervision.status("web").identity)
    first = pid(supervised)
    wait_until(lambda: int((root / "n").read_text() or 0) > 9, 30)
    assert pid(supervised) == first


def test_changed_health_check_is_used_without_a_restart(supervised, port):
    PROCESS.create(
        supervised, web_server(port, health={**quick_server(port).inputs.health.model_dump(), "misses": 1000})
    )
    first = pid(supervised)
    PROCESS.create(supervised, quick_server(port))
    assert pid(supervised) == first
    os.kill(first, signal.SIGSTOP)
    wait_until(lambda: pid(supervised) not in (0, first), 40)


def test_misses_count_only_after_the_first_answer_or_the_grace():
    misses, process, later = watchdog.Misses(), (1, 1), (2, 1)
    assert [misses.note(process, False, 60, now) for now in (0, 30, 60)] == [0, 0, 0]
    assert misses.note(process, False, 60, 61) == 1
    assert misses.note(process, True, 60, 62) == 0
    assert [misses.note(process, False, 60, now) for now in (63, 64)] == [1, 2]
    assert [misses.note(later, False, 60, now) for now in (65, 66)] == [0, 0]
    misses.note(later, True, 60, 67)
    assert misses.note(later, False, 60, 68) == 1


def test_defaults_wait_a_minute_for_a_slow_server():
    assert health.TIMEOUT_SECONDS >= 10
    assert health.MISSES * max(health.TIMEOUT_SECONDS, health.INTERVAL_SECONDS) >= 60


@pytest.mark.parametrize(
    ("answer", "answers", "responds"),
    [("200 OK", True, True), ("401 No", False, True), ("503 Down", False, False), ("garbage", False, False)],
)
def test_http_answers_are_told_apart(port, answer, answers, responds):
    check = {"http_url": f"http://127.0.0.1:{port}/", "command": None}
    text = answer if answer == "garbage" else f"HTTP/1.0 {answer}"

    def serve(server):
        for _ in range(2):
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(f"{text}\r\n\r\n".encode())

    with socket.create_server(("127.0.0.1", port)) as server:
        thread = threading.Thread(target=serve, args=(server,))
        thread.start()
        assert health.answers(check, {}, 5) == answers
        assert health.responds(check, {}, 5) == responds
        thread.join()


def test_a_server_that_asks_for_a_login_is_asked_with_one(port):
    check = {"http_url": f"http://127.0.0.1:{port}/", "command": None, "login": "somebody:secret"}
    asked = []

    def serve(server):
        connection, _ = server.accept()
        with connection:
            asked.append(connection.recv(1000).decode())
            connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")

    with socket.create_server(("127.0.0.1", port)) as server:
        thread = threading.Thread(target=serve, args=(server,))
        thread.start()
        assert health.answers(check, {}, 5)
        thread.join()
    assert "Authorization: Basic c29tZWJvZHk6c2VjcmV0\r\n" in asked[0]


def test_probe_of_a_loopback_server_uses_no_proxy(port, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert health.http_status(f"http://127.0.0.1:{port}/", 5) is None


def test_hung_supervisor_is_replaced_by_the_next_up(supervised, monkeypatch, port):
    PROCESS.create(supervised, web_server(port))
    monkeypatch.setattr("infra.host.supervision.ANSWER_SECONDS", 2)
    pidfile = supervised.root / "supervisor" / "supervisord.pid"
    hung = psutil.Process(int(pidfile.read_text()))
    hung.suspend()
    asked = request_for("Supervisor", "supervisor", search_path=os.environ["PATH"])
    seen = SUPERVISOR.read(supervised, asked, {})
    assert seen["state"] == "dead"
    assert SUPERVISOR.update(supervised, asked, seen)["state"] == "running"
    assert not hung.is_running() or hung.status() == psutil.STATUS_ZOMBIE
    assert PROCESS.create(supervised, web_server(port))["state"] == "running"


@pytest.mark.parametrize("problem", ["hung", "outdated"])
def test_hung_or_outdated_watchdog_is_drift_and_replaced(supervised, problem):
    record = supervised.root / "supervisor" / watchdog.RECORD_FILE
    wait_until(record.exists)
    wait_until(lambda: pid(supervised, WATCHDOG))
    first = pid(supervised, WATCHDOG)
    asked = request_for("Supervisor", "supervisor", search_path=os.environ["PATH"])
    assert SUPERVISOR.read(supervised, asked, {})["state"] == "running"
    psutil.Process(first).suspend()
    wait_until(lambda: psutil.Process(first).status() == psutil.STATUS_STOPPED)
    if problem == "hung":
        os.utime(record, (time.time() - 61, time.time() - 61))
    else:
        record.write_text(record.read_text().replace('"digest": "', '"digest": "x'))
    seen = SUPERVISOR.read(supervised, asked, {})
    assert seen["state"] == f"watchdog {problem}"
    assert SUPERVISOR.drift(supervised, asked.inputs, seen) == ["state"]
    SUPERVISOR.update(supervised, asked, seen)
    wait_until(lambda: pid(supervised, WATCHDOG) not in (0, first))
    wait_until(lambda: supervised.supervision.watchdog_state() is None)
