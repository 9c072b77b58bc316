"""`make` alone lists every target by purpose."""

import io
import re
from pathlib import Path

import pytest

from tools.console import Screen, ToolError
from tools.help import GROUPS, lines, targets

MAKEFILE = (Path(__file__).parents[3] / "Makefile").read_text()


def test_every_target_is_listed_in_a_group():
    described = re.findall(r"^([a-z][a-z-]*):.*## ", MAKEFILE, re.MULTILINE)
    listed = targets(MAKEFILE)
    assert sorted(described) == sorted(name for group in listed.values() for name, _ in group)
    assert [name for name, _ in listed["help"]] == ["help"], "give the target a group, `## [develop] text`"


def test_group_that_is_unknown_is_named():
    with pytest.raises(ToolError, match="target up needs a group"):
        targets("up: ## [other] bring it up\n")


@pytest.mark.parametrize("width", [60, 200])
def test_list_is_as_wide_as_the_terminal(monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    stream = io.StringIO()
    stream.isatty = lambda: True
    shown = lines(MAKEFILE, Screen(stream, {"NO_COLOR": "1"}))
    usage, listed = shown[:2], shown[2:]
    assert max(map(len, listed)) <= width
    assert "make TARGET" in usage[0]
    assert set(GROUPS.values()) <= set(listed)
