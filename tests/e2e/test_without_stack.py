"""The end of the suite's stack: back to nothing. The file's name puts it last."""

import psutil
import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]


@pytest.mark.usefixtures("first_up")
def test_down_leaves_no_process_and_no_file_but_the_audit_log(stack):
    processes = stack.processes()
    stack.make("down")
    assert [each for each in processes if each.is_running() and each.status() != psutil.STATUS_ZOMBIE] == []
    left = [path.parent.name for path in stack.state.rglob("*") if path.is_file()]
    assert set(left) <= {"audit", "local-waiting"}
    assert "the stack local is not up" in stack.make("down")
