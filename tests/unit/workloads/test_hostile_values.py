"""Whatever a server names, nothing outside the workload's own folders is read into place, written or deleted."""

import io
import json
from datetime import UTC, datetime
from types import SimpleNamespace

import httpx
import pytest

from workloads.lifecycle.base import identifiers
from workloads.lifecycle.base.errors import WorkloadError
from workloads.lifecycle.base.mlflow_api import MlflowApi
from workloads.lifecycle.base.settings import BatchSettings, ServingSettings
from workloads.lifecycle.base.store import Store
from workloads.lifecycle.features import publication, windows
from workloads.lifecycle.ingestion.ingest import CURRENT
from workloads.lifecycle.monitoring import check
from workloads.lifecycle.registry import versions
from workloads.lifecycle.retraining import runner
from workloads.lifecycle.serving import batch
from workloads.lifecycle.serving.source import CACHE_INDEX, RegistrySource
from workloads.lifecycle.training import reference
from workloads.loan_default.definition import LOAN_DEFAULT

from .hostile_values import snapshot, values
from .keys import TRUST
from .registry_stand_in import Patient, Registry, Served, onnx_model

NOW = datetime(2026, 11, 23, tzinfo=UTC).isoformat()
INGESTED = {"data_hash": "d", "source": "csv", "rows": 1, "quarantined": {}, "event_timestamp": NOW}
CHECKED = {"at": NOW, "version": "1", "rows": 1, "drift": None, "in_a_row": 0, "bias": {}}
LIVE = {"rows": 0, "auc": None, "calibration_error": None}


def ended_process(*_arguments, **_named):
    return SimpleNamespace(poll=lambda: 0, returncode=0, wait=lambda *_: 0, stdout=io.StringIO("a line\n"))


class Places:
    """Every place that builds a path or key out of a foreign value."""

    def __init__(self, environment, answers, monkeypatch):
        self.environment = environment
        self.store = Store.open(environment)
        self.cache = environment.work / "models"
        self.runner = runner.LocalRunner(environment, {})
        monkeypatch.setattr(runner.subprocess, "Popen", ended_process)
        self.answers = answers
        self.base = SimpleNamespace(frame=None, ingested=None)
        source = RegistrySource("http://registry", self.cache, LOAN_DEFAULT, TRUST)
        source._mlflow = MlflowApi("http://registry", None, httpx.Client(transport=httpx.MockTransport(self._mlflow)))
        self.served = Served()
        self.watch = Patient(self.served, source, ServingSettings())
        self.watch.look()
        assert self.served.versions == {"champion": "1"}
        self.local = environment.work / "local"
        (self.local / "part").mkdir(parents=True)
        (self.local / "part" / "file").write_bytes(b"content")

    def _mlflow(self, request):
        status, body = self.answers.answer(str(request.url).removeprefix("http://registry"))
        return httpx.Response(status, content=body)

    def checksum_tag(self, value):
        self.answers.versions["2"]["bundle_sha256"] = value
        self.look("2")

    def uri_tag(self, value):
        for uri in (value, f"mlflow-artifacts:/{value}"):
            self.answers.versions["3"]["bundle_uri"] = uri
            self.look("3")

    def version(self, value):
        self.look(value)

    def look(self, version):
        self.answers.aliases = {"champion": version}
        self.watch.look()
        assert self.served.versions == {"champion": "1"}

    def cache_index(self, value):
        (self.cache / CACHE_INDEX).write_text(json.dumps({"champion": [value, value], "challenger": ["1", value]}))
        self.watch._source.recall("champion")

    def store_write(self, value):
        self.store.write(value, b"x")

    def store_read(self, value):
        self.store.read(f"evidence/{value}")

    def store_names(self, value):
        self.store.names(f"captures/{value}")

    def store_remove(self, value):
        self.store.remove_tree(f"batch/{value}")

    def store_download(self, value):
        self.store.download_tree(f"features/{value}", self.local / "tree")

    def store_upload(self, value):
        self.store.upload_file(self.local / "part" / "file", value)
        self.store.upload_tree(self.local, value)

    def current_features(self, value):
        self.store.write_json(CURRENT, INGESTED | {"run": value})
        publication.pull(self.environment)

    def named_features(self, value):
        publication.pull(self.environment.model_copy(update={"ingestion_run": value or ".."}))

    def features_folder(self, value):
        publication.read_offline(self.environment.model_copy(update={"ingestion_run": value or ".."}))

    def training_rows(self, value):
        reference.read(self.environment, value)

    def labelled_window(self, value):
        windows.with_window(self.environment.model_copy(update={"labelled_window": value}), self.base)

    def report(self, value):
        latest = CHECKED | {"live": LIVE, "run_id": "r", "report": value}
        self.store.write_json(check.LATEST, latest)
        check.latest(self.environment)

    def batch_folder(self, value):
        self.store.write(f"{batch.prefix_of(value, '1', BatchSettings())}/part", b"x")

    def batch_version(self, value):
        run = "20261123T000000000000Z-0123456789ab"
        self.store.write(f"{batch.prefix_of(run, value, BatchSettings())}/part", b"x")

    def retrain_log(self, value):
        self.runner.run(value, "", None, print, lambda: False)

    def run_of_a_version(self, value):
        def get_run(run_id):
            assert identifiers.run_id(run_id) == value
            return SimpleNamespace(data=SimpleNamespace(tags={"bundle_sha256": value}))

        versions.download_bundle(SimpleNamespace(get_run=get_run), value, self.local)


PLACES = [
    name for name, place in vars(Places).items() if callable(place) and name not in {"__init__", "_mlflow", "look"}
]


@pytest.fixture
def target(tmp_path, environment_in, write_bundle, monkeypatch):
    """A surrounding folder with something to lose, and the workload's own folders in the middle of it."""
    outside = tmp_path / "outside"
    (outside / "precious").mkdir(parents=True)
    (outside / "precious" / "work").write_text("years of it")
    (outside / "link").symlink_to(outside / "precious")
    (outside / "loop").symlink_to(outside / "loop")
    environment = environment_in(outside / "world")
    root = outside / "world" / "store" / "loan-default"
    own = {root, *(environment.work / name for name in ("models", "features", "retrains", "local"))}
    for folder in own:
        folder.mkdir(parents=True, exist_ok=True)
    (root / "link").symlink_to(outside / "precious")
    answers = Registry()
    for version in ("1", "2", "3"):
        made = tmp_path / "made" / version
        answers.add(version, made, write_bundle(made, onnx_model(), run_id=f"run-{version}"))
    answers.aliases = {"champion": "1"}
    monkeypatch.chdir(outside)
    monkeypatch.setenv("HOME", str(outside))
    (environment.work / "local").rmdir()
    yield outside, own, Places(environment, answers, monkeypatch)
    answers.close()


def attack(target, count):
    outside, own, places = target
    before = snapshot(outside, own)
    refused = dict.fromkeys(PLACES, 0)
    for value in values(count, outside):
        for name in PLACES:
            try:
                getattr(places, name)(value)
            except WorkloadError:
                refused[name] += 1
    assert snapshot(outside, own) == before
    assert (outside / "precious" / "work").read_text() == "years of it"
    return refused


def test_hostile_values_touch_nothing_outside(target):
    refused = attack(target, 70)
    assert {name for name, count in refused.items() if count} >= {
        name for name in PLACES if name not in {"checksum_tag", "uri_tag", "version"}
    }


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_ten_thousand_hostile_values_touch_nothing_outside(target):
    attack(target, 10_000)


@pytest.mark.parametrize(
    ("check", "good"),
    [
        (identifiers.sha256_hex, "0123456789abcdef" * 4),
        (identifiers.run_id, "0f" * 16),
        (identifiers.model_version, "12"),
        (identifiers.ingestion_run, "20261123T000000000000Z-0123456789ab"),
        (identifiers.window_name, "0f" * 16),
        (identifiers.retrain_id, "0f" * 16),
        (identifiers.plain_name, "part-00000.parquet"),
        (identifiers.artifact_path, "1/0f0f/artifacts/serving"),
        (identifiers.object_path, "features/20261123T0Z-0f/dt=2026-11-23/part-0.c000.snappy.parquet"),
        (identifiers.object_path, "raw/20261123T0Z/Kreditkarten Übersicht (neu).csv"),
        (identifiers.report_path, "reports/20261123T000000000000Z/drift_report.html"),
    ],
)
def test_identifier_is_returned_and_a_hostile_one_named_with_its_form(check, good):
    assert check(good) == good
    for bad in (
        "",
        "..",
        "../x",
        "/etc",
        f"{good}\n",
        f"{good}/",
        f"/{good}",
        f"{good}\0",
        f"{good}/..",
        None,
        "x" * 9999,
    ):
        with pytest.raises(identifiers.IdentifierError, match=r" is refused; allowed: \S") as caught:
            check(bad)
        assert len(str(caught.value)) < 400
        assert str(caught.value).isprintable()
