"""The signer, in the service that has the key: signs what it is asked to, and at its start what needs a new signature.

A served version, and those that may follow it, need one after a rotation of the key, after a change of the release
policy, and once after the upgrade from a version without signatures.
"""

import logging
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import Counter

from workloads.lifecycle.base import metrics
from workloads.lifecycle.base.environment import Environment
from workloads.lifecycle.base.errors import DataError, GateError
from workloads.lifecycle.base.mlflow_api import mlflow_client
from workloads.lifecycle.base.servers import wait_for_mlflow
from workloads.lifecycle.base.store import Store
from workloads.lifecycle.registry import audit, evidence
from workloads.lifecycle.registry.audit_entry import Action
from workloads.lifecycle.registry.evidence import EvidenceError
from workloads.lifecycle.registry.signature import Approval, SignatureError, Trust, UnsignedError
from workloads.lifecycle.registry.signing import Recorded, sign
from workloads.lifecycle.registry.versions import (
    CHALLENGER,
    CHAMPION,
    PREVIOUS,
    alias_version,
    approved,
    keep_signed,
    recorded,
    register_signed,
)
from workloads.lifecycle.retraining.champion import registry_outages_named
from workloads.lifecycle.training import reference
from workloads.lifecycle.training.bundle import BundleError

if TYPE_CHECKING:
    from mlflow import MlflowClient

ADOPTED = "signatures/adopted.json"
"""Object that says that unsigned versions were looked at: they are adopted once, never again."""

_log = logging.getLogger(__name__)
SIGNATURES = Counter(
    metrics.SIGNATURES.removesuffix("_total"), "Verdicts by what the signer did", ["outcome"], registry=None
)
for _outcome in metrics.SIGNATURE_OUTCOMES:
    SIGNATURES.labels(_outcome)


class Signer:
    """Judges, and signs what the release policy allows."""

    def __init__(self, environment: Environment) -> None:
        """Raises WorkloadError without a key."""
        environment.need("signing_key")
        self._environment = environment

    def sign(self, run_id: str) -> str:
        """Register a run's model with a signed verdict and leave the aliases alone; returns its version.

        Raises GateError when the policy refuses it.
        """
        try:
            with registry_outages_named():
                version = register_signed(self._environment, run_id)
        except (GateError, BundleError):
            SIGNATURES.labels("refused").inc()
            raise
        SIGNATURES.labels("signed").inc()
        return version

    def renew(self) -> None:
        """Sign anew what the aliases name, where that is needed and right; raises WorkloadError in an outage."""
        wait_for_mlflow(self._environment)
        try:
            reference.champion(self._environment)
        except DataError:  # a new stack, which needs no client of MLflow yet
            Store.open(self._environment).write_json(ADOPTED, {"at": datetime.now(UTC).isoformat(), "versions": {}})
            return
        with registry_outages_named():
            self._renew()

    def _renew(self) -> None:
        environment = self._environment
        store, client = Store.open(environment), mlflow_client(environment)
        adopts = store.read(ADOPTED) is None
        versions = {alias: alias_version(environment, client, alias) for alias in (CHAMPION, PREVIOUS, CHALLENGER)}
        for version in sorted({version for version in versions.values() if version}, key=int):
            self._look(client, version, adopts=adopts)
        if adopts:
            found = {alias: version for alias, version in versions.items() if version}
            store.write_json(ADOPTED, {"at": datetime.now(UTC).isoformat(), "versions": found})

    def _look(self, client: "MlflowClient", version: str, *, adopts: bool) -> None:
        try:
            with tempfile.TemporaryDirectory(dir=self._environment.work) as scratch:
                found = recorded(self._environment, client, version, Path(scratch))
            outcome = self._renewed(client, found, adopts=adopts)
        except (GateError, BundleError, EvidenceError) as error:
            _log.error("version %s gets no signed verdict and will not be served: %s", version, error)
            SIGNATURES.labels("refused").inc()
            return
        if outcome is not None:
            _log.warning("version %s has a new signed verdict: %s", version, outcome)
            SIGNATURES.labels(outcome).inc()

    def _renewed(self, client: "MlflowClient", found: Recorded, *, adopts: bool) -> str | None:
        """What was done with a version; None when its verdict holds. Raises GateError and the like."""
        environment, counting = self._environment, Trust.of(self._environment)
        trust = counting.by_one_key(counting.keys().current)
        rotated = False
        try:
            approved(environment, client, found, trust)
        except SignatureError as error:
            why = error
        else:
            return None
        if (before := self._approval(client, found, trust.by_any_policy())) is not None:
            outcome, tag = "kept", sign(environment, found, before)
            if not trust.check(tag, found.version, found.bundle_sha256, found.facts).reasons:
                outcome = "renewed"
        elif self._approval(client, found, counting.by_any_policy()) is not None:  # by the former key
            outcome, tag, rotated = "renewed", sign(environment, found), True
        elif isinstance(why, UnsignedError) and adopts:
            self._require_evidence(found)
            outcome, tag = "adopted", sign(environment, found, of_before=True)
        else:
            raise why
        keep_signed(environment, client, found.version, tag)
        if rotated:
            audit.Journal(environment).note(Action.ROTATION, f"version {found.version}", "signed anew")
        return outcome

    def _approval(self, client: "MlflowClient", found: Recorded, trust: Trust) -> Approval | None:
        try:
            return approved(self._environment, client, found, trust)
        except SignatureError:
            return None

    def _require_evidence(self, found: Recorded) -> None:
        """Raise EvidenceError unless the chain holds and says that this very model was promoted with a verdict."""
        for promotion in evidence.promotions(self._environment):
            same = (promotion.version, promotion.run_id) == (found.version, found.run_id)
            if same and promotion.allowed and promotion.model_sha256 == found.model_sha256:
                return
        raise EvidenceError("no evidence record says that this model was promoted with the release policy's verdict")
