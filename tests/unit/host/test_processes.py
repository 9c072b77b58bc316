"""A process is known by its pid and start time: the kernel gives a pid out again."""

import subprocess
import sys
from dataclasses import replace

import psutil
import pytest

from infra.host.processes import Identity, kill_group


@pytest.fixture
def leader():
    """Leads a process group of its own."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def predecessor(leader):
    """Had the leader's pid before it."""
    now = Identity.of(leader.pid)
    return replace(now, start_ticks=now.start_ticks - 1)


def test_process_with_a_reused_pid_is_another_process(leader, predecessor):
    assert Identity.of(leader.pid).alive()
    assert not predecessor.alive()


@pytest.mark.parametrize("grace_seconds", [0, 5])
def test_kill_group_spares_a_process_with_a_reused_pid(leader, predecessor, grace_seconds):
    kill_group(predecessor, grace_seconds)
    with pytest.raises(subprocess.TimeoutExpired):
        leader.wait(0.2)


def test_kill_group_ends_the_group_of_a_leader_that_is_gone():
    script = "sleep 600 >/dev/null & echo $!; read _"
    leader = subprocess.Popen(
        ["sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    member, identity = psutil.Process(int(leader.stdout.readline())), Identity.of(leader.pid)
    leader.communicate("\n")
    assert member.is_running()
    kill_group(identity)
    psutil.wait_procs([member], timeout=30)
    assert not member.is_running()
