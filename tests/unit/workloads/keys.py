"""The key of the tests' stack, and verdicts signed with it or with another one."""

from datetime import UTC, datetime

from workloads.lifecycle.registry.keys import verifying_key
from workloads.lifecycle.registry.signature import Approval, Trust, seal
from workloads.lifecycle.training.bundle import sha256
from workloads.loan_default.definition import LOAN_DEFAULT

SIGNING_KEY = "key-of-the-tests-" * 3
OTHER_KEY = "key-of-somebody-else-" * 3
POLICY = sha256(b"policy of the tests")
TRUSTED = {
    "stack": "tests",
    "signing_key": SIGNING_KEY,
    "verifying_key": verifying_key(SIGNING_KEY),
    "release_policy_sha256": POLICY,
}
"""Fields of an environment that may sign."""
TRUST = Trust(TRUSTED["verifying_key"], "tests", LOAN_DEFAULT.name, POLICY)
FACTS = b'{"bias": {}}'


def verdict(version, checksum, facts=FACTS, *, key=SIGNING_KEY, **changes):
    """A signed verdict on a version of loan-default."""
    fields = {
        "stack": "tests",
        "workload": LOAN_DEFAULT.name,
        "version": version,
        "run_id": f"run-{version}",
        "facts_sha256": sha256(facts),
        "question_sha256": sha256(b"question"),
        "policy_sha256": POLICY,
        "judged_by": POLICY,
        "signed_at": datetime(2026, 11, 30, tzinfo=UTC),
    }
    return seal(key, LOAN_DEFAULT.model_name, checksum, Approval(**fields | changes))
