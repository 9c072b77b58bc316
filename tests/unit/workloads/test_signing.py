"""What the signer signs, and who may not; MLflow is real (SQLite), OPA's answers are a stand-in's."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from starlette.testclient import TestClient

from workloads.lifecycle.base.errors import DataError, GateError, WorkloadError
from workloads.lifecycle.base.store import Store
from workloads.lifecycle.pipelines import kubeflow
from workloads.lifecycle.registry import audit, signing
from workloads.lifecycle.registry.challenge import Challenge
from workloads.lifecycle.registry.keys import Keyring, verifying_key
from workloads.lifecycle.registry.signature import FACTS_FILE, SIGNATURE_TAG, SignatureError, Trust
from workloads.lifecycle.registry.verdict import VERDICT_TAG, Verdict
from workloads.lifecycle.registry.versions import (
    CHALLENGER,
    CHAMPION,
    PREVIOUS,
    alias_version,
    approved,
    challenge,
    mlflow_client,
    recorded,
    register,
    register_candidate,
    rollback,
    unusable,
)
from workloads.lifecycle.retraining import runner
from workloads.lifecycle.retraining.checks import Checks
from workloads.lifecycle.retraining.runner import LocalRunner
from workloads.lifecycle.retraining.service import Parts, Service
from workloads.lifecycle.retraining.signer import ADOPTED, SIGNATURES, Signer
from workloads.lifecycle.serving import batch
from workloads.lifecycle.training import reference
from workloads.lifecycle.training.bundle import BUNDLE_FOLDER, sha256
from workloads.lifecycle.training.reference import Champion
from workloads.lifecycle.training.train import BUNDLE_TAG, MODEL_CARD, train
from workloads.loan_default.definition import LOAN_DEFAULT

from . import servers
from .keys import OTHER_KEY, POLICY, SIGNING_KEY, verdict

MODEL_NAME = LOAN_DEFAULT.model_name
ALLOWED = Verdict(allowed=True, reasons=(), bias={})
NEXT_POLICY = sha256(b"the next policy")


@pytest.fixture(scope="module")
def base(world, judge, tmp_path_factory):
    """An environment with an MLflow of this file's own, which may sign."""
    folder = tmp_path_factory.mktemp("signing")
    servers.mlflow_tables(folder / "mlflow.db")
    settings = world.environment.settings
    training = settings.training.model_copy(update={"trees": 3})
    update = {
        "mlflow_tracking_uri": f"sqlite:///{folder}/mlflow.db",
        "work_dir": folder / "work",
        "opa_url": judge.url,
        "settings": settings.model_copy(update={"training": training}),
    }
    environment = world.environment.model_copy(update=update)
    before = Path.cwd()
    os.chdir(environment.work)
    yield environment
    os.chdir(before)


@pytest.fixture
def here(base, tmp_path, judge):
    """The same with an artifact store of the test's own; the stand-in allows again."""
    judge.reasons, judge.policy = [], POLICY
    judge.asked.clear()
    return base.model_copy(update={"artifact_store_uri": f"file://{tmp_path}/store"})


@pytest.fixture(scope="module")
def client(base):
    return mlflow_client(base)


@pytest.fixture(autouse=True)
def rest_api(client, base, monkeypatch):
    """Gives the champion in place of MLflow's REST API, which a file has not."""

    def champion(environment):
        version = alias_version(environment, client, CHAMPION)
        if version is None:
            raise DataError("no champion")
        return Champion(version, "run", 0.0)

    assert base.mlflow_tracking_uri.startswith("sqlite:")
    monkeypatch.setattr(reference, "champion", champion)


@pytest.fixture(scope="module")
def experiment(base, world, client):
    """Id of the experiment that a training made."""
    return client.get_run(train(base, world.data).run_id).info.experiment_id


@pytest.fixture
def new_run(client, experiment, fitted, write_bundle, tmp_path):
    """Makes a run as a training leaves it, with a bundle of its own, and with the gate's record."""

    def make(**more):
        run_id = client.create_run(experiment).info.run_id
        folder = tmp_path / "logged" / run_id
        checksum = write_bundle(folder / BUNDLE_FOLDER, fitted[2], run_id=run_id)
        client.log_artifacts(run_id, str(folder))
        client.log_text(run_id, "# a model card", MODEL_CARD)
        client.finalize_logged_model(client.create_logged_model(experiment, source_run_id=run_id).model_id, "READY")
        client.log_dict(run_id, {BUNDLE_TAG: checksum, "bias": {"SEX": {"ranking": 0.01}}} | more, FACTS_FILE)
        for name, value in {BUNDLE_TAG: checksum, VERDICT_TAG: ALLOWED.model_dump_json()}.items():
            client.set_tag(run_id, name, value)
        client.set_terminated(run_id)
        return run_id

    return make


def tag(client, version):
    return client.get_model_version(MODEL_NAME, version).tags.get(SIGNATURE_TAG)


def alias(here, client, name=CHAMPION):
    return alias_version(here, client, name)


def unsign(client, version):
    client.delete_model_version_tag(MODEL_NAME, version, SIGNATURE_TAG)


def approval(here, client, version, folder):
    return approved(here, client, recorded(here, client, version, folder))


def counted(outcome):
    return SIGNATURES.labels(outcome)._value.get()


def test_new_stack_adopts_nothing_ever(here):
    Signer(here).renew()
    assert Store.open(here).read_json(ADOPTED)["versions"] == {}


def test_promoted_version_has_a_verdict_on_bundle_facts_and_policy(here, client, new_run, judge, tmp_path):
    run_id = new_run(latency_p99_ms=3.0)
    done = register(here, run_id)
    found = approval(here, client, done.version, tmp_path)
    assert (found.run_id, found.policy_sha256, found.judged_by, found.reasons) == (run_id, POLICY, POLICY, ())
    assert judge.asked[-1]["latency_p99_ms"] == 3.0
    assert "bundle_sha256" not in judge.asked[-1]


def test_limits_and_contract_of_the_record_are_not_believed(here, new_run, judge):
    register(here, new_run(limits={"min_auc": 0}, contract={"features": []}, champion=None))
    asked = judge.asked[-1]
    assert LOAN_DEFAULT.thresholds.items() <= asked["limits"].items()
    assert asked["contract"]["features"] == list(LOAN_DEFAULT.features)


def test_forged_verdict_tag_is_not_believed(here, client, new_run, judge):
    run_id, champion = new_run(), alias(here, client)
    judge.reasons = ["AUC is 0.5"]
    with pytest.raises(GateError, match=f"run {run_id} is refused by the release policy: AUC is 0.5"):
        register(here, run_id)
    assert alias(here, client) == champion


def test_nothing_is_signed_by_another_policy_than_the_stacks(here, client, new_run, judge):
    run_id, champion = new_run(), alias(here, client)
    for policy, words in (("ab" * 32, "judges by the policy abababababab"), ("", "one that it does not name")):
        judge.policy = policy
        with pytest.raises(WorkloadError, match=words):
            register(here, run_id)
    assert alias(here, client) == champion


def test_facts_of_another_bundle_are_refused(here, client, new_run):
    run_id, other = new_run(), new_run()
    client.log_dict(run_id, {BUNDLE_TAG: client.get_run(other).data.tags[BUNDLE_TAG], "bias": {}}, FACTS_FILE)
    with pytest.raises(GateError, match="is about another bundle"):
        register(here, run_id)


def test_process_without_key_and_service_promotes_nothing(here, client, new_run):
    run_id, champion = new_run(), alias(here, client)
    with pytest.raises(WorkloadError, match="has no signed verdict, and this process may not sign"):
        register(here.model_copy(update={"signing_key": ""}), run_id)
    assert alias(here, client) == champion


@pytest.fixture
def asking(here, monkeypatch):
    """An environment without the key, which asks a service that has it; its first answer is an older service's."""
    parts = Parts(
        here, None, None, None, None, {"t" * 20: "operator", "s" * 20: "release"}, Signer(here).sign, lambda: None
    )
    service, real = TestClient(Service(parts).app()), httpx.post
    answers = [httpx.Response(404, text="an older service")]

    def post(url, *, json, headers=None, timeout=None):
        if not url.startswith("http://service/"):
            return real(url, json=json, timeout=timeout)
        return (
            answers.pop() if answers else service.post(url.removeprefix("http://service"), json=json, headers=headers)
        )

    monkeypatch.setattr(signing, "wait_for_retraining", lambda _: None)
    monkeypatch.setattr(httpx, "post", post)
    monkeypatch.setattr(signing, "_PAUSE_SECONDS", 0)
    update = {"signing_key": "", "sign_token": "s" * 20, "retrain_url": "http://service/retrain"}
    return here.model_copy(update=update)


def test_release_has_its_version_signed_by_the_service(here, asking, client, new_run, tmp_path):
    done = register(asking, new_run())
    assert approval(here, client, done.version, tmp_path).version == done.version == alias(here, client)


def test_service_that_refuses_ends_a_release_at_once(here, asking, client, new_run, judge):
    champion, before = alias(here, client), counted("refused")
    judge.reasons = ["AUC is 0.5"]
    with pytest.raises(GateError, match=r"AUC is 0\.5"):
        register(asking, new_run())
    assert (alias(here, client), counted("refused")) == (champion, before + 1)


def test_service_does_not_sign_for_a_stranger(asking, client, new_run):
    champion = alias(asking, client)
    with pytest.raises(WorkloadError, match="401"):
        register(asking.model_copy(update={"sign_token": "x" * 20}), new_run())
    assert alias(asking, client) == champion


def test_nobody_goes_back_to_a_version_without_a_verdict(here, client, new_run):
    first = register(here, new_run()).version
    second = register(here, new_run()).version
    unsign(client, first)
    with pytest.raises(SignatureError, match=f"version {first} must not be served: it has no signed verdict"):
        rollback(here)
    assert alias(here, client) == second


def test_champion_without_a_verdict_is_retired_and_never_previous(here, client, new_run, capsys):
    first = register(here, new_run()).version
    usurper = register_candidate(here, new_run())
    client.set_registered_model_alias(MODEL_NAME, CHAMPION, usurper)
    assert "no signed verdict" in unusable(client, here, usurper)
    previous = alias(here, client, PREVIOUS)
    done = register(here, new_run())
    assert (alias(here, client), alias(here, client, PREVIOUS)) == (done.version, previous)
    assert previous != usurper
    assert f"version {usurper} must not be served" in capsys.readouterr().out
    assert int(first) < int(usurper)


def test_challenger_is_signed_too(here, client, new_run, tmp_path):
    version = register_candidate(here, new_run())
    announced = Challenge(id="a" * 32, version=version, champion="1", until=2e9)
    challenge(here, announced, lambda: None)
    assert approval(here, client, version, tmp_path).version == alias(here, client, CHALLENGER)
    client.delete_registered_model_alias(MODEL_NAME, CHALLENGER)


def test_batch_scores_with_no_champion_without_a_verdict(here, client, new_run, world):
    environment = here.model_copy(update={"artifact_store_uri": world.environment.artifact_store_uri})
    version = register(here, new_run()).version
    unsign(client, version)
    with pytest.raises(SignatureError, match="it has no signed verdict"):
        batch.score(environment)


def test_champion_of_before_signatures_is_signed_once_by_its_evidence(here, client, new_run, tmp_path):
    version = register(here, new_run()).version
    unsign(client, version)
    before = counted("adopted")
    Signer(here).renew()
    assert approval(here, client, version, tmp_path).version == version
    assert counted("adopted") == before + 1
    assert Store.open(here).read_json(ADOPTED)["versions"][CHAMPION] == version
    unsign(client, version)
    Signer(here).renew()
    assert tag(client, version) is None


def test_champion_without_evidence_is_not_adopted(here, client, new_run):
    register(here, new_run())
    usurper = register_candidate(here, new_run())
    client.set_registered_model_alias(MODEL_NAME, CHAMPION, usurper)
    before = counted("refused")
    Signer(here).renew()
    assert tag(client, usurper) is None
    assert counted("refused") > before


def test_champion_that_the_policy_refuses_is_not_adopted(here, client, new_run, judge):
    version = register(here, new_run()).version
    unsign(client, version)
    judge.reasons = ["AUC is 0.5"]
    Signer(here).renew()
    assert tag(client, version) is None


def test_changed_policy_judges_the_champion_anew(here, client, new_run, judge, tmp_path):
    version = register(here, new_run()).version
    later = here.model_copy(update={"release_policy_sha256": NEXT_POLICY})
    with pytest.raises(WorkloadError, match="judges by the policy"):
        Signer(later).renew()
    judge.policy = NEXT_POLICY
    Signer(later).renew()
    found = approval(later, client, version, tmp_path / "renewed")
    assert (found.policy_sha256, found.judged_by, found.reasons) == (NEXT_POLICY, NEXT_POLICY, ())


def test_champion_refused_by_a_changed_policy_stays_with_reasons(here, client, new_run, judge, tmp_path):
    version = register(here, new_run()).version
    judge.policy, judge.reasons = NEXT_POLICY, ["AUC is below 0.99"]
    later = here.model_copy(update={"release_policy_sha256": NEXT_POLICY})
    before = counted("kept")
    Signer(later).renew()
    found = approval(later, client, version, tmp_path)
    assert (found.policy_sha256, found.judged_by, found.reasons) == (NEXT_POLICY, POLICY, ("AUC is below 0.99",))
    assert counted("kept") > before
    with pytest.raises(GateError, match=r"AUC is below 0\.99"):
        register(later, new_run())


def rotated(here, hours=1):
    """The environment after a rotation; `hours`: for how long the former key counts on."""
    until = datetime.now(UTC) + timedelta(hours=hours)
    keyring = Keyring(verifying_key(OTHER_KEY), verifying_key(SIGNING_KEY), until)
    return here.model_copy(update={"signing_key": OTHER_KEY, "verifying_key": str(keyring)})


def test_rotation_signs_anew_what_the_former_key_signed(here, client, new_run, tmp_path):
    first, second = register(here, new_run()).version, register(here, new_run()).version
    later = rotated(here)
    Signer(later).renew()
    for version in (first, second):
        assert approval(later, client, version, tmp_path / version).version == version
        with pytest.raises(SignatureError, match="another signature than this stack's"):
            approval(here, client, version, tmp_path / f"former-{version}")
    assert rollback(later).version == first
    audit.Journal(later).deliver()
    entries = [each for each in audit.read(later, None)["entries"].values() if each["action"] == "rotation"]
    assert {(each["object"], each["outcome"]) for each in entries} == {
        (f"version {version}", "signed anew") for version in (first, second)
    }


def test_former_key_counts_until_its_time_and_not_after(here, client, new_run, tmp_path):
    version = register(here, new_run()).version
    assert approval(rotated(here), client, version, tmp_path / "during").version == version
    for hours in (-1, 0):
        with pytest.raises(SignatureError, match="another signature than this stack's"):
            approval(rotated(here, hours), client, version, tmp_path / f"after{hours}")
    former = tag(client, version)
    Signer(rotated(here, -1)).renew()
    assert tag(client, version) == former


def test_rotation_renews_only_what_policy_and_former_key_allow(here, client, new_run, judge):
    version = register(here, new_run()).version
    former = tag(client, version)
    judge.reasons = ["AUC is 0.5"]
    Signer(rotated(here)).renew()
    assert tag(client, version) == former
    judge.reasons = []
    stranger = verdict(version, client.get_model_version(MODEL_NAME, version).tags[BUNDLE_TAG], key="x" * 64)
    client.set_model_version_tag(MODEL_NAME, version, SIGNATURE_TAG, stranger)
    Signer(rotated(here)).renew()
    assert tag(client, version) == stranger


SECRETS = {"SIGNING_KEY": SIGNING_KEY, "SIGN_TOKEN": "s" * 20, "RETRAIN_TOKEN": "t" * 20}


def test_pipeline_and_drift_job_of_the_service_have_no_key(here, monkeypatch):
    class Begun(Exception):  # noqa: N818  only ends the run
        pass

    seen = []

    def begin(*_, env, **__):
        seen.append(env)
        raise Begun

    monkeypatch.setattr(runner.subprocess, "Popen", begin)
    with pytest.raises(Begun):
        LocalRunner(here, {"PATH": "/bin", **SECRETS}).run("a" * 32, "", None, lambda _: None, lambda: False)
    checks = Checks(SimpleNamespace(engine=None, owner=""), {"PATH": "/bin", **SECRETS})
    assert [set(env) & set(SECRETS) for env in (seen[0], checks._environ)] == [set(), set()]


def test_steps_of_a_pipelines_server_have_no_key():
    assert not set(SECRETS) & {*kubeflow.PLAIN_VARIABLES, *kubeflow.SECRET_VARIABLES}
    assert {"STACK", "VERIFYING_KEY"} <= set(kubeflow.PLAIN_VARIABLES)


def test_service_keeps_its_key_from_children_and_from_its_user():
    code = (
        "import ctypes, json, os, subprocess, sys\n"
        "from workloads.lifecycle.retraining.__main__ import hide\n"
        "hide(os.environ)\n"
        "child = subprocess.check_output([sys.executable, '-c', 'import os; print(os.environ.get(\"SIGNING_KEY\"))'])\n"
        "print(json.dumps([child.decode().strip(), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)]))\n"
    )
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[3]), **SECRETS}
    for more, dumpable in (({}, 0), ({"MLPLATFORM_STACK_FOLDER": "/stack"}, 1)):
        printed = subprocess.check_output([sys.executable, "-c", code], env=environ | more, text=True)
        assert json.loads(printed.splitlines()[-1]) == ["None", dumpable]


def test_trust_needs_a_key_and_a_stack(here):
    for field in ("verifying_key", "stack"):
        with pytest.raises(WorkloadError, match=f"environment variable {field.upper()} is not set"):
            Trust.of(here.model_copy(update={field: ""}))


def test_key_is_in_no_text_of_the_environment(here):
    assert SIGNING_KEY not in repr(here)
