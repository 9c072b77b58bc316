"""Everything that the README shows is run."""

import os
import re
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from pytest_pulumi import plugin
from pytest_pulumi.facts import CHECKS

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"```python\n# file: (\S+)\n(.*?)```", README, re.DOTALL))
needs_aws = pytest.mark.skipif(find_spec("pulumi_aws") is None, reason="pulumi-aws is not installed")
INI = "[pytest]\nfilterwarnings =\n    error\n    ignore:.* has been deprecated in favor of:DeprecationWarning\n"


def run(pytester, *names):
    pytester.makeini(INI)
    for name in ("store.py", *names):
        (pytester.path / name).write_text(FILES[name], encoding="utf-8")
    pytester.syspathinsert()


def test_the_files_are_found():
    assert set(FILES) == {
        "store.py",
        "test_store.py",
        "test_facts.py",
        "test_store_on_the_engine.py",
        "test_own_provider.py",
        "test_web.py",
        "preview.py",
    }


@needs_aws
def test_the_examples_without_an_engine_pass(pytester):
    run(pytester, "test_store.py", "test_facts.py")
    pytester.runpytest_subprocess("--pulumi-update").assert_outcomes(passed=6)
    pytester.runpytest_subprocess().assert_outcomes(passed=6)


@needs_aws
@pytest.mark.engine
def test_the_examples_on_the_engine_pass(pytester, pulumi_cli):
    run(pytester, "test_store_on_the_engine.py", "test_own_provider.py")
    pytester.runpytest_subprocess().assert_outcomes(passed=5)


@pytest.mark.skipif(find_spec("pulumi_kubernetes") is None, reason="pulumi-kubernetes is not installed")
@pytest.mark.engine
@pytest.mark.cluster
def test_the_example_on_a_control_plane_passes(pytester, pulumi_cli, kube_tools):
    folders, modules = ([str(path) for path in paths] for paths in (kube_tools.folders, kube_tools.modules))
    pytester.makeconftest(
        "from pathlib import Path\n"
        "import pytest\n"
        "from pytest_pulumi.kube import KubeTools\n"
        "@pytest.fixture(scope='session')\n"
        "def kube_tools():\n"
        f"    return KubeTools(tuple(map(Path, {folders})), tuple(map(Path, {modules})))\n"
    )
    run(pytester, "test_web.py")
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


@needs_aws
@pytest.mark.engine
def test_the_preview_without_credentials_runs(pytester, pulumi_cli, monkeypatch):
    if pulumi_cli.host is None:
        pytest.skip("there is no Python language host")
    for name in [name for name in os.environ if name.startswith(("PULUMI_", "AWS_"))]:
        monkeypatch.delenv(name)
    run(pytester, "preview.py")
    pytester.path.joinpath("Pulumi.yaml").write_text("name: shop\nruntime: python\n", encoding="utf-8")
    program = "import pulumi, pulumi_aws\nfrom store import Store\n"
    program += "main = pulumi_aws.Provider('main', region='eu-west-1')\n"
    program += "Store('a', team='ml', opts=pulumi.ResourceOptions(providers=[main]))\n"
    pytester.path.joinpath("__main__.py").write_text(program, encoding="utf-8")
    result = pytester.run(sys.executable, "preview.py", "--non-interactive")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*aws:s3:BucketPublicAccessBlock*a-access*create*", "*+ 5 to create*"])


def test_every_check_and_every_option_is_documented(pytester):
    table = set(re.findall(r"^\| `(\w+)` \| ", README, re.MULTILINE))
    assert set(CHECKS) <= table
    options = re.findall(r'"(--pulumi-[a-z-]+)"', Path(plugin.__file__).read_text(encoding="utf-8"))
    assert options
    assert all(f"`{option}`" in README for option in options)
