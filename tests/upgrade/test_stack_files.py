"""Stack files and names of metrics of each release, as today's program reads them; no engine runs."""

import json
import re

import pytest
import yaml

from stacks import former_keys
from stacks.settings import StackFileError, parse, with_made_up_secrets
from workloads.lifecycle.base import metrics
from workloads.loan_default.definition import LOAN_DEFAULT

from .record import FOLDER, metric_names

RECORDED = sorted(FOLDER.glob("*/Pulumi.*.yaml"))
DECISIONS = {"0.1.0/Pulumi.prod.yaml": ("cluster", "private_access_cidrs", ["10.40.0.0/16"])}
"""What a release's file has to say anew, because no version can decide it: who reaches a private API server."""


def config(file):
    """The configuration of a recorded stack file, as the engine hands it over, by block."""
    return with_made_up_secrets(yaml.safe_load(file.read_text())["config"])


def parsed(config_, stack):
    return parse({key: text if isinstance(text, str) else json.dumps(text) for key, text in config_.items()}, stack)


@pytest.mark.parametrize("file", RECORDED, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_stack_file_of_a_release_is_read_or_names_what_it_lacks(file):
    given, stack = config(file), file.name.split(".")[1]
    decision = DECISIONS.get(f"{file.parent.name}/{file.name}")
    if decision is not None:
        block, key, value = decision
        with pytest.raises(StackFileError, match=rf"{key}: \[{value[0]}\]"):
            parsed(given, stack)
        given[f"mlplatform:{block}"] = {**given[f"mlplatform:{block}"], key: value}
    assert parsed(given, stack).substrate.kind


def test_value_at_a_former_key_is_read_at_todays_key_with_a_notice(capsys):
    given = config(FOLDER / "0.1.0" / "Pulumi.dev.yaml")
    volume = given["mlplatform:pipelines"].pop("mysql")["volume"]
    given["mlplatform:pipelines"]["database_volume"] = {**volume, "size_gib": 17}
    assert parsed(given, "dev").pipelines.mysql.volume.size_gib == 17
    assert capsys.readouterr().err == (
        "Pulumi.dev.yaml: mlplatform:pipelines.database_volume is mlplatform:pipelines.mysql.volume now: "
        "rename it, the former key will be refused\n"
    )


def test_former_key_beside_todays_is_refused():
    given = config(FOLDER / "0.1.0" / "Pulumi.dev.yaml")
    given["mlplatform:pipelines"]["database_volume"] = {"size_gib": 17}
    with pytest.raises(StackFileError, match="database_volume: unknown key"):
        parsed(given, "dev")


def test_former_keys_leave_other_values_alone():
    values = {"a": {"old": 1, "kept": 2}, "b": 3}
    assert former_keys.translated(values, {"a.old": "c.d.new"}) == (
        {"a": {"kept": 2}, "b": 3, "c": {"d": {"new": 1}}},
        ["mlplatform:a.old is mlplatform:c.d.new now: rename it, the former key will be refused"],
    )
    assert former_keys.translated(values, {"a.gone.old": "b.new", "b.old": "x"}) == (values, [])


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*/metrics.json")), ids=lambda file: file.parent.name)
def test_metrics_of_a_release_keep_their_names_or_are_former_ones(file):
    former = LOAN_DEFAULT.former.metrics  # `exposition` shows these beside today's
    named = {re.sub(f"^{former}", metrics.PREFIX, name) for name in json.loads(file.read_text())}
    assert named <= set(metric_names())
