"""Evidence of every promotion, chained by hash: who allowed which model on which data, and why.

Records are objects `evidence/<number>-<hash>.json`, each holding its predecessor's hash, so that a changed, missing or
inserted record shows, and who acted. A person who can write the store can rewrite the whole chain; verdicts are signed
(`signature`).
"""

import argparse
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from workloads.lifecycle.base import identity
from workloads.lifecycle.base.environment import Environment, load
from workloads.lifecycle.base.errors import WorkloadError, run_command
from workloads.lifecycle.base.store import Store
from workloads.lifecycle.registry import chain

PREFIX = "evidence"
FIRST = "0" * 64
"""Predecessor of the first record."""


class EvidenceError(WorkloadError):
    """The chain is broken; the text names the first record that does not fit."""


class Promotion(BaseModel):
    """What is known when `champion` moves."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    kind: Literal["promotion", "rollback"]
    """Whether a new release went up or an old one came back."""

    version: str
    """Version that becomes champion."""

    previous: str | None
    """Version that was champion."""

    run_id: str
    """MLflow run of the model."""

    data_hash: str
    """Content hash of the training data."""

    ingestion_run: str
    """Ingestion run of the training data."""

    feature_view: str
    """Feast views of the model's inputs."""

    model_sha256: str
    """Checksum of the ONNX file."""

    metrics: dict[str, float]
    """Quality on held-out rows."""

    bias: dict[str, dict[str, float | None]]
    """Gap per protected attribute and kind."""

    allowed: bool
    """The release policy's verdict."""

    reasons: tuple[str, ...]
    """What the policy said."""

    bounds: dict[str, dict[str, float]] = {}
    """Value, low and high of what was judged; those with `loss of` are against the champion, on the same rows."""

    rows: dict[str, int] = {}
    """Rows by what they were for: `learnt`, `judged`, `known` and `champion_learnt`; as far as they were recorded."""

    approver: str
    """What allowed the promotion: a policy, or who vouches for it by `APPROVER`; the record says who acted."""


def append(environment: Environment, promotion: Promotion) -> str:
    """Write the next record; returns its hash. The same promotion right after itself is not written twice."""
    store = Store.open(environment)
    names = store.names(PREFIX)
    last = names[-1] if names else None
    if last is not None:
        content = _read(store, last)
        if content["promotion"] == promotion.model_dump(mode="json"):
            return chain.hash_in(last)
    record = {
        "number": len(names) + 1,
        "before": chain.hash_in(last) if last else FIRST,
        "at": datetime.now(UTC).isoformat(),
        "actor": identity.acting(),
        "promotion": promotion.model_dump(mode="json"),
    }
    digest = chain.digest(record)
    store.write_json(f"{PREFIX}/{record['number']:06d}-{digest}.json", record)
    return digest


def check(environment: Environment) -> int:
    """Number of records when the chain holds; raises EvidenceError that names the first record that does not."""
    return len(_records(environment))


def promotions(environment: Environment) -> list[Promotion]:
    """What the records say, oldest first; raises EvidenceError as `check` does."""
    try:
        return [Promotion.model_validate(record["promotion"]) for record in _records(environment)]
    except (KeyError, ValidationError) as error:
        raise EvidenceError(f"{PREFIX}: a record is not one of this program") from error


def _records(environment: Environment) -> list[dict[str, Any]]:
    """The records, oldest first, once the chain holds."""
    store = Store.open(environment)
    before = FIRST
    names, records = store.names(PREFIX), []
    for number, name in enumerate(names, start=1):
        record = _read(store, name)
        if record.get("number") != number or not name.startswith(f"{number:06d}-"):
            raise EvidenceError(f"{PREFIX}/{name}: expected record number {number}; one was removed or inserted")
        if record.get("before") != before:
            raise EvidenceError(f"{PREFIX}/{name}: does not follow the record before it")
        if chain.digest(record) != chain.hash_in(name):
            raise EvidenceError(f"{PREFIX}/{name}: content was changed after it was written")
        before = chain.hash_in(name)
        records.append(record)
    return records


def _read(store: Store, name: str) -> dict[str, Any]:
    try:
        return store.read_json(f"{PREFIX}/{name}") or {}
    except ValueError as error:
        raise EvidenceError(f"{PREFIX}/{name}: is not a record ({error})") from error


def described(promotion: Promotion) -> str:
    """One line about a promotion: what was measured, with bounds and rows."""
    sizes = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in promotion.rows.items())
    found = "; ".join(
        f"{name} {bound['value']:.4f} ({bound['low']:.4f} to {bound['high']:.4f})"
        for name, bound in promotion.bounds.items()
    )
    after = f" after version {promotion.previous}" if promotion.previous else ""
    measured = f": {found}; rows: {sizes}" if found else ": of before bounds were recorded"
    return f"{promotion.kind} of version {promotion.version}{after}, by {promotion.approver}{measured}"


def main() -> None:
    """Command: check the chain, and print its promotions and how many records hold."""
    argparse.ArgumentParser(prog="python -m workloads.lifecycle.registry.evidence", description=__doc__).parse_args()
    found = promotions(load())
    for promotion in found:
        print(described(promotion))
    print(f"{len(found)} evidence records, the chain holds")


if __name__ == "__main__":
    run_command(main)
