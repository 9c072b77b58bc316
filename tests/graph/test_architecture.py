"""The picture in the documents is of the stack as it is: its roles and who uses whom; numbers may differ."""

import re

import pytest

architecture = pytest.importorskip("stacks.commands.preview.architecture", reason="the clouds' SDKs are not installed")


def drawn(text):
    roles = re.findall(r'<text [^>]*font-size="15"[^>]*>([^<]+)<', text)
    return sorted(roles), text.count("<path "), text.count("stroke-dasharray")


def test_architecture_picture_shows_roles_of_prod_and_their_users():
    there, now = architecture.FILE.read_text(), architecture.as_svg(architecture.plan(), architecture.STACK)
    assert {"cluster", "database", "loan-default"} <= set(drawn(now)[0])
    assert drawn(there) == drawn(now), "run `.venv/bin/python -m stacks.commands.preview.architecture`"
