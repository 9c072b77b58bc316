"""The linter of prose: its phrases, the lengths of names and subjects, and the whole tree."""

import subprocess
from pathlib import Path

import pytest

from tools import prose

CHECKOUT = Path(__file__).parents[3]
LONG = "test_" + "x" * 61


@pytest.fixture
def tree(tmp_path):
    """A function that adds a file to a repository and returns the faults of the repository."""

    def git(*words):
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
        subprocess.run(["git", *identity, *words], cwd=tmp_path, check=True, capture_output=True)

    git("init", "-b", "main")

    def add(name, text):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
        git("add", "-A")
        return [str(fault) for fault in prose.faults(tmp_path)]

    return add


def test_tree_holds_no_banned_phrase_and_no_long_name():
    assert [str(fault) for fault in prose.faults(CHECKOUT)] == []


@pytest.mark.parametrize(
    "phrase", ["Pods of ours.", "Whoever calls it.", "It is the other way round.", "It is gone on with."]
)
def test_banned_phrase_is_found_with_what_to_write(tree, phrase):
    (fault,) = tree("notes.md", f"# Notes\n\n{phrase}\n")
    assert fault.startswith("notes.md:3: ")


def test_changelog_may_quote_what_was_written(tree):
    assert tree("CHANGELOG.md", "Pods of ours.\n") == []


@pytest.mark.parametrize("file", ["tests/test_a.py", "tools/package/tests/test_a.py"])
def test_long_name_is_refused_in_every_folder_of_tests(tree, file):
    (fault,) = tree(file, f"def {LONG}():\n    pass\n")
    assert fault == f"{file}:1: {LONG} has 66 characters, 65 are allowed"


def test_long_subject_is_refused():
    (fault,) = prose.subjects(["abc123 " + "x" * 73, "abc124 " + "x" * 72])
    assert str(fault) == "abc123: the subject has 73 characters, 72 are allowed"
