"""What a preview tells where the policies refuse it: the plan and the verdict."""

import datetime as dt
import json
from pathlib import Path

import pytest

from policies import gate, report
from policies.catalogue import REPORT
from policies.model import Resource
from policies.settings import PolicySettings
from stacks.commands.preview import __main__ as preview
from stacks.commands.preview.plan import PreviewError

URN = "urn:pulumi:test::mlplatform::pulumi:pulumi:Stack::mlplatform-test"
LOUD = Resource(urn=URN, type="pulumi:pulumi:Stack", name="a", properties={"retrain_token": "hunter2"})
PLAN = json.dumps({"steps": [], "duration": 1, "changeSummary": {}})


@pytest.fixture
def engine(monkeypatch):
    """An engine that prints nothing where policies refuse, as the real one does, and what it was asked."""
    asked = []

    def run(_stack, flags, variables=None):
        asked.append(list(flags))
        if variables:
            verdict = gate.judge([LOUD], PolicySettings(), [], dt.date(2026, 1, 1), stack="test")
            Path(variables[REPORT]).write_text(report.as_json(verdict))
            raise PreviewError("error: preview failed")
        return PLAN

    monkeypatch.setattr(preview, "preview", run)
    return asked


def test_a_refused_preview_prints_the_plan_with_the_verdict(engine, capsys, tmp_path):
    assert preview.main(["--stack", "test", "--reports", str(tmp_path), "--", "--diff"]) == 1
    said = capsys.readouterr().out
    assert said.startswith("test: ")
    assert "ML-08" in said
    assert {"preview.md", "policy.json"} <= {each.name for each in tmp_path.iterdir()}
    assert engine[-1] == ["--diff"]
