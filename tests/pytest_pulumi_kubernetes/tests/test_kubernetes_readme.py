"""The example of the README is run."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"```python\n# file: (\S+)\n(.*?)```", README, re.DOTALL))


@pytest.mark.skipif(find_spec("pulumi_kubernetes") is None, reason="pulumi-kubernetes is not installed")
@pytest.mark.engine
@pytest.mark.cluster
def test_the_example_on_a_control_plane_passes(pytester, pulumi_cli, kube_tools):
    folders, modules = ([str(path) for path in paths] for paths in (kube_tools.folders, kube_tools.modules))
    pytester.makeconftest(
        "from pathlib import Path\n"
        "import pytest\n"
        "from pytest_pulumi_kubernetes import KubeTools\n"
        "@pytest.fixture(scope='session')\n"
        "def kube_tools():\n"
        f"    return KubeTools(tuple(map(Path, {folders})), tuple(map(Path, {modules})))\n"
    )
    (pytester.path / "test_web.py").write_text(FILES["test_web.py"], encoding="utf-8")
    pytester.runpytest_subprocess().assert_outcomes(passed=1)
