"""Today's program on the state that each release left: nothing that holds data is replaced or deleted."""

import json
import sys

import pytest

from policies import destruction
from stacks.commands.preview.plan import parse

from .record import FOLDER, read, simulated

RECORDED = sorted(FOLDER.glob("*/*.json.gz"))
NEWEST = [file for file in RECORDED if file.parent == RECORDED[-1].parent]
LOSSES = {"replace", "delete"}

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]


BOTH = ("loan_default", "turbofan")


def preview_on(state, stack, folder, workloads=()):
    """The plan of an update of a recorded stack, which lists other workloads than before where some are given."""
    file = folder / "state.json"
    file.write_text(json.dumps(state))
    adopt = f"{sys.executable} {FOLDER / 'record.py'} --adopt {file} {' '.join(workloads)}"
    script = f"{adopt}; pulumi stack import --file {file} >&2; pulumi preview --json --show-sames --non-interactive"
    return parse(simulated(stack, script))


def lost(plan):
    return [step.name for step in plan.changes if step.change in LOSSES and step.type in destruction.GUARDED]


@pytest.mark.parametrize("file", RECORDED, ids=lambda path: f"{path.parent.name}-{path.name.partition('.')[0]}")
def test_an_upgrade_replaces_or_deletes_nothing_that_holds_data(file, tmp_path):
    plan = preview_on(read(file), file.name.partition(".")[0], tmp_path)
    assert {step.type for step in plan.steps} & set(destruction.GUARDED), "nothing that holds data was recorded"
    assert lost(plan) == []


@pytest.mark.parametrize("file", NEWEST, ids=lambda path: f"{path.parent.name}-{path.name.partition('.')[0]}")
def test_second_workload_replaces_or_deletes_nothing_that_holds_data(file, tmp_path):
    plan = preview_on(read(file), file.name.partition(".")[0], tmp_path, BOTH)
    assert any(step.role == "turbofan" and step.change == "create" for step in plan.changes)
    assert lost(plan) == []


def test_a_volume_that_the_program_no_longer_has_is_noticed(tmp_path):
    state = read(FOLDER / "0.1.0" / "dev.json.gz")
    claim = next(each for each in state["deployment"]["resources"] if each["type"].endswith("PersistentVolumeClaim"))
    extra = json.loads(json.dumps(claim).replace(claim["urn"], f"{claim['urn']}-old"))
    state["deployment"]["resources"].append(extra)
    assert lost(preview_on(state, "dev", tmp_path)) == [f"{claim['urn'].rpartition('::')[2]}-old"]
