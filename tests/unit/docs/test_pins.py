"""Every pin is one that Renovate finds, by itself or by our expressions, and the bill of materials shows it."""

import re
import subprocess

import pytest

from infra.base import pins
from infra.base.paths import CHECKOUT
from infra.cluster.eks_versions import ADDONS
from infra.kube import charts
from infra.kube.charts import Chart
from stacks.commands import bom

IMAGE = re.compile(r'"((?:[\w-]+\.)+[a-z]+(?:/[\w.-]+)+:v?\d[\w.-]*)[@"]')
PROGRAM = ("infra", "stacks", "workloads", "policies", "tools")
MANAGERS = bom.custom_managers()


def versions():
    return {pin.version for manager in MANAGERS for pin in bom.seen(manager)}


def test_the_bill_of_materials_is_fresh():
    assert bom.FILE.read_text() == bom.text(), "run `python -m stacks.commands.bom`"


@pytest.mark.parametrize("file", ["infra/base/pins.py", "infra/kube/charts.py"])
def test_every_comment_for_renovate_is_one_that_it_understands(file):
    comments = re.findall(r"# renovate: .*depName=(\S+)", (CHECKOUT / file).read_text())
    assert comments
    assert sorted(comments) == sorted(pin.name for pin in bom.seen(MANAGERS[0]) if pin.file == file)


def test_every_chart_has_a_version_that_renovate_finds():
    found = {each.version for each in vars(charts).values() if isinstance(each, Chart)}
    assert found
    assert found <= versions()


def test_every_constant_of_the_pins_is_found_by_renovate():
    found = [each for name, each in vars(pins).items() if name.isupper()]
    assert found
    assert len(found) == len([pin for pin in bom.seen(MANAGERS[0]) if pin.file == "infra/base/pins.py"])
    assert [each for each in found if each.partition("@")[0].rpartition(":")[2] not in versions()] == []


def test_renovate_finds_every_add_on_of_every_kubernetes_version():
    expected = {
        (f"{addon} ({kubernetes})", version) for kubernetes, of in ADDONS.items() for addon, version in of.items()
    }
    assert {(pin.name, pin.version) for pin in bom.seen(MANAGERS[1])} == expected


def test_no_image_of_others_is_pinned_anywhere_else():
    command = ["git", "grep", "--untracked", "-nE", ":v?[0-9]", "--", *(f"{name}/*.py" for name in PROGRAM)]
    lines = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False).stdout.splitlines()
    pinned = [line for line in lines if IMAGE.search(line)]
    assert pinned
    assert [line for line in pinned if not line.startswith("infra/base/pins.py:")] == []


def test_every_action_is_pinned_by_a_commit_beside_its_version():
    workflows = sorted((CHECKOUT / ".github" / "workflows").glob("*.yml"))
    used = [line for path in workflows for line in path.read_text().splitlines() if "uses:" in line]
    assert used
    assert [line for line in used if not re.search(r"@[0-9a-f]{40} # v\d", line)] == []
