import json
import os
import stat

import pytest

from infra.host.errors import HostError

from .conftest import kind_of, request_for

KIND = kind_of("KindCluster")
FAKE = """#!/bin/sh
# Stands in for kind: clusters are lines of a file, and every call is noted.
echo "$*" >> "{folder}/calls"
case "$1 $2" in
  "get clusters") cat "{folder}/clusters" ;;
  "get nodes") echo "$4-control-plane"; echo "$4-worker" ;;
  "get kubeconfig") echo "kubeconfig of $4" ;;
  "create cluster") [ -e "{folder}/broken" ] && {{ echo "no Docker" >&2; exit 1; }}; echo "$4" >> "{folder}/clusters" ;;
  "delete cluster") grep -v -x "$4" "{folder}/clusters" > "{folder}/rest"; mv "{folder}/rest" "{folder}/clusters" ;;
esac
"""

FAKE_DOCKER = """#!/bin/sh
# Stands in for docker: containers and those on kind's network are lines of files, and nodes keep files in folders.
echo "$*" >> "{folder}/docker-calls"
case "$1 $2" in
  "ps --all") cat "{folder}/containers" ;;
  "run -d") echo kind-registry >> "{folder}/containers" ;;
  "network inspect") cat "{folder}/network" ;;
  "network connect") echo "$4" >> "{folder}/network" ;;
  "exec -i") mkdir -p "{folder}/$3"; cat > "{folder}/$3/hosts.toml"; echo "$6" >> "{folder}/$3/path" ;;
esac
"""


@pytest.fixture
def kind(tmp_path, monkeypatch):
    folder = tmp_path / "kind"
    folder.mkdir()
    (folder / "clusters").write_text("somebody-elses\n")
    for name in ("containers", "network"):
        (folder / name).touch()
    for name, script in (("kind", FAKE), ("docker", FAKE_DOCKER)):
        program = folder / name
        program.write_text(script.format(folder=folder))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def asked(**inputs):
    configuration = json.dumps({"kind": "Cluster"})
    return request_for("KindCluster", "cluster", cluster_name="mlplatform", configuration=configuration, **inputs)


def calls(folder, word, program="calls"):
    return [line for line in (folder / program).read_text().splitlines() if line.startswith(word)]


def test_a_cluster_is_made_once_and_its_kubeconfig_given(kind, host):
    assert KIND.create(host, asked()) == {"kubeconfig": "kubeconfig of mlplatform\n"}
    assert KIND.create(host, asked()) == {"kubeconfig": "kubeconfig of mlplatform\n"}
    (call,) = calls(kind, "create")
    assert "--kubeconfig /dev/null" in call


def test_its_image_is_the_one_that_was_asked_for(kind, host):
    KIND.create(host, asked(node_image="kindest/node@sha256:0"))
    assert "--image kindest/node@sha256:0" in calls(kind, "create")[0]


def test_a_cluster_that_is_gone_is_seen(kind, host):
    made = KIND.create(host, asked())
    assert KIND.read(host, asked(), made) == made
    (kind / "clusters").write_text("")
    assert KIND.read(host, asked(), made) is None


def test_deleting_leaves_the_clusters_of_others(kind, host):
    made = KIND.create(host, asked())
    KIND.delete(host, asked(), made)
    KIND.delete(host, asked(), made)
    assert (kind / "clusters").read_text() == "somebody-elses\n"
    assert len(calls(kind, "delete")) == 1


def test_a_creation_that_failed_leaves_nothing_and_says_why(kind, host):
    (kind / "broken").touch()
    with pytest.raises(HostError, match="`kind create cluster` failed: no Docker; install kind"):
        KIND.create(host, asked())
    assert len(calls(kind, "delete")) == 1


def test_a_machine_without_kind_is_told_what_to_install(monkeypatch, tmp_path, host):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostError, match="install kind"):
        KIND.create(host, asked())


def test_nodes_pull_from_the_registry_on_loopback(kind, host):
    for _ in range(2):
        KIND.create(host, asked(registry_port=5001))
    (started,) = calls(kind, "run", "docker-calls")
    assert "-p 127.0.0.1:5001:5000 --name kind-registry docker.io/library/registry:" in started
    assert calls(kind, "network connect", "docker-calls") == ["network connect kind kind-registry"]
    for node in ("mlplatform-control-plane", "mlplatform-worker"):
        assert (kind / node / "hosts.toml").read_text() == '[host."http://kind-registry:5000"]\n'
        assert set((kind / node / "path").read_text().split()) == {"/etc/containerd/certs.d/127.0.0.1:5001/hosts.toml"}


def test_registry_that_somebody_started_is_connected(kind, host):
    made = KIND.create(host, asked())
    (kind / "containers").write_text("kind-registry\n")
    KIND.update(host, asked(registry_port=5001), made)
    assert calls(kind, "run", "docker-calls") == []
    assert (kind / "network").read_text() == "kind-registry\n"


def test_registry_stays_when_its_cluster_goes(kind, host):
    made = KIND.create(host, asked(registry_port=5001))
    KIND.delete(host, asked(registry_port=5001), made)
    assert (kind / "containers").read_text() == "kind-registry\n"


def test_cluster_without_a_registry_asks_nothing_of_docker(kind, host):
    KIND.create(host, asked())
    assert not (kind / "docker-calls").exists()
