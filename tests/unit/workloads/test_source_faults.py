import errno
import pickle
from pathlib import Path

import pytest

from workloads.lifecycle.base import metrics
from workloads.lifecycle.base.exposition import COUNTED
from workloads.lifecycle.base.mlflow_api import RegistryDownError
from workloads.lifecycle.training.bundle import MANIFEST_FILE
from workloads.loan_default.definition import LOAN_DEFAULT

from .registry_stand_in import onnx_model, tree, watcher


@pytest.fixture
def add_version(registry, tmp_path, write_bundle):
    """Register a version whose ONNX file has the given content."""

    def add(version, content):
        folder = tmp_path / f"made-{version}"
        registry.add(version, folder, write_bundle(folder, content, run_id=f"made-{version}"))

    return add


def gauge(name, **labels):
    return COUNTED.get_sample_value(name, labels)


def test_tag_that_names_a_folder_deletes_and_writes_nothing(registry, tmp_path):
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "work").write_text("years of it")
    before = tree(precious)
    served, watch = watcher(registry, tmp_path)
    watch.look()
    registry.versions["2"]["bundle_sha256"] = str(precious)
    registry.aliases = {"champion": "2"}
    watch.look()
    assert tree(precious) == before
    assert served.versions == {"champion": "1"}


@pytest.mark.parametrize(
    "uri", ["mlflow-artifacts:/../../x", "mlflow-artifacts:/1/%2e%2e/x", "mlflow-artifacts:/a//b", ""]
)
def test_artifact_path_outside_the_proxy_is_refused(registry, tmp_path, uri, caplog):
    served, watch = watcher(registry, tmp_path)
    watch.look()
    registry.versions["2"]["bundle_uri"] = uri
    registry.aliases = {"champion": "2"}
    watch.look()
    assert served.versions == {"champion": "1"}
    assert caplog.text.count("version 2 is refused") == 1


@pytest.mark.parametrize("content", [b"", b"no onnx", b"\x08\x0a" * 50, pickle.dumps({"a": 1})])
def test_follower_survives_a_verified_file_that_is_no_onnx(registry, tmp_path, add_version, content, caplog):
    served, watch = watcher(registry, tmp_path)
    watch.look()
    add_version("3", content)
    registry.aliases = {"champion": "3"}
    watch.look()
    watch.look()
    assert served.versions == {"champion": "1"}
    assert caplog.text.count("version 3 is refused: model.onnx is no model") == 1
    registry.aliases = {"champion": "2"}
    watch.look()
    assert served.versions == {"champion": "2"}
    registry.aliases = {"champion": "1"}
    watch.look()
    assert served.versions == {"champion": "1"}


def test_model_of_another_shape_is_refused(registry, tmp_path, add_version):
    served, watch = watcher(registry, tmp_path)
    watch.look()
    add_version("3", onnx_model(outputs="other"))
    registry.aliases = {"champion": "3"}
    watch.look()
    assert served.versions == {"champion": "1"}


@pytest.mark.parametrize("absolute", [True, False])
def test_model_with_its_weights_in_another_file_is_refused(registry, tmp_path, add_version, monkeypatch, absolute):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights").write_bytes(bytes(4 * 2 * len(LOAN_DEFAULT.features)))
    served, watch = watcher(registry, tmp_path)
    watch.look()
    add_version("3", onnx_model())
    place = tmp_path / "weights" if absolute else "weights"
    add_version("4", onnx_model(external=place))
    registry.aliases = {"champion": "3"}
    watch.look()
    assert served.versions == {"champion": "3"}
    registry.aliases = {"champion": "4"}
    watch.look()
    assert served.versions == {"champion": "3"}


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503, 302])
@pytest.mark.parametrize("part", ["registered-models", "model-versions", "artifacts"])
def test_refusal_by_the_server_is_an_outage_and_no_fault_of_a_version(registry, tmp_path, status, part):
    served, watch = watcher(registry, tmp_path)
    watch.look()
    registry.aliases = {"champion": "2"}
    registry.statuses = {part: status}
    watch.look()
    assert served.versions == {"champion": "1"}
    assert isinstance(watch.failure, RegistryDownError)
    registry.statuses = {}
    watch.look()
    assert served.versions == {"champion": "2"}
    assert watch.failure is None


def test_refused_version_that_was_mended_is_served(registry, tmp_path):
    served, watch = watcher(registry, tmp_path)
    right = registry.versions["2"]["bundle_sha256"]
    registry.versions["2"]["bundle_sha256"] = "0" * 64
    registry.aliases = {"champion": "2"}
    watch.look()
    assert served.versions == {}
    registry.versions["2"]["bundle_sha256"] = right
    watch.look()
    assert served.versions == {"champion": "2"}


def test_full_disk_delays_the_cache_and_not_the_release(registry, tmp_path, monkeypatch):
    served, watch = watcher(registry, tmp_path)
    watch.look()
    write = Path.write_bytes

    def full(path, content):
        write(path, content[: len(content) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        registry.aliases = {"champion": "2"}
        watch.look()
        assert served.versions == {"champion": "2"}
        assert watch.failure.errno == errno.ENOSPC
        registry.failing = True
        again, restarted = watcher(registry, tmp_path)
        restarted.look()
        assert again.versions == {"champion": "1"}
        registry.failing = False
    watch.look()
    assert watch.failure is None
    registry.failing = True
    again, restarted = watcher(registry, tmp_path)
    restarted.look()
    assert again.versions == {"champion": "2"}


def test_server_restarted_beside_a_bad_champion_serves_its_last_copy(registry, tmp_path):
    watcher(registry, tmp_path)[1].look()
    registry.versions["2"]["bundle_sha256"] = "../../etc"
    registry.aliases = {"champion": "2"}
    served, watch = watcher(registry, tmp_path)
    watch.look()
    watch.look()
    assert served.versions == {"champion": "1"}
    assert gauge(metrics.MODEL_WANTED, alias="champion", version="2") == 1
    assert gauge(metrics.MODEL_FROM_CACHE) == 1


def test_deleted_champion_keeps_serving_and_is_reported(registry, tmp_path, caplog):
    served, watch = watcher(registry, tmp_path)
    watch.look()
    assert (gauge(metrics.CHAMPION_MISSING), gauge(metrics.MODEL_WANTED, alias="champion", version="1")) == (0, 1)
    del registry.versions["1"]
    registry.aliases = {}
    watch.look()
    watch.look()
    assert served.versions == {"champion": "1"}
    assert gauge(metrics.CHAMPION_MISSING) == 1
    assert gauge(metrics.MODEL_WANTED, alias="champion", version="1") is None
    assert caplog.text.count("the registry has no champion any more; version 1 keeps serving") == 1
    served, watch = watcher(registry, tmp_path)
    watch.look()
    assert served.versions == {"champion": "1"}
    assert (gauge(metrics.CHAMPION_MISSING), gauge(metrics.MODEL_FROM_CACHE)) == (1, 1)
    registry.aliases = {"champion": "2"}
    watch.look()
    assert served.versions == {"champion": "2"}
    assert (gauge(metrics.CHAMPION_MISSING), gauge(metrics.MODEL_FROM_CACHE)) == (0, 0)


def test_another_model_under_the_number_of_a_deleted_one_is_served(registry, tmp_path, add_version, fitted):
    served, watch = watcher(registry, tmp_path)
    watch.look()
    registry.versions, registry.aliases = {}, {}
    watch.look()
    add_version("1", fitted[2])
    registry.aliases = {"champion": "1"}
    watch.look()
    assert served.loaded["champion"].scorer.manifest.run_id == "made-1"
    assert served.loaded["champion"].bundle.checksum == registry.versions["1"]["bundle_sha256"]


def test_server_without_champion_and_copy_says_why(registry, tmp_path):
    registry.aliases = {}
    served, watch = watcher(registry, tmp_path)
    watch.look()
    assert served.versions == {}
    assert served.why == "the registry names no champion; the cache holds no verified copy"
    registry.aliases = {"champion": "2"}
    registry.versions["2"] = {}
    watch.look()
    assert served.why == (
        "version 2 is refused: it was not registered by this workload: it has no checksum; "
        "the cache holds no verified copy"
    )


def test_pinned_version_is_not_replaced_by_another_copy(registry, tmp_path):
    watcher(registry, tmp_path)[1].look()
    registry.failing = True
    served, watch = watcher(registry, tmp_path, model_version="2")
    watch.look()
    assert served.versions == {}
    assert served.why.endswith("the cache holds version 1, not 2")
    registry.failing = False
    watch.look()
    assert served.versions == {"champion": "2"}


def test_damaged_challenger_copy_leaves_the_champions(registry, tmp_path):
    registry.aliases = {"champion": "1", "challenger": "2"}
    watcher(registry, tmp_path)[1].look()
    damaged = tmp_path / "cache" / registry.versions["2"]["bundle_sha256"] / MANIFEST_FILE
    damaged.write_bytes(b"{}")
    registry.failing = True
    served, watch = watcher(registry, tmp_path)
    watch.look()
    assert served.versions == {"champion": "1"}


def test_link_in_the_cache_is_replaced_and_its_target_stays(registry, tmp_path):
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "work").write_text("years of it")
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / registry.versions["1"]["bundle_sha256"]).symlink_to(precious)
    (cache / "other").symlink_to(precious)
    served, watch = watcher(registry, tmp_path)
    watch.look()
    assert served.versions == {"champion": "1"}
    assert tree(precious) == {"work": b"years of it"}
    assert sorted(path.name for path in cache.iterdir()) == sorted(
        ["aliases.json", registry.versions["1"]["bundle_sha256"]]
    )


@pytest.mark.parametrize(
    "answer",
    [
        b"[]",
        b"null",
        b'{"registered_model": []}',
        b'{"registered_model": {"aliases": [{"alias": "champion"}]}}',
        b'{"registered_model": {"aliases": [{"alias": "champion", "version": "../../x"}]}}',
        b"<html>",
        b"[" * 5000,
    ],
)
def test_answer_that_is_not_mlflows_changes_nothing(registry, tmp_path, monkeypatch, answer):
    served, watch = watcher(registry, tmp_path)
    watch.look()
    monkeypatch.setattr(registry, "answer", lambda _path: (200, answer))
    watch.look()
    assert served.versions == {"champion": "1"}
    assert isinstance(watch.failure, RegistryDownError)
