"""The signed verdict, without which a version is not served: a DSSE envelope around an in-toto statement.

It binds bundle, judged facts, policy, workload, stack and version. Everybody who acts on a version has the public key
and checks it (`Trust`); the private key is in the retraining service alone (`signing`). The envelope is the tag
`signed_verdict` of a version. DSSE's encoding is one line over `cryptography`, which a library for it would wrap.
Source: https://github.com/secure-systems-lab/dsse/blob/v1.0.2/protocol.md
"""

import base64
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import BaseModel, ConfigDict, ValidationError

from workloads.lifecycle.base.environment import Environment
from workloads.lifecycle.base.errors import WorkloadError
from workloads.lifecycle.registry.keys import Keyring, private_key
from workloads.lifecycle.training.bundle import BundleError, sha256

SIGNATURE_TAG = "signed_verdict"
"""Tag of a version."""

FACTS_FILE = "validation/facts.json"
"""Artifact of a run: what the gate measured."""

_PAYLOAD_TYPE = "application/vnd.in-toto+json"
_STATEMENT = "https://in-toto.io/Statement/v1"
_PREDICATE = "urn:mlplatform:release-verdict:v1"
_SHOWN = 12
_MIN_CHARACTERS = 40
"""Of the text that the key is made from: letters and digits, 238 bits."""


class SignatureError(BundleError):
    """A version has no signed verdict, or one that is not about it; it must not be served."""


class UnsignedError(SignatureError):
    """A version has no signed verdict at all, as those of before signatures."""


class OtherPolicyError(SignatureError):
    """A verdict holds in every respect, but another policy gave it."""


class Approval(BaseModel):
    """What is signed about a version."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    stack: str

    workload: str

    version: str
    """Version of the registered model."""

    run_id: str
    """MLflow run that trained it."""

    facts_sha256: str
    """Digest of the recorded measurements, `FACTS_FILE`, byte by byte."""

    question_sha256: str
    """Digest of what OPA was asked: the measurements, the workload's contract and its limits."""

    policy_sha256: str
    """Digest of the policy that is in force."""

    judged_by: str
    """Digest of the policy that approved; another one when a later policy found the version in service."""

    reasons: tuple[str, ...] = ()
    """What the policy in force says against a version that an earlier one approved."""

    signed_at: datetime


class _Foreign(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Digest(_Foreign):
    sha256: str


class _Subject(_Foreign):
    digest: _Digest


class _Statement(_Foreign):
    subject: tuple[_Subject]
    predicateType: str  # noqa: N815  in-toto's name
    predicate: Approval


class _Signature(_Foreign):
    sig: str


class _Envelope(_Foreign):
    payload: str
    payloadType: str  # noqa: N815  DSSE's name
    signatures: tuple[_Signature]


@dataclass(frozen=True)
class Trust:
    """Whose signatures count, and what they must be about."""

    verifying_key: str
    """The stack's public keys, as `Keyring` reads them; empty where a file has them."""

    stack: str

    workload: str

    policy_sha256: str = ""
    """The policy in force; empty where a verdict by any policy of the stack will do."""

    verifying_key_file: Path | None = None
    """File with the public keys, which a rotation rewrites under a running process."""

    @classmethod
    def of(cls, environment: Environment) -> Self:
        """What the process was told; raises WorkloadError when it was told nothing."""
        return cls(
            verifying_key="" if environment.verifying_key_file else environment.need("verifying_key"),
            stack=environment.need("stack"),
            workload=environment.definition.name,
            policy_sha256=environment.release_policy_sha256,
            verifying_key_file=environment.verifying_key_file,
        )

    def by_any_policy(self) -> Self:
        """The same without a policy: for what was verified against the policy of its time."""
        return replace(self, policy_sha256="")

    def by_one_key(self, key: str) -> Self:
        """The same for one public key, whatever else counts."""
        return replace(self, verifying_key=key, verifying_key_file=None)

    def keys(self) -> Keyring:
        """The public keys as they are now; raises SignatureError for a file that cannot be used."""
        try:
            file = self.verifying_key_file
            return Keyring.parse(self.verifying_key if file is None else file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise SignatureError(f"the stack's public keys cannot be read: {error}") from error

    def is_by_current_key(self, tag: str) -> bool:
        """Whether the current key made a verdict that some key of the stack made, so that no rotation ends it."""
        try:
            self._content(tag, (self.keys().current,))
        except SignatureError:
            return False
        return True

    def check(self, tag: str | None, version: str, bundle_sha256: str, facts: bytes) -> Approval:
        """What was signed about a version; raises SignatureError that names what does not match."""
        approval = self.opened(tag, version, bundle_sha256)
        if approval.facts_sha256 != sha256(facts):
            raise SignatureError(f"{FACTS_FILE} is not what was judged: its checksum is another one")
        if self.policy_sha256 and approval.policy_sha256 != self.policy_sha256:
            raise OtherPolicyError(
                f"its verdict is by the policy {approval.policy_sha256[:_SHOWN]}, in force is "
                f"{self.policy_sha256[:_SHOWN]}; the retraining service judges it anew when it starts"
            )
        return approval

    def opened(self, tag: str | None, version: str, bundle_sha256: str) -> Approval:
        """As `check`, where facts and policy were compared before."""
        if not tag:
            raise UnsignedError(f"it has no signed verdict (tag {SIGNATURE_TAG})")
        digest, approval = self._content(tag, self.keys().counting(datetime.now(UTC)))
        for what, found, wanted in (
            ("bundle", digest, bundle_sha256),
            ("stack", approval.stack, self.stack),
            ("workload", approval.workload, self.workload),
            ("version", approval.version, version),
        ):
            if found != wanted:
                raise SignatureError(f"its signed verdict is about the {what} {found[:64]!a}, not {wanted[:64]!a}")
        return approval

    def _content(self, tag: str, keys: tuple[str, ...]) -> tuple[str, Approval]:
        """Digest of the bundle and what is said about it, once the signature is by one of the keys."""
        try:
            envelope = _Envelope.model_validate_json(tag)
            payload = base64.b64decode(envelope.payload, validate=True)
            signature = base64.b64decode(envelope.signatures[0].sig, validate=True)
            if not any(_verifies(key, signature, payload) for key in keys):
                raise SignatureError("its signed verdict has another signature than this stack's")
            statement = _Statement.model_validate_json(payload)
        except (ValidationError, ValueError, RecursionError) as error:
            raise SignatureError(f"its tag {SIGNATURE_TAG} is no signed verdict: {type(error).__name__}") from error
        if envelope.payloadType != _PAYLOAD_TYPE or statement.predicateType != _PREDICATE:
            raise SignatureError(f"its tag {SIGNATURE_TAG} is signed, but about something else")
        return statement.subject[0].digest.sha256, statement.predicate


def seal(secret: str, model: str, bundle_sha256: str, approval: Approval) -> str:
    """The tag: an envelope signed with the key that a secret text makes; raises WorkloadError for a short text."""
    statement = {
        "_type": _STATEMENT,
        "subject": [{"name": model, "digest": {"sha256": bundle_sha256}}],
        "predicateType": _PREDICATE,
        "predicate": approval.model_dump(mode="json"),
    }
    payload = json.dumps(statement, sort_keys=True, separators=(",", ":")).encode()
    if len(secret) < _MIN_CHARACTERS:
        raise WorkloadError(f"SIGNING_KEY must hold at least {_MIN_CHARACTERS} characters, it holds {len(secret)}")
    signature = private_key(secret).sign(_encoded(payload))
    envelope: dict[str, Any] = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": _PAYLOAD_TYPE,
        "signatures": [{"sig": base64.b64encode(signature).decode()}],
    }
    return json.dumps(envelope)


def _verifies(key: str, signature: bytes, payload: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)).verify(signature, _encoded(payload))
    except InvalidSignature:
        return False
    return True


def _encoded(payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding."""
    return f"DSSEv1 {len(_PAYLOAD_TYPE)} {_PAYLOAD_TYPE} {len(payload)} ".encode() + payload
