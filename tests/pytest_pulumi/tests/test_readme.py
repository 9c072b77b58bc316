"""Everything that the README shows is run."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest
from simulated_pulumi.facts import CHECKS

from pytest_pulumi import plugin

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
    }


@needs_aws
def test_the_examples_without_an_engine_pass(pytester):
    run(pytester, "test_store.py", "test_facts.py")
    pytester.runpytest_subprocess("--pulumi-update").assert_outcomes(passed=6)
    pytester.runpytest_subprocess().assert_outcomes(passed=6)


@needs_aws
@pytest.mark.engine
def test_the_examples_on_the_engine_pass(pytester, pulumi_cli):
    run(pytester, "test_store_on_the_engine.py")
    pytester.runpytest_subprocess().assert_outcomes(passed=4)


def test_every_check_and_every_option_is_documented(pytester):
    table = set(re.findall(r"^\| `(\w+)` \| ", README, re.MULTILINE))
    assert set(CHECKS) <= table
    options = re.findall(r'"(--pulumi-[a-z-]+)"', Path(plugin.__file__).read_text(encoding="utf-8"))
    assert options
    assert all(f"`{option}`" in README for option in options)
