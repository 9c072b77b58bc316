"""The estimate of the prod stack from the real engine's preview, with simulated providers and without an account."""

import json
import shutil
import subprocess
import sys

import pytest

from infra.base.paths import CHECKOUT

pytestmark = pytest.mark.engine


@pytest.mark.skipif(shutil.which("pulumi") is None, reason="there is no pulumi on PATH")
def test_every_resource_of_prod_is_priced_or_free_for_a_reason(tmp_path):
    report = tmp_path / "cost.json"
    cost = [sys.executable, "-m", "stacks.commands.cost", "--stack", "prod", "--json", str(report)]
    done = subprocess.run(
        [sys.executable, "-m", "stacks.commands.simulated", "--stack", "prod", "--", *cost],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(report.read_text())
    assert set(told["roles"]) >= {"cluster", "network", "node-pool", "gpu-node-pool", "database", "online-store"}
    assert told["total"]["worst"] > told["total"]["expected"] > 0
    assert told["roles"]["gpu-node-pool"]["worst"] > 10 * told["roles"]["gpu-node-pool"]["expected"]
    parts = told["workloads"]
    assert list(parts) == ["loan-default", "shared"]
    for case in ("expected", "worst"):
        assert 0 < parts["loan-default"][case] < parts["shared"][case]
        assert sum(part[case] for part in parts.values()) == pytest.approx(told["total"][case], abs=0.02)
