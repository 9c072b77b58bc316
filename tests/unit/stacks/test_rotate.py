import argparse
import datetime as dt
from pathlib import Path

import pytest

from infra.base.paths import CHECKOUT
from stacks.commands import rotate
from stacks.commands.audit import events
from workloads.lifecycle.registry.audit_entry import Action

UNTIL = dt.datetime(2026, 12, 8, 12, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("config", "workload", "written"),
    [
        ("{}", "", "mlplatform:loan_default.signing_generation 2"),
        ("{mlplatform:loan_default: {signing_generation: 4}}", "", "mlplatform:loan_default.signing_generation 5"),
        ("{mlplatform:default_workload: turbofan}", "", "mlplatform:turbofan.signing_generation 2"),
        ("{mlplatform:default_workload: turbofan}", "loan-default", "mlplatform:loan_default.signing_generation 2"),
    ],
)
def test_rotation_counts_up_the_key_of_one_workload(tmp_path, monkeypatch, config, workload, written):
    file, asked = tmp_path / "Pulumi.local.yaml", []
    file.write_text(f"config: {config}\n")
    monkeypatch.setattr(rotate.subprocess, "run", lambda command, check: asked.append((command, check)))
    rotate.rotate(file, "local", workload, UNTIL)
    (former, _), (command, check) = asked
    field, _, generation = written.partition(" ")
    assert command[-5:] == ["set", "--path", field, "--plaintext", generation]
    until = field.replace("signing_generation", "signing_former_until")
    assert former[-5:] == ["set", "--path", until, "--plaintext", "2026-12-08T12:00:00+00:00"]
    assert (command[:2], str(file) in command, check) == (["pulumi", "config"], True, True)


def test_former_key_of_a_rotation_without_overlap_counts_no_more(tmp_path, monkeypatch):
    file, asked = tmp_path / "Pulumi.local.yaml", []
    monkeypatch.setattr(rotate.subprocess, "run", lambda command, **_: asked.append(command[-5:]))
    for block in ("{}", "{signing_generation: 2, signing_former_until: '2026-12-08T12:00:00+00:00'}"):
        file.write_text(f"config: {{mlplatform:loan_default: {block}}}\n")
        rotate.rotate(file, "local", "", None)
    field = "mlplatform:loan_default.signing_"
    assert [command[-3:] for command in asked if "rm" in command] == [["rm", "--path", f"{field}former_until"]]
    assert [command[2:] for command in asked if "set" in command] == [
        [f"{field}generation", "--plaintext", "2"],
        [f"{field}generation", "--plaintext", "3"],
    ]


def test_rotation_of_tokens_counts_up_their_own_number(tmp_path, monkeypatch):
    file, asked = tmp_path / "Pulumi.local.yaml", []
    file.write_text("config: {mlplatform:loan_default: {signing_generation: 3}}\n")
    monkeypatch.setattr(rotate.subprocess, "run", lambda command, **_: asked.append(command[-3:]))
    assert rotate.rotate(file, "local", "", UNTIL, "tokens") == 2
    fields = ["mlplatform:loan_default.token_former_until", "mlplatform:loan_default.token_generation"]
    assert [command[0] for command in asked] == fields


def test_overlap_is_a_number_of_days():
    assert (rotate.overlap(""), rotate.overlap("0.5")) == (dt.timedelta(days=7), dt.timedelta(hours=12))
    for text in ("-1", "31", "a week", "nan"):
        with pytest.raises(argparse.ArgumentTypeError, match=f"OVERLAP={text} must be 0 to 30 days"):
            rotate.overlap(text)


def test_rotation_is_an_entry_of_the_audit_log():
    noted = "--action rotation --about"
    assert (
        noted in (Path(CHECKOUT) / "Makefile").read_text().partition("rotate-signing-key: ##")[2].partition("\n\n")[0]
    )
    (event,) = events("local", Action.ROTATION, "done", UNTIL, "signing key of turbofan")
    assert (event.action, event.object, event.outcome) == ("rotation", "signing key of turbofan", "done")
