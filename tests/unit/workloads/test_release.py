"""A release by `up` and the retraining service share one running place."""

from workloads.loan_default.release import alone
from workloads.loan_default.retraining.ledger import Ledger


def test_while_a_release_runs_no_retrain_begins(environment, tmp_path):
    url = f"sqlite:///{tmp_path}/retraining.db"
    ledger = Ledger(url)
    ledger.submit(alert="a:1", reason="drift", version="1", cooldown_seconds=0)
    with alone(environment.model_copy(update={"retrain_database": url})):
        assert ledger.take(0) is None
    assert ledger.take(0) is not None
    ledger.close()


def test_a_release_without_a_ledger_waits_for_nobody(environment):
    with alone(environment) as held:
        assert held is None
