import shutil
import subprocess
import sys
import time

import pytest
import redis

from workloads.lifecycle.base.errors import DataError, WorkloadError
from workloads.lifecycle.features.publication import refresh
from workloads.lifecycle.operations import recovery
from workloads.lifecycle.retraining import release
from workloads.lifecycle.training import reference
from workloads.lifecycle.training.bundle import MODEL_FILE
from workloads.lifecycle.training.reference import Champion

from .registry_stand_in import Registry
from .servers import free_port

PASSWORD = "test-password"


@pytest.fixture
def registry(tmp_path, fitted, write_bundle):
    """A registry whose version 3 has a sound bundle."""
    made = Registry()
    made.add("3", tmp_path / "v3", write_bundle(tmp_path / "v3", fitted[2]))
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def made(registry, world, monkeypatch):
    monkeypatch.setattr(reference, "champion", lambda _: Champion("3", "run-3", 0.0))
    return world.environment.model_copy(update={"mlflow_tracking_uri": registry.url})


def test_sound_champion_is_not_lost(made):
    assert recovery.lost_champion(made) is None


def test_missing_champion_is_lost(made, monkeypatch):
    def none(_):
        raise DataError("MLflow at http://x knows no champion of loan-default; run a release first")

    monkeypatch.setattr(reference, "champion", none)
    assert recovery.lost_champion(made).startswith("MLflow at http://x knows no champion")


@pytest.mark.parametrize("content", [b"damaged", None])
def test_unreadable_champion_is_lost_by_name(made, registry, content):
    name = f"1/3/serving/{MODEL_FILE}"
    registry.files.pop(name)
    if content:
        registry.files[name] = content
    lost = recovery.lost_champion(made)
    assert lost.startswith("the champion of loan-default-model, version 3, cannot be served: ")
    assert MODEL_FILE in lost


def test_registry_that_is_down_proves_no_loss(made, registry):
    registry.failing = True
    with pytest.raises(WorkloadError, match="does not give version 3"):
        recovery.lost_champion(made)


@pytest.fixture
def online(tmp_path, world):
    """The world's features in a Redis of this test; gives the environment and a client."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not on PATH; `make up` installs it")
    port = free_port()
    client = redis.Redis(port=port, password=PASSWORD)
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--requirepass", PASSWORD, "--save", ""]
    with subprocess.Popen([*command, "--dir", str(tmp_path)], stdout=subprocess.DEVNULL) as server:
        await_answer(client)
        update = {
            "feast_online_store": f"127.0.0.1:{port},password={PASSWORD}",
            "feast_registry": f"sqlite:///{tmp_path}/registry.db",
        }
        environment = world.environment.model_copy(update=update)
        refresh(environment)
        yield environment, client
        client.close()
        server.terminate()


def await_answer(client):
    deadline = time.monotonic() + 30
    while True:
        try:
            client.ping()
        except redis.RedisError:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        else:
            return


def test_emptied_online_store_is_found_and_filled_again(online, world, capsys):
    environment, client = online
    assert recovery.lost_features(environment) is None
    client.flushall()
    rows = world.ingested.rows
    client.mset({f"{number}pump_wear": "" for number in range(rows)})  # another workload's
    assert recovery.lost_features(environment) == (
        f"the online store has 0 keys, but run {world.ingested.run} published {rows} rows"
    )
    recovery.repair(environment, champion=False)
    assert f"{rows} rows online" in capsys.readouterr().out
    assert recovery.lost_features(environment) is None


def test_online_store_that_is_down_proves_no_loss(world):
    address = f"127.0.0.1:{free_port()}"
    environment = world.environment.model_copy(update={"feast_online_store": f"{address},password=x"})
    with pytest.raises(WorkloadError, match=f"the online store at {address} does not answer"):
        recovery.lost_features(environment)


def test_store_without_published_features_waits_for_a_release(make_environment):
    environment = make_environment().model_copy(update={"feast_online_store": "127.0.0.1:1"})
    assert recovery.lost_features(environment) is None


def test_repair_releases_when_there_is_no_champion(made, monkeypatch):
    called = []
    monkeypatch.setattr(recovery, "lost_champion", lambda _: "no champion")
    monkeypatch.setattr("workloads.lifecycle.base.servers.wait_for_mlflow", lambda _: None)
    monkeypatch.setattr(release, "main", lambda: called.append("released"))
    recovery.repair(made, champion=True)
    assert called == ["released"]


def command(monkeypatch, environment, *arguments):
    monkeypatch.setattr(recovery, "load", lambda: environment)
    monkeypatch.setattr(sys, "argv", ["recovery", *arguments])
    recovery.main()


def test_check_exits_with_3_and_changes_nothing(made, registry, monkeypatch, capsys):
    command(monkeypatch, made, "--check")
    registry.files.clear()
    with pytest.raises(SystemExit) as caught:
        command(monkeypatch, made, "--check")
    assert caught.value.code == recovery.LOST
    assert "version 3" in capsys.readouterr().out
    command(monkeypatch, made, "--check", "--features-only")
