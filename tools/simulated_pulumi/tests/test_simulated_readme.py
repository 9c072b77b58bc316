"""Everything that the README shows is run."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"```python\n# file: (\S+)\n(.*?)```", README, re.DOTALL))
needs_sdks = pytest.mark.skipif(
    find_spec("pulumi_aws") is None or find_spec("pulumi_random") is None,
    reason="pulumi-aws or pulumi-random is not installed",
)


def test_all_examples_are_tested():
    assert set(FILES) == {"test_own_provider.py", "preview.py", "graph.py"}


@pytest.mark.engine
def test_own_provider_of_the_readme_works(pytester, pulumi_cli):
    (pytester.path / "test_own_provider.py").write_text(FILES["test_own_provider.py"], encoding="utf-8")
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


@needs_sdks
def test_graph_of_the_readme_is_printed(tmp_path):
    (tmp_path / "graph.py").write_text(FILES["graph.py"], encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", "graph.py"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "{'length': 12} 12\n"


@needs_sdks
@pytest.mark.engine
def test_preview_of_the_readme_needs_no_credentials(pytester, pulumi_cli, monkeypatch):
    if pulumi_cli.host is None:
        pytest.skip("there is no Python language host")
    for name in [name for name in os.environ if name.startswith(("PULUMI_", "AWS_"))]:
        monkeypatch.delenv(name)
    (pytester.path / "preview.py").write_text(FILES["preview.py"], encoding="utf-8")
    (pytester.path / "Pulumi.yaml").write_text("name: shop\nruntime: python\n", encoding="utf-8")
    program = "import pulumi, pulumi_aws\nmain = pulumi_aws.Provider('main', region='eu-west-1')\n"
    program += "pulumi_aws.s3.Bucket('artifacts', opts=pulumi.ResourceOptions(provider=main))\n"
    (pytester.path / "__main__.py").write_text(program, encoding="utf-8")
    result = pytester.run(sys.executable, "preview.py", "--non-interactive")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*aws:s3:Bucket*artifacts*create*", "*+ 3 to create*"])
