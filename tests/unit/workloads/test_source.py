import pytest

from workloads.lifecycle.base.mlflow_api import RegistryDownError
from workloads.lifecycle.serving.source import RegistrySource
from workloads.lifecycle.training.bundle import MODEL_FILE
from workloads.loan_default.definition import LOAN_DEFAULT

from .keys import TRUST
from .registry_stand_in import watcher


def test_the_aliases_are_followed_and_only_the_served_copies_are_kept(registry, tmp_path):
    served, watch = watcher(registry, tmp_path)
    watch.look()
    assert served.versions == {"champion": "1"}
    registry.aliases = {"champion": "2", "challenger": "1"}
    watch.look()
    assert served.versions == {"champion": "2", "challenger": "1"}
    registry.aliases = {"champion": "2"}
    watch.look()
    assert served.versions == {"champion": "2"}
    assert len([path for path in (tmp_path / "cache").iterdir() if path.is_dir()]) == 1


def test_a_pinned_version_is_served_whatever_the_aliases_name(registry, tmp_path):
    served, watch = watcher(registry, tmp_path, model_version="2")
    registry.aliases = {"champion": "1", "challenger": "1"}
    watch.look()
    assert served.versions == {"champion": "2"}


def test_no_model_yet_serves_nothing(registry, tmp_path):
    registry.versions = {}
    served, watch = watcher(registry, tmp_path)
    watch.look()
    assert served.versions == {}


@pytest.mark.parametrize("spoil", ["altered", "short", "missing", "unregistered", "elsewhere"])
def test_unverifiable_version_never_replaces_the_served_one(registry, tmp_path, spoil):
    served, watch = watcher(registry, tmp_path)
    watch.look()
    model = f"1/2/serving/{MODEL_FILE}"
    if spoil == "altered":
        registry.files[model] = registry.files[model][:-1] + b"\0"
    elif spoil == "short":
        registry.files[model] = registry.files[model][:100]
    elif spoil == "missing":
        del registry.files[model]
    elif spoil == "unregistered":
        registry.versions["2"] = {}
    else:
        registry.versions["2"]["bundle_uri"] = "http://elsewhere/model"
    registry.aliases = {"champion": "2"}
    watch.look()
    watch.look()
    assert served.versions == {"champion": "1"}


def test_registry_outage_at_start_is_bridged_by_verified_copies(registry, tmp_path):
    watcher(registry, tmp_path)[1].look()
    registry.failing = True
    served, watch = watcher(registry, tmp_path)
    watch.look()
    assert served.versions == {"champion": "1"}
    registry.failing = False
    registry.aliases = {"champion": "2"}
    watch.look()
    assert served.versions == {"champion": "2"}


def test_altered_local_copy_is_not_served_in_a_registry_outage(registry, tmp_path):
    watcher(registry, tmp_path)[1].look()
    (copy,) = (tmp_path / "cache").glob(f"*/{MODEL_FILE}")
    copy.write_bytes(b"altered")
    registry.failing = True
    served, watch = watcher(registry, tmp_path)
    watch.look()
    assert served.versions == {}
    registry.failing = False
    watch.look()
    assert served.versions == {"champion": "1"}


def test_a_registry_that_goes_away_changes_nothing(registry, tmp_path):
    served, watch = watcher(registry, tmp_path)
    watch.look()
    registry.failing = True
    watch.look()
    assert served.versions == {"champion": "1"}


def test_no_server_at_all_is_the_registry_down(tmp_path):
    with pytest.raises(RegistryDownError):
        RegistrySource("http://127.0.0.1:9", tmp_path, LOAN_DEFAULT, TRUST).aliases()
