import os
import re
import socket

import pytest

from infra.host.errors import HostError
from infra.host.kinds.port import EPHEMERAL_RANGE

from .conftest import kind_of, request_for

PORT, SECRET = kind_of("Port"), kind_of("Secret")


def test_a_chosen_port_is_free_and_outside_the_range_of_outgoing_connections(host):
    lowest_ephemeral = int(EPHEMERAL_RANGE.read_text().split()[0])
    for _ in range(20):
        number = PORT.create(host, request_for("Port", "p"))["chosen"]
        assert 20_000 <= number < lowest_ephemeral
        socket.create_server(("127.0.0.1", number)).close()


def test_a_port_asked_for_is_taken_as_it_is(host, port):
    assert PORT.create(host, request_for("Port", "p", number=port)) == {"chosen": port}


def test_a_port_asked_for_but_taken_is_reported_with_its_owner_and_the_fix(host, port):
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
