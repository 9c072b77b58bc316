"""The gateway of prod on a real Envoy: which connections are answered, with and without SNI.

Envoy Gateway is not run: its translation of a listener (`addServerNamesMatch` in internal/xds/translator/listener.go of
1.8.1) is repeated here. A hostname becomes `server_names` of the only filter chain, and there is no default chain.
"""

import json
import shutil
import socket
import ssl
import subprocess
import time
import urllib.request

import pytest
from pytest_pulumi_kubernetes.certificates import Authority

from tests import prod
from tests.gateways import aws_gateway
from tests.validators import envoy

pytestmark = pytest.mark.aws

TYPE = "type.googleapis.com/envoy.extensions.{}"
START_SECONDS = 20
RESET = ("ConnectionResetError", "SSLEOFError", "SSLZeroReturnError")
"""What a connection ends with that no filter chain takes."""


def declared(graph):
    """The listener that people reach, and the hosts of its routes."""
    (listener,) = graph.one("*:Gateway").get("spec.listeners")
    return listener, sorted(host for each in graph.all("*:HTTPRoute") for host in each.get("spec.hostnames"))


def configuration(listener, hosts, certificate, key):
    """What Envoy Gateway makes of them; each host answers with its own name."""
    pair = {"certificate_chain": {"filename": str(certificate)}, "private_key": {"filename": str(key)}}
    tls = {
        "@type": TYPE.format("transport_sockets.tls.v3.DownstreamTlsContext"),
        "common_tls_context": {"tls_certificates": [pair], "alpn_protocols": ["h2", "http/1.1"]},
    }
    routes = [
        {
            "name": host,
            "domains": [host],
            "routes": [
                {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": host}}},
            ],
        }
        for host in hosts
    ]
    manager = {
        "@type": TYPE.format("filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "https",
        "strip_any_host_port": True,
        "route_config": {"virtual_hosts": routes},
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": TYPE.format("filters.http.router.v3.Router")},
            }
        ],
    }
    chain = {
        "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": tls},
        "filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}],
    }
    inspector = {"@type": TYPE.format("filters.listener.tls_inspector.v3.TlsInspector")}
    made = {"name": listener["name"], "address": loopback(), "filter_chains": [chain]}
    if "hostname" in listener:
        chain["filter_chain_match"] = {"server_names": [listener["hostname"]]}
        made["listener_filters"] = [{"name": "envoy.filters.listener.tls_inspector", "typed_config": inspector}]
    return {"admin": {"address": loopback()}, "static_resources": {"listeners": [made]}}


def loopback():
    return {"socket_address": {"address": "127.0.0.1", "port_value": 0}}


@pytest.fixture
def serve(tmp_path):
    """Starts an Envoy with a listener; gives its port."""
    program = envoy()
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("there is no openssl: install it from this system's packages")
    running = []

    def start(listener, hosts):
        folder = tmp_path / str(len(running))
        folder.mkdir()
        certificate, key = Authority(folder, openssl).issue("gateway", hosts)
        (folder / "envoy.json").write_text(json.dumps(configuration(listener, hosts, certificate, key)))
        admin = folder / "admin"
        options = ("--concurrency", "1", "--use-dynamic-base-id", "--log-level", "error")
        command = [program, "-c", folder / "envoy.json", "--admin-address-path", admin, *options]
        running.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True))
        return port(running[-1], admin)

    yield start
    for process in running:
        process.kill()
        process.communicate()


def port(process, admin):
    """The listener's port, once Envoy has told it."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        if admin.is_file() and admin.read_text():
            with urllib.request.urlopen(f"http://{admin.read_text()}/listeners?format=json", timeout=5) as answer:
                listening = json.load(answer).get("listener_statuses", [])
            if listening:
                return listening[0]["local_address"]["socket_address"]["port_value"]
        time.sleep(0.05)
    process.kill()
    pytest.fail(f"Envoy does not listen: {process.communicate()[1]}")


def answer(port, host, server_name):
    """The status line and body of a request for a host; the error's name where the connection is reset."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname=server_name) as connection,
        ):
            connection.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            received = b"".join(iter(lambda: connection.recv(4096), b"")).decode()
    except (ConnectionResetError, ssl.SSLError) as error:
        return type(error).__name__
    head, _, body = received.partition("\r\n\r\n")
    return f"{head.split()[1]} {body}"


def test_prod_answers_a_load_balancer_that_sends_no_sni(serve, pulumi_run):
    listener, hosts = declared(pulumi_run(aws_gateway(prod.settings().exposure)))
    (host,) = hosts
    port = serve(listener, hosts)
    assert answer(port, host, None) == f"200 {host}"
    assert answer(port, "other.example.com", None).startswith("404")


def test_passed_on_tls_with_sni_is_answered(serve, pulumi_run):
    chosen = prod.settings(exposure={"certificate": {"kind": "cluster-issuer", "name": "letsencrypt"}}).exposure
    listener, hosts = declared(pulumi_run(aws_gateway(chosen)))
    (host,) = hosts
    port = serve(listener, hosts)
    assert answer(port, host, host) == f"200 {host}"
    assert answer(port, host, None) in RESET
