"""Parts of a real node that need neither root nor a node: rules of network policies, images, the registry, refusals."""

import hashlib
import json
import os
import shutil
import tarfile
import threading
import urllib.error
import urllib.request
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from pytest_pulumi_kubernetes import enclosure, registry
from pytest_pulumi_kubernetes.network_rules import compiled, matches
from pytest_pulumi_kubernetes.stand_ins import Image, ImageStore


def namespace(name, **labels):
    return {"metadata": {"name": name, "labels": labels}}


def pod(name, address, space="one", ports=(), **labels):
    about = {"name": name, "namespace": space, "uid": name, "labels": labels}
    spec = {"containers": [{"ports": list(ports)}]}
    return {"metadata": about, "spec": spec, "status": {"phase": "Running", "podIP": address}}


def policy(space="one", **spec):
    return {"metadata": {"namespace": space}, "spec": {"podSelector": {}, **spec}}


SPACES = (namespace("one", team="a"), namespace("two", team="b"))
SERVER = pod("server", "10.0.0.1", app="server", ports=[{"name": "http", "containerPort": 80}])
NEAR = pod("near", "10.0.0.2", app="client")
FAR = pod("far", "10.0.0.3", space="two", app="client")


def chain(script, name):
    """Lines of one chain of a script."""
    body = script.split(f"chain {name} {{\n")[1].split(" }\n")[0] if f"chain {name} {{" in script else None
    return None if body is None else [line.strip() for line in body.splitlines()]


def rules(*policies):
    """What may enter the server's pod, which is the last by its identity."""
    return chain(compiled(policies, [SERVER, NEAR, FAR], SPACES), "pod2_ingress")


def test_pod_that_no_policy_selects_is_open():
    assert "jump" not in compiled([], [SERVER], SPACES)


def test_policy_without_rules_closes_both_directions():
    script = compiled([policy(policyTypes=["Ingress", "Egress"])], [SERVER], SPACES)
    assert chain(script, "pod0_ingress") == chain(script, "pod0_egress") == ["counter drop"]
    assert "ip daddr 10.0.0.1 jump pod0_ingress" in script
    assert script.count("ip saddr 10.0.0.1 jump pod0_egress") == 2  # to other pods, and to the node


@pytest.mark.parametrize(
    ("peer", "addresses"),
    [
        ({"podSelector": {"matchLabels": {"app": "client"}}}, "10.0.0.2"),
        ({"namespaceSelector": {"matchLabels": {"team": "b"}}}, "10.0.0.3"),
        ({"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "client"}}}, "10.0.0.2, 10.0.0.3"),
    ],
)
def test_peers_are_the_pods_of_the_namespaces_that_are_meant(peer, addresses):
    found = rules(policy(ingress=[{"from": [peer], "ports": [{"port": 80}]}]))
    assert found == [f"ip saddr {{ {addresses} }} tcp dport 80 return", "counter drop"]


def test_peer_that_selects_no_pod_opens_nothing():
    assert rules(policy(ingress=[{"from": [{"podSelector": {"matchLabels": {"app": "none"}}}]}])) == ["counter drop"]


def test_named_port_is_the_servers_and_an_unknown_one_opens_nothing():
    assert rules(policy(ingress=[{"ports": [{"port": "http"}, {"port": "other"}]}])) == [
        "tcp dport 80 return",
        "counter drop",
    ]


def test_range_of_ports_and_addresses_with_exceptions():
    block = {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}
    ports = [{"port": 1000, "endPort": 2000, "protocol": "UDP"}]
    assert rules(policy(ingress=[{"from": [block], "ports": ports}])) == [
        "ip saddr 10.0.0.0/8 ip saddr != { 10.1.0.0/16 } udp dport 1000-2000 return",
        "counter drop",
    ]


def test_pods_that_have_ended_keep_no_address():
    ended = {**NEAR, "status": {"phase": "Succeeded", "podIP": "10.0.0.1"}}
    script = compiled([policy(policyTypes=["Ingress"])], [SERVER, ended], SPACES)
    assert script.count("jump") == 1


@pytest.mark.parametrize(
    ("operator", "values", "fits"),
    [("In", ["a"], True), ("NotIn", ["a"], False), ("Exists", None, True), ("DoesNotExist", None, False)],
)
def test_expressions_of_selectors(operator, values, fits):
    selector = {"matchExpressions": [{"key": "team", "operator": operator, "values": values}]}
    assert matches(selector, {"team": "a"}) is fits


@pytest.fixture
def store(tmp_path):
    return ImageStore(tmp_path / "registry", tmp_path / "cache")


@pytest.fixture
def busybox(tmp_path):
    """Something that lists its applets as busybox does."""
    path = tmp_path / "busybox"
    path.write_text("#!/bin/sh\necho busybox\necho sh\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def served(store):
    handler = type("Handler", (registry.Handler,), {"folder": store.folder, "log_message": lambda *_: None})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v2/"
        server.shutdown()


def get(url):
    with urllib.request.urlopen(url) as answer:
        return answer.read()


def test_registry_gives_an_image_by_tag_and_by_digest(store, served, busybox):
    digest = store.add(Image(reference="docker.io/library/some:1", files={"/etc/some": "text"}), busybox)
    assert get(served) == b""
    manifest = get(f"{served}library/some/manifests/1")
    assert manifest == get(f"{served}library/some/manifests/{digest}")
    layers = json.loads(manifest)["layers"]
    for layer in layers:
        data = get(f"{served}library/some/blobs/{layer['digest']}")
        assert (f"sha256:{hashlib.sha256(data).hexdigest()}", len(data)) == (layer["digest"], layer["size"])


@pytest.mark.parametrize("path", ["library/none/manifests/1", "library/some/manifests/2", "../../etc/manifests/passwd"])
def test_registry_has_no_other_image(store, served, busybox, path):
    store.add(Image(reference="docker.io/library/some:1"), busybox)
    with pytest.raises(urllib.error.HTTPError, match="404"):
        get(served + path)


def test_image_brings_the_libraries_of_its_programs(store, busybox):
    program = Path(shutil.which("openssl"))
    digest = store.add(Image(reference="docker.io/library/some:1", files={"/bin/some": program}), busybox)
    manifest = json.loads((store.folder / "blobs" / digest.removeprefix("sha256:")).read_text())
    layer = store.folder / "blobs" / manifest["layers"][1]["digest"].removeprefix("sha256:")
    with tarfile.open(layer) as archive:
        names = archive.getnames()
    assert "bin/some" in names
    assert any("libc.so" in name for name in names)


def test_same_files_make_the_same_image(tmp_path, busybox):
    image = Image(reference="docker.io/library/some:1", files={"/etc/some": "text"})
    digests = {ImageStore(tmp_path / each, tmp_path / f"{each}-cache").add(image, busybox) for each in ("a", "b")}
    assert len(digests) == 1


def test_changed_file_makes_another_layer(store, busybox):
    first, second = (
        store.add(Image(reference="docker.io/library/some:1", files={"/etc/some": text}), busybox) for text in "ab"
    )
    assert first != second


def test_cgroups_of_a_killed_test_are_removed_and_others_stay(monkeypatch, tmp_path):
    left, running = tmp_path / "pytest-node-999999999-aa", tmp_path / f"pytest-node-{os.getpid()}-bb"
    (left / "kubepods" / "pod1").mkdir(parents=True)
    running.mkdir()
    monkeypatch.setattr(enclosure, "_hierarchies", lambda: ["memory"])
    monkeypatch.setattr(enclosure, "_hierarchy", lambda _: tmp_path)
    enclosure._remove_left_over()
    assert list(tmp_path.iterdir()) == [running]


def test_node_is_refused_without_root(monkeypatch, tmp_path):
    monkeypatch.setattr(enclosure.os, "geteuid", lambda: 1000)
    with pytest.raises(enclosure.NoNodeError, match="needs root"):
        enclosure.require(tmp_path)


def test_node_is_refused_on_a_full_disk(monkeypatch, tmp_path):
    monkeypatch.setattr(enclosure.os, "geteuid", lambda: 0)
    monkeypatch.setattr(enclosure, "_hierarchy", lambda _: tmp_path)
    monkeypatch.setattr(enclosure, "CONTROLLERS", ())
    monkeypatch.setattr(enclosure, "DISK_GIB", 10**6)
    with pytest.raises(enclosure.NoNodeError, match=r"1000000 GiB of free disk .* there are \d"):
        enclosure.require(tmp_path)


def test_node_is_refused_where_a_command_is_missing(monkeypatch, tmp_path):
    monkeypatch.setattr(enclosure.os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(enclosure.NoNodeError, match="unshare, nsenter, setpriv, ip, mount"):
        enclosure.require(tmp_path)


def test_node_is_refused_without_a_hierarchy(monkeypatch, tmp_path):
    monkeypatch.setattr(enclosure.os, "geteuid", lambda: 0)
    monkeypatch.setattr(enclosure, "_hierarchy", lambda _: None)
    with pytest.raises(enclosure.NoNodeError, match="cgroup v1 with cpu, "):
        enclosure.require(tmp_path)
