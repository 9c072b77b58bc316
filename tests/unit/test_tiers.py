"""Tiers run when in doubt: after a change of any of their files, without a record, and without git."""

import json
import re
import subprocess
import textwrap

import pytest

from tests import tiers

pytest_plugins = ["pytester"]

TABLE = '[common]\npaths = ["locks"]\n\n[slow]\npaths = ["rules", "*.md"]\n'


def git(folder, *words):
    subprocess.run(["git", "-C", folder, *words], check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path):
    """A checkout whose tier `slow` passed with its files."""
    for name, text in {"tests/tiers.toml": TABLE, "locks": "1", "rules/one.rego": "a", "other.py": "b"}.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    passed = {"slow": tiers.digest(tmp_path, tiers.load(tmp_path)["slow"])}
    (tmp_path / tiers.RECORD).write_text(json.dumps(passed))
    return tmp_path


def test_tier_is_left_out_while_its_files_are_as_recorded(checkout):
    assert tiers.unchanged(checkout) == {"slow"}
    (checkout / "other.py").write_text("changed")
    assert tiers.unchanged(checkout) == {"slow"}


@pytest.mark.parametrize("file", ["rules/one.rego", "locks", "rules/untracked.rego", "new.md"])
def test_tier_runs_after_a_change_of_one_of_its_files(checkout, file):
    (checkout / file).write_text("changed")
    assert tiers.unchanged(checkout) == set()


def test_tier_runs_after_the_removal_of_a_file(checkout):
    (checkout / "rules" / "one.rego").unlink()
    assert tiers.unchanged(checkout) == set()


def test_tier_runs_without_a_record_and_without_git(checkout):
    (checkout / tiers.RECORD).unlink()
    assert tiers.unchanged(checkout) == set()
    (checkout / tiers.RECORD).write_text('{"slow": null}')
    (checkout / ".git").rename(checkout / "no-git")
    assert tiers.digest(checkout, ["rules"]) is None
    assert tiers.unchanged(checkout) == set()


def test_every_path_of_the_map_matches_files():
    for name, pathspecs in tiers.load().items():
        for each in pathspecs:
            assert tiers.digest(tiers.CHECKOUT, [each]), f"{name}: {each} matches no file"


def test_soak_runs_every_test_of_a_tier_before_it_records_them():
    soak = (tiers.CHECKOUT / "Makefile").read_text().partition("\nsoak:")[2].partition("tests.tiers --record")[0]
    folders = [
        word for line in soak.splitlines() if '"soak or tier"' in line for word in re.findall(r"tests/[\w/]+", line)
    ]
    for file in (tiers.CHECKOUT / "tests").rglob("test_*.py"):
        name = file.relative_to(tiers.CHECKOUT)
        if re.search(r"^[^']*mark\.tier\(\"", file.read_text(), re.MULTILINE):
            assert any(map(name.is_relative_to, folders)), f"make soak does not run the tier of {name}"


def test_every_test_of_a_tier_is_in_the_tiers_own_paths():
    found = {}
    for file in (tiers.CHECKOUT / "tests").rglob("test_*.py"):
        for name in re.findall(r"^[^']*mark\.tier\(\"([a-z-]+)\"\)", file.read_text(), re.MULTILINE):
            found.setdefault(name, []).append(str(file.relative_to(tiers.CHECKOUT)))
    assert set(found) == set(tiers.load())
    for name, files in found.items():
        command = ["git", "-C", tiers.CHECKOUT, "ls-files", "--", *tiers.load()[name]]
        listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
        assert [file for file in files if file not in listed] == []


@pytest.fixture
def marked(pytester, monkeypatch):
    pytester.makeini("[pytest]\naddopts = -p tests.tiers\nmarkers = tier(name): as in the checkout\n")
    pytester.makepyfile(
        textwrap.dedent(
            """
            import pytest

            @pytest.mark.tier('prod-edits')
            def test_slow(): pass

            def test_fast(): pass
            """
        )
    )
    monkeypatch.setattr(tiers, "unchanged", lambda: {"prod-edits"})
    return pytester


def test_unchanged_tier_is_deselected_only_when_asked_for(marked):
    marked.runpytest_inprocess("--tiers=changed").assert_outcomes(passed=1, deselected=1)
    marked.runpytest_inprocess().assert_outcomes(passed=2)


def test_unknown_tier_is_refused(marked):
    marked.makepyfile('import pytest\n\n@pytest.mark.tier("nowhere")\ndef test_a(): pass\n')
    refused = marked.runpytest_inprocess()
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    refused.stderr.fnmatch_lines(["*tests/tiers.toml has no tier nowhere"])
