import argparse
import io
import json

import pytest

from workloads.lifecycle.base.errors import WorkloadError
from workloads.lifecycle.retraining.client import add_arguments, connect

OUTPUTS = {"retrain_url": "http://127.0.0.1:9/retrain", "retrain_token": "a-token"}


@pytest.fixture
def given(monkeypatch):
    """Connects with a text on standard input."""

    def command(text):
        monkeypatch.setattr("sys.stdin", io.StringIO(text))
        parser = argparse.ArgumentParser()
        add_arguments(parser)
        return connect(parser.parse_args(["--outputs", "-"]))

    return command


def test_command_without_outputs_ends_without_a_second_error(given, capsys):
    with pytest.raises(SystemExit) as ended:
        given("")
    assert (ended.value.code, capsys.readouterr().err) == (1, "")


def test_outputs_that_are_no_json_are_named(given):
    with pytest.raises(WorkloadError, match="--outputs or --token-file cannot be read"):
        given("the stack is away")


def test_outputs_give_the_address_of_the_service(given):
    outputs, _client = given(json.dumps(OUTPUTS))
    assert outputs["retrain_url"] == OUTPUTS["retrain_url"]
