import os
import signal
import subprocess
import sys

import pytest

from tools import stack_processes

DEAF = "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(300)"

SUPERVISOR = f"""
import signal, subprocess, sys, time
program = subprocess.Popen([sys.executable, "-c", {DEAF!r}], stdout=subprocess.PIPE, text=True)
program.stdout.readline()
signal.signal(signal.SIGTERM, lambda *_: (program.kill(), program.wait(), sys.exit(0)))
print(flush=True)
time.sleep(300)
"""
"""Its program ignores SIGTERM: only the supervisor ends it."""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "supervisor").mkdir()
    return tmp_path


@pytest.fixture
def run(folder):
    started = []

    def start(program, home=folder / "home"):
        process = subprocess.Popen(
            [sys.executable, "-c", program], env={"HOME": str(home)}, stdout=subprocess.PIPE, text=True
        )
        process.stdout.readline()
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_processes_are_found_by_their_home(folder, run):
    mine, _other = run(DEAF), run(DEAF, folder / "other" / "home")
    assert [each.pid for each in stack_processes.living(folder)] == [mine.pid]


def test_processes_that_ignore_sigterm_are_killed(folder, run, monkeypatch):
    monkeypatch.setattr(stack_processes, "GRACE_SECONDS", 0.2)
    processes = [run(DEAF), run(DEAF)]
    assert {each.pid for each in stack_processes.end(folder)} == {process.pid for process in processes}
    assert [process.wait(5) for process in processes] == [-signal.SIGKILL] * 2
    assert stack_processes.end(folder) == []


def test_the_supervisor_ends_its_programs_itself(folder, run):
    supervisor = run(SUPERVISOR)
    (folder / "supervisor" / "supervisord.pid").write_text(f"{supervisor.pid}\n")
    assert len(stack_processes.end(folder)) == 2
    assert supervisor.wait(5) == 0


def test_an_ended_process_that_nobody_waited_for_does_not_live(folder):
    with subprocess.Popen([sys.executable, "-c", ""], env={"HOME": str(folder / "home")}) as zombie:
        os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
        assert stack_processes.living(folder) == []
