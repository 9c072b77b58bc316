import os
import random
import re
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from infra.base import orphans
from infra.host.errors import HostError
from infra.host.kinds import Host
from infra.host.kinds.port import EPHEMERAL_RANGE
from infra.host.processes import port_owner

from .conftest import kind_of, request_for

PORT, SECRET = kind_of("Port"), kind_of("Secret")


def test_chosen_port_is_free_and_outside_the_ephemeral_range(host):
    lowest_ephemeral = int(EPHEMERAL_RANGE.read_text().split()[0])
    for _ in range(20):
        number = PORT.create(host, request_for("Port", "p"))["chosen"]
        assert 20_000 <= number < lowest_ephemeral
        socket.create_server(("127.0.0.1", number)).close()


def test_ports_chosen_at_the_same_time_by_several_stacks_differ(root, monkeypatch):
    # Ten free numbers for eight stacks: without reservations some would draw the same.
    monkeypatch.setattr("infra.host.kinds.port.LOWEST", 21_000)
    monkeypatch.setattr("infra.host.kinds.port.random.randint", lambda lowest, _: lowest + random.randrange(10))
    hosts = [Host(root / str(number), None, None) for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        chosen = list(pool.map(lambda host: PORT.create(host, request_for("Port", "p"))["chosen"], hosts))
    assert len(set(chosen)) == 8


def test_port_of_a_stack_that_does_not_run_is_not_given_away(root, monkeypatch):
    monkeypatch.setattr("infra.host.kinds.port.random.randint", lambda lowest, _: lowest + random.randrange(2))
    first, second = Host(root / "a", None, None), Host(root / "b", None, None)
    outputs = PORT.create(first, request_for("Port", "p"))
    assert PORT.create(second, request_for("Port", "p")) != outputs
    with pytest.raises(HostError, match="no free port"):
        PORT.create(second, request_for("Port", "q"))
    PORT.delete(first, request_for("Port", "p"), outputs)
    assert PORT.create(second, request_for("Port", "q")) == outputs


def test_reservation_ends_with_the_folder_of_its_stack(root, monkeypatch):
    monkeypatch.setattr("infra.host.kinds.port.random.randint", lambda lowest, _: lowest)
    first, second = Host(root / "a", None, None), Host(root / "b", None, None)
    PORT.create(first, request_for("Port", "p"))
    first.root.rmdir()
    assert PORT.create(second, request_for("Port", "p"))["chosen"] == 20_000


def test_lost_or_damaged_reservations_are_made_again_by_a_refresh(root, state_home, monkeypatch):
    monkeypatch.setattr("infra.host.kinds.port.random.randint", lambda lowest, _: lowest)
    first, second = Host(root / "a", None, None), Host(root / "b", None, None)
    outputs = PORT.create(first, request_for("Port", "p"))
    (file,) = state_home.rglob("ports.json")
    file.write_text("{")
    PORT.read(first, request_for("Port", "p"), outputs)
    with pytest.raises(HostError, match="no free port"):
        PORT.create(second, request_for("Port", "p"))
    PORT.delete(first, request_for("Port", "p"), outputs)
    assert not file.exists()


def test_owner_of_a_port_is_named_with_its_stack(root, port):
    code = f"import socket, time; s = socket.create_server(('127.0.0.1', {port})); print(flush=True); time.sleep(300)"
    environment = orphans.mark(root / "another", "process:web")
    with subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE) as server:
        server.stdout.readline()
        owner = port_owner(port)
        server.kill()
    assert owner.startswith(f"pid {server.pid} (")
    assert owner.endswith(f", of the stack in {root / 'another'})")


def test_a_port_asked_for_is_taken_as_it_is(host, port):
    assert PORT.create(host, request_for("Port", "p", number=port)) == {"chosen": port}


def test_taken_port_is_reported_with_its_owner_and_the_fix(host, port):
    with (
        socket.create_server(("127.0.0.1", port)),
        pytest.raises(HostError, match=rf"port {port} \('p'\) is taken by pid {os.getpid()} .*leave the port out"),
    ):
        PORT.create(host, request_for("Port", "p", number=port))


@pytest.mark.parametrize("number", [80, 70_000])
def test_a_port_out_of_range_is_refused(number):
    with pytest.raises(ValueError, match="number"):
        request_for("Port", "p", number=number)


def test_secrets_are_long_plain_and_different(host):
    values = {SECRET.create(host, request_for("Secret", "s", length=40))["value"] for _ in range(100)}
    assert len(values) == 100
    assert all(re.fullmatch("[A-Za-z0-9]{40}", value) for value in values)
