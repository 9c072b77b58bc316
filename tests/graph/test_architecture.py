"""The picture in the documents is of the stack as it is: its roles and who uses whom."""

import pytest

architecture = pytest.importorskip("stacks.commands.preview.architecture", reason="the clouds' SDKs are not installed")


def test_the_picture_shows_the_roles_of_prod_and_who_uses_whom():
    (there,) = architecture.BLOCK.findall(architecture.FILE.read_text())
    now = architecture.fenced(architecture.plan())
    assert all(f'  {role}["{role}"]' in now for role in ("cluster", "database", "loan-default"))
    assert there == now, "run `.venv/bin/python -m stacks.commands.preview.architecture`"
