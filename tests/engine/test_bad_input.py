"""A mistake in the prod file fails a preview with one line, and nothing is made; its settings' tests have all of them.

The command is `make preview STACK=prod`, on a checkout whose stack file says something else.
"""

import os
import sys

import pytest
import yaml

from infra.base import paths
from stacks.commands import simulated
from tests import prod
from workloads.lifecycle import discovery

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

MISTAKES = {
    "networks that overlap": (
        {"network": {"reserved_cidrs": ["10.0.0.0/8"]}},
        "Pulumi.prod.yaml: mlplatform:network.vpc: cidr 10.40.0.0/16 overlaps reserved_cidrs 10.0.0.0/8: ",
    ),
    "certificates that nobody brought": (
        {"database": {"root_certificate": "nowhere.pem"}},
        f"{paths.CHECKOUT}/nowhere.pem is no file of certificates in PEM and nothing else: `curl -fo nowhere.pem https://",
    ),
}


@pytest.fixture
def previewed(tmp_path, monkeypatch, capfd, pulumi_cli):
    """What `make preview STACK=prod` says of a stack file."""
    del pulumi_cli  # fails or skips where there is none

    def preview(config):
        checkout = tmp_path / "checkout"
        checkout.mkdir()
        for name in ("stacks", "infra", "Pulumi.yaml"):
            (checkout / name).symlink_to(paths.CHECKOUT / name)
        (checkout / "Pulumi.prod.yaml").write_text(yaml.safe_dump({"config": config}))
        monkeypatch.setattr(simulated, "CHECKOUT", checkout)
        code = simulated.main(
            ["--stack", "prod", "--", sys.executable, "-m", "stacks.commands.preview", "--stack", "prod"]
        )
        return code, capfd.readouterr()

    return preview


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package whose definition imports what the program lacks, as `pip` would have put it there."""
    folder = tmp_path / "installed"
    points = f"[{discovery.ENTRY_POINTS}]\ngreenhouse = greenhouse:GREENHOUSE\n"
    for name, text in {
        "greenhouse.py": "import pandas\n",
        "greenhouse-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: greenhouse\nVersion: 1\n",
        "greenhouse-1.dist-info/entry_points.txt": points,
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)


def is_one_line(said, line):
    code, printed = said
    assert (code, printed.out) == (1, "")
    first, *rest = printed.err.splitlines()
    assert first == "prod: the preview failed:"
    assert [text.startswith(f"error: {line}") for text in rest] == [True], rest


@pytest.mark.parametrize(("blocks", "line"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_in_the_stack_file_is_one_line(previewed, blocks, line):
    is_one_line(previewed(prod.config(**blocks)), line)


@pytest.mark.usefixtures("installed")
def test_definition_that_cannot_stand_is_one_line(previewed):
    config = {**prod.config(), "mlplatform:workloads": ["loan_default", "greenhouse"]}
    is_one_line(previewed(config), "Pulumi.prod.yaml: the definition 'greenhouse' imports pandas, which the Pulumi")
