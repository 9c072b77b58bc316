import json
from datetime import UTC, datetime, timedelta

import pytest
from starlette.testclient import TestClient

from workloads.lifecycle.base.errors import WorkloadError
from workloads.lifecycle.retraining.bearer import MIN_TOKEN, Former, former, token, tokens
from workloads.lifecycle.retraining.service import Parts, Service

UNTIL = datetime(2026, 12, 8, 12, tzinfo=UTC)


def of_variable(environment, found, _file):
    return environment.model_copy(update={"retrain_token": found})


def of_file(environment, found, file):
    file.write_text(f"{found}\n")
    return environment.model_copy(update={"retrain_token_file": file})


@pytest.mark.parametrize("given", [of_variable, of_file])
def test_token_is_read_from_its_variable_or_file(environment, tmp_path, given):
    assert token(given(environment, "t" * MIN_TOKEN, tmp_path / "token")) == "t" * MIN_TOKEN


@pytest.mark.parametrize("given", [of_variable, of_file])
@pytest.mark.parametrize("length", [0, MIN_TOKEN - 1])
def test_short_token_is_refused(environment, tmp_path, given, length):
    with pytest.raises(WorkloadError, match=f"must hold at least {MIN_TOKEN} characters, it holds {length}$"):
        token(given(environment, "t" * length, tmp_path / "token"))


def test_service_knows_the_scope_of_each_token_that_it_is_told(environment):
    given = {"retrain_token": "o" * MIN_TOKEN, "alert_token": "a" * MIN_TOKEN, "sign_token": "r" * MIN_TOKEN}
    given |= {"view_token": "v" * MIN_TOKEN, "outcomes_token": "f" * MIN_TOKEN}
    found = tokens(environment.model_copy(update=given))
    assert {text[0]: scope for text, scope in found.items()} == {
        "o": "operator",
        "a": "alerts",
        "f": "outcomes",
        "r": "release",
        "v": "viewer",
    }


@pytest.mark.parametrize(
    ("alert_token", "said"),
    [("short", "the token of scope alerts must hold at least 16"), ("o" * MIN_TOKEN, "must differ: two are the same")],
)
def test_token_that_opens_too_much_is_refused(environment, alert_token, said):
    given = {"retrain_token": "o" * MIN_TOKEN, "alert_token": alert_token}
    with pytest.raises(WorkloadError, match=said):
        tokens(environment.model_copy(update=given))


def test_tokens_before_a_rotation_count_until_their_time(environment):
    told = json.dumps({"until": UNTIL.isoformat(), "tokens": {"alerts": "b" * MIN_TOKEN}})
    found = former(environment.model_copy(update={"former_tokens": told}))
    assert found.counting(UNTIL - timedelta(seconds=1)) == {"b" * MIN_TOKEN: "alerts"}
    assert found.counting(UNTIL) == former(environment).counting(UNTIL) == {}


@pytest.mark.parametrize("told", ["{", '{"until": "2026-12-08T12:00:00", "tokens": {}}', '{"tokens": {"root": "b"}}'])
def test_former_tokens_that_cannot_be_read_are_named_and_not_shown(environment, told):
    with pytest.raises(WorkloadError, match="FORMER_TOKENS cannot be read: ") as failure:
        former(environment.model_copy(update={"former_tokens": told}))
    assert told not in str(failure.value)


@pytest.mark.parametrize(("hours", "status"), [(1, 422), (-1, 401)])
def test_caller_with_the_former_token_is_let_in_during_the_overlap(environment, hours, status):
    before = Former(until=datetime.now(UTC) + timedelta(hours=hours), tokens={"release": "b" * MIN_TOKEN})
    parts = Parts(environment, None, None, None, None, {"n" * MIN_TOKEN: "release"}, None, lambda: None, former=before)
    client = TestClient(Service(parts).app())

    def asked(text):
        return client.post("/sign", json={"run": "a"}, headers={"authorization": f"Bearer {text}"}).status_code

    assert (asked("n" * MIN_TOKEN), asked("b" * MIN_TOKEN), asked("x" * MIN_TOKEN)) == (422, status, 401)
