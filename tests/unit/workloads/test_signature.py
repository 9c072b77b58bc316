"""The model server serves only what carries this stack's signed verdict on this very version."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from workloads.lifecycle.base.errors import WorkloadError
from workloads.lifecycle.base.settings import ServingSettings
from workloads.lifecycle.registry.keys import Keyring, verifying_key
from workloads.lifecycle.registry.signature import (
    FACTS_FILE,
    SIGNATURE_TAG,
    OtherPolicyError,
    SignatureError,
    Trust,
    UnsignedError,
)
from workloads.lifecycle.serving.source import RegistrySource, _refusals
from workloads.lifecycle.training.bundle import MANIFEST_FILE, MODEL_FILE, sha256
from workloads.loan_default.definition import LOAN_DEFAULT

from .conftest import make_bundle
from .keys import FACTS, OTHER_KEY, SIGNING_KEY, TRUST, verdict
from .registry_stand_in import Patient, Served, onnx_model, watcher

CHECKSUM = "ab" * 32


def no_signature(registry, _folder):
    del registry.versions["2"][SIGNATURE_TAG]


def signature_of_another_version(registry, _folder):
    registry.versions["2"][SIGNATURE_TAG] = registry.versions["1"][SIGNATURE_TAG]


def approved_bundle_under_another_number(registry, _folder):
    registry.versions["2"] = dict(registry.versions["1"])


def own_bundle_behind_the_signature(registry, folder):
    checksum = make_bundle(folder, onnx_model(), run_id="run-evil")
    registry.versions["2"]["bundle_sha256"] = checksum
    for name in (MANIFEST_FILE, MODEL_FILE):
        registry.files[f"1/2/serving/{name}"] = (folder / name).read_bytes()


def facts_changed_after_signing(registry, _folder):
    registry.files[f"1/2/{FACTS_FILE}"] = b'{"bias": {}, "candidate": {"test_auc": 0.99}}'


def facts_missing(registry, _folder):
    del registry.files[f"1/2/{FACTS_FILE}"]


def signed(registry, **changes):
    registry.versions["2"][SIGNATURE_TAG] = verdict("2", registry.versions["2"]["bundle_sha256"], **changes)


def another_policy(registry, _folder):
    signed(registry, policy_sha256=sha256(b"a policy that allows everything"))


def another_stacks_key(registry, _folder):
    signed(registry, key=OTHER_KEY)


def another_stack_of_the_same_key(registry, _folder):
    signed(registry, stack="dev")


def another_workload(registry, _folder):
    signed(registry, workload="turbofan")


def statement_changed_after_signing(registry, _folder):
    envelope = json.loads(registry.versions["2"][SIGNATURE_TAG])
    envelope["payload"] = json.loads(verdict("2", CHECKSUM))["payload"]
    registry.versions["2"][SIGNATURE_TAG] = json.dumps(envelope)


def no_envelope(registry, _folder):
    registry.versions["2"][SIGNATURE_TAG] = "[" * 10_000


ATTACKS = [
    no_signature,
    signature_of_another_version,
    approved_bundle_under_another_number,
    own_bundle_behind_the_signature,
    facts_changed_after_signing,
    facts_missing,
    another_policy,
    another_stacks_key,
    another_stack_of_the_same_key,
    another_workload,
    statement_changed_after_signing,
    no_envelope,
]


def refused():
    return sum(_refusals.labels(reason)._value.get() for reason in ("signature", "bundle"))


@pytest.mark.parametrize("attack", ATTACKS)
def test_version_without_a_verdict_on_it_never_replaces_the_champion(registry, tmp_path, attack):
    served, watch = watcher(registry, tmp_path)
    watch.look()
    before = refused()
    attack(registry, tmp_path / "attack")
    registry.aliases = {"champion": "2", "challenger": "2"}
    watch.look()
    watch.look()
    assert served.versions == {"champion": "1"}
    assert refused() > before


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_server_that_starts_serves_no_version_without_a_verdict(registry, tmp_path, attack):
    attack(registry, tmp_path / "attack")
    registry.aliases = {"champion": "2"}
    served, watch = watcher(registry, tmp_path)
    watch.look()
    assert served.versions == {}
    assert "version 2 is refused: " in served.why


def test_version_is_served_once_it_is_signed(registry, tmp_path):
    no_signature(registry, None)
    registry.aliases = {"champion": "2"}
    served, watch = watcher(registry, tmp_path)
    watch.look()
    signed(registry)
    watch.look()
    assert served.versions == {"champion": "2"}


def test_cached_copy_is_served_only_with_its_signature(registry, tmp_path):
    watcher(registry, tmp_path)[1].look()
    registry.failing = True
    index = tmp_path / "cache" / "aliases.json"
    kept = json.loads(index.read_text())
    version, checksum, tag = kept["champion"]
    for spoilt in ([version, checksum], [version, checksum, ""], ["2", checksum, tag], [version, checksum, 7]):
        index.write_text(json.dumps({"champion": spoilt}))
        served, watch = watcher(registry, tmp_path)
        watch.look()
        assert served.versions == {}
    index.write_text(json.dumps(kept))
    served, watch = watcher(registry, tmp_path)
    watch.look()
    assert served.versions == {"champion": "1"}


def test_cached_copy_of_the_former_policy_serves_until_judged_anew(registry, tmp_path):
    watcher(registry, tmp_path)[1].look()
    served, watch = watcher(registry, tmp_path)
    watch._source._trust = Trust(TRUST.verifying_key, "tests", TRUST.workload, sha256(b"the next policy"))
    watch.look()
    assert served.versions == {"champion": "1"}


FORMER, CURRENT = verifying_key(SIGNING_KEY), verifying_key(OTHER_KEY)


def started(registry, tmp_path):
    """A follower that reads its keys from a file, as it starts."""
    trust = replace(TRUST, verifying_key="", verifying_key_file=tmp_path / "keys")
    source = RegistrySource(registry.url, tmp_path / "cache", LOAN_DEFAULT, trust)
    served = Served()
    return served, Patient(served, source, ServingSettings())


def rotate(tmp_path, hours):
    """Rewrite the file of the keys; the former one counts for so long."""
    until = datetime.now(UTC) + timedelta(hours=hours)
    (tmp_path / "keys").write_text(str(Keyring(CURRENT, FORMER, until)))


def test_rotation_under_a_server_interrupts_it_at_no_step(registry, tmp_path):
    (tmp_path / "keys").write_text(FORMER)
    served, watch = started(registry, tmp_path)
    watch.look()
    first = served.loaded["champion"]
    rotate(tmp_path, 1)
    for follower in (watch, started(registry, tmp_path)[1]):  # one that runs on, one that is started meanwhile
        before = refused()
        follower.look()
        assert (follower._loaded["champion"].version, follower.failure, refused()) == ("1", None, before)
    assert served.loaded["champion"] is first
    registry.versions["1"][SIGNATURE_TAG] = verdict("1", registry.versions["1"]["bundle_sha256"], key=OTHER_KEY)
    watch.look()
    assert served.loaded["champion"].signed == registry.versions["1"][SIGNATURE_TAG]
    rotate(tmp_path, -1)
    registry.failing = True
    again, follower = started(registry, tmp_path)
    follower.look()
    assert served.versions == again.versions == {"champion": "1"}


def test_former_key_opens_nothing_after_the_overlap(registry, tmp_path):
    registry.aliases = {"champion": "2"}
    (tmp_path / "keys").write_text(FORMER)
    served, watch = started(registry, tmp_path)
    watch.look()
    rotate(tmp_path, -1)
    signed(registry)  # a thief of the former key still signs
    registry.aliases = {"champion": "1"}
    watch.look()
    again, follower = started(registry, tmp_path)
    follower.look()
    assert (served.versions, again.versions) == ({"champion": "2"}, {})
    assert "another signature than this stack's" in again.why


def test_keys_that_cannot_be_read_open_nothing(registry, tmp_path):
    for content in ("", "ab", f"{CURRENT} {FORMER}", f"{CURRENT} {FORMER} 2026-12-08T12:00:00", f"{FORMER.upper()}"):
        (tmp_path / "keys").write_text(content)
        served, watch = started(registry, tmp_path)
        watch.look()
        assert served.versions == {}, content
        assert "the stack's public keys cannot be read" in served.why
    (tmp_path / "keys").unlink()
    served, watch = started(registry, tmp_path)
    watch.look()
    assert served.versions == {}


def test_keyring_reads_what_it_writes():
    until = datetime(2026, 12, 8, 12, tzinfo=UTC)
    for keyring, count in ((Keyring(CURRENT), 1), (Keyring(CURRENT, FORMER, until), 2)):
        assert Keyring.parse(str(keyring)) == keyring
        assert len(keyring.counting(until - timedelta(seconds=1))) == count
        assert keyring.counting(until) == (CURRENT,)


def test_check_says_what_does_not_match():
    assert TRUST.check(verdict("3", CHECKSUM), "3", CHECKSUM, FACTS).run_id == "run-3"
    for changes, version, bundle, facts, error, words in (
        ({}, "3", CHECKSUM, b"{}", SignatureError, "its checksum is another one"),
        ({}, "4", CHECKSUM, FACTS, SignatureError, "about the version '3', not '4'"),
        ({}, "3", "cd" * 32, FACTS, SignatureError, "about the bundle 'abab"),
        ({"stack": "dev"}, "3", CHECKSUM, FACTS, SignatureError, "about the stack 'dev', not 'tests'"),
        ({"policy_sha256": "ef" * 32}, "3", CHECKSUM, FACTS, OtherPolicyError, "by the policy efefefefefef"),
        ({"key": OTHER_KEY}, "3", CHECKSUM, FACTS, SignatureError, "another signature than this stack's"),
    ):
        with pytest.raises(error, match=words):
            TRUST.check(verdict("3", CHECKSUM, **changes), version, bundle, facts)
    with pytest.raises(UnsignedError):
        TRUST.check(None, "3", CHECKSUM, FACTS)
    other = verdict("3", CHECKSUM, policy_sha256="ef" * 32)
    assert TRUST.by_any_policy().check(other, "3", CHECKSUM, FACTS).policy_sha256 == "ef" * 32


def test_signing_key_that_can_be_guessed_is_refused():
    with pytest.raises(WorkloadError, match="SIGNING_KEY must hold at least 40 characters, it holds 39"):
        verdict("3", CHECKSUM, key="k" * 39)
    assert verifying_key(SIGNING_KEY) != verifying_key(OTHER_KEY)
