"""A mistake in the prod file fails a preview with one line, and nothing is made; its settings' tests have all of them.

The command is `make preview STACK=prod`, on a checkout whose stack file says something else.
"""

import sys

import pytest
import yaml

from infra.core import charts, paths
from stacks import simulated
from tests import prod

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
    "a chart that nobody brought": (
        {"substrate": {"supply": {"folder": "/nowhere"}}},
        f"/nowhere/charts/{charts.KARPENTER_CRDS.archive} does not exist: `helm pull oci://public.ecr.aws/karpenter/",
    ),
}


@pytest.fixture
def previewed(tmp_path, monkeypatch, capfd, pulumi_cli):
    """What `make preview STACK=prod` says with keys of blocks changed."""
    del pulumi_cli  # fails or skips where there is none

    def preview(blocks):
        checkout = tmp_path / "checkout"
        checkout.mkdir()
        for name in ("stacks", "infra", "Pulumi.yaml"):
            (checkout / name).symlink_to(paths.CHECKOUT / name)
        (checkout / "Pulumi.prod.yaml").write_text(yaml.safe_dump({"config": prod.config(**blocks)}))
        monkeypatch.setattr(simulated, "CHECKOUT", checkout)
        code = simulated.main(["--stack", "prod", "--", sys.executable, "-m", "stacks.preview", "--stack", "prod"])
        return code, capfd.readouterr()

    return preview


@pytest.mark.parametrize(("blocks", "line"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_in_the_stack_file_is_one_line(previewed, blocks, line):
    code, said = previewed(blocks)
    assert (code, said.out) == (1, "")
    first, *rest = said.err.splitlines()
    assert first == "prod: the preview failed:"
    assert [text.startswith(f"error: {line}") for text in rest] == [True], rest
