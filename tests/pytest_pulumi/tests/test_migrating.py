"""The guide from `set_mocks` is run: what it shows as the new test passes, with the program that it speaks of."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

GUIDE = (Path(__file__).parents[1] / "docs" / "migrating.md").read_text(encoding="utf-8")
PROGRAM = """
import pulumi
from pulumi_aws import ec2

image = ec2.get_ami(most_recent=True, owners=["amazon"])
server = ec2.Instance("web", ami=image.id, instance_type="t3.micro", tags={"Name": "web"})
pulumi.export("ip", server.public_ip)
"""


@pytest.mark.skipif(find_spec("pulumi_aws") is None, reason="pulumi-aws is not installed")
def test_new_test_of_the_guide_passes(pytester):
    ((name, text),) = re.findall(r"```python\n# file: (\S+)\n(.*?)```", GUIDE, re.DOTALL)
    (pytester.path / name).write_text(text, encoding="utf-8")
    (pytester.path / "infra.py").write_text(PROGRAM, encoding="utf-8")
    pytester.runpytest_subprocess().assert_outcomes(passed=1)
