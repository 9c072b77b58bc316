import json
import subprocess
import threading

import pytest

from infra.host.errors import CancelledError, HostError
from infra.host.processes import Identity

from .conftest import kind_of, request_for

JOB = kind_of("Job")


def script(text, **more):
    return request_for("Job", "job", command=["sh", "-c", text], **more)


def test_a_job_runs_once_for_the_same_inputs(host, root):
    asked = script(f"echo ran >> {root}/count")
    first = JOB.create(host, asked)
    assert JOB.create(host, asked) == first
    assert (root / "count").read_text() == "ran\n"


def test_the_order_in_which_variables_arrive_does_not_run_it_again(host, root):
    JOB.create(host, script(f"echo ran >> {root}/count", environment={"A": "1", "B": "2"}))
    JOB.create(host, script(f"echo ran >> {root}/count", environment={"B": "2", "A": "1"}))
    assert (root / "count").read_text() == "ran\n"


def test_other_inputs_run_it_again(host, root):
    JOB.create(host, script(f"echo ran >> {root}/count"))
    JOB.create(host, script(f"echo ran >> {root}/count", triggers={"data": "2"}))
    assert (root / "count").read_text() == "ran\nran\n"


def test_failure_names_status_and_last_lines_and_the_next_run_retries(host, root):
    asked = script(f"echo about to fail; test -e {root}/mended || exit 7")
    with pytest.raises(HostError, match=r"exited with status 7; last lines of .*job.log:\nabout to fail"):
        JOB.create(host, asked)
    (root / "mended").touch()
    assert JOB.create(host, asked)["digest"]


def test_good_inputs_run_again_after_other_inputs_failed(host, root):
    good = script(f"echo ran >> {root}/count")
    outputs = JOB.create(host, good)
    assert JOB.drift(host, good.inputs, outputs) == []
    with pytest.raises(HostError):
        JOB.update(host, script("exit 1"), outputs)
    assert JOB.drift(host, good.inputs, outputs) == ["digest"]
    assert JOB.read(host, good, outputs) is None
    JOB.update(host, good, outputs)
    assert (root / "count").read_text() == "ran\nran\n"


def test_a_run_that_the_engine_did_not_record_is_drift(host, root):
    good = script(f"echo ran >> {root}/count")
    recorded = JOB.create(host, good)
    JOB.create(host, script("true"))
    assert JOB.drift(host, good.inputs, recorded) == ["digest"]
    assert JOB.drift(host, good.inputs, JOB.read(host, good, recorded)) == ["digest"]


def test_job_with_a_damaged_marker_runs_again(host, root):
    good = script(f"echo ran >> {root}/count")
    outputs = JOB.create(host, good)
    (root / "jobs" / "job.done.json").write_text("")
    assert JOB.drift(host, good.inputs, outputs) == ["digest"]
    JOB.create(host, good)
    assert (root / "count").read_text() == "ran\nran\n"


def test_a_program_that_does_not_exist_is_named(host):
    with pytest.raises(HostError, match="cannot run 'no-such-program'"):
        JOB.create(host, request_for("Job", "job", command=["no-such-program"]))


def test_stage_lines_are_reported_and_secrets_are_kept_out_of_the_log(host, root):
    shown = []
    JOB.create(host, script("echo '[1/2] with hunter2'; echo other", secrets=["hunter2"], report=shown.append))
    assert shown[0] == "[1/2] with [secret]"
    assert (root / "logs" / "job.log").read_text() == "[1/2] with [secret]\nother\n"


def test_a_job_that_takes_too_long_is_ended_with_its_children(host, root):
    asked = script(f"sleep 300 & echo $! > {root}/child; wait", timeout_seconds=0.5)
    with pytest.raises(HostError, match=r"did not end within 0.5 s"):
        JOB.create(host, asked)
    assert Identity.of(int((root / "child").read_text())) is None


def test_cancelling_ends_it_and_the_next_up_runs_it_again(host):
    threading.Timer(0.3, host.cancelled.set).start()
    with pytest.raises(CancelledError, match="the next `up` runs it again"):
        JOB.create(host, script("sleep 300"))
    host.cancelled.clear()
    assert JOB.create(host, script("true"))["digest"]


def test_a_run_that_a_killed_provider_left_behind_is_ended_first(host, root):
    with subprocess.Popen(["sleep", "300"], start_new_session=True) as leftover:
        (root / "jobs").mkdir()
        (root / "jobs" / "job.running.json").write_text(json.dumps(Identity.of(leftover.pid).to_record()))
        JOB.create(host, script("true"))
        assert leftover.wait(timeout=5) < 0


def test_child_that_outlived_the_job_and_its_provider_is_ended_first(host, root):
    JOB.create(host, script(f"setsid sleep 300 > /dev/null 2>&1 & echo $! > {root}/child"))
    child = int((root / "child").read_text())
    assert Identity.of(child) is not None
    JOB.create(host, script("true"))
    assert Identity.of(child) is None


def test_a_job_whose_marker_is_gone_counts_as_never_run(host, root):
    outputs = JOB.create(host, script("true"))
    assert JOB.read(host, script("true"), outputs) == outputs
    (root / "jobs" / "job.done.json").unlink()
    assert JOB.read(host, script("true"), outputs) is None


def test_deleting_forgets_the_run(host, root):
    outputs = JOB.create(host, script("true"))
    JOB.delete(host, script("true"), outputs)
    assert [path for path in root.rglob("*") if path.is_file()] == []


def checked(root, **more):
    """A job whose result is the file `result`; its check cannot tell while the file `down` exists."""
    check = f"test -e {root}/down && echo no answer && exit 1; test -e {root}/result || {{ echo gone; exit 3; }}"
    return script(f"echo ran >> {root}/count; touch {root}/result", check=["sh", "-c", check], **more)


def runs(root):
    return (root / "count").read_text().split()


def test_job_runs_again_when_its_result_is_gone(host, root):
    asked = checked(root)
    outputs = JOB.create(host, asked)
    assert JOB.read(host, asked, outputs) == outputs
    (root / "result").unlink()
    found = JOB.read(host, asked, outputs)
    assert found["state"] == "gone"
    assert JOB.drift(host, asked.inputs, found) == ["state"]
    assert JOB.update(host, asked, found) == outputs
    assert runs(root) == ["ran", "ran"]


def test_repair_runs_instead_of_the_command(host, root):
    asked = checked(root, repair=["sh", "-c", f"echo repaired >> {root}/count"])
    outputs = JOB.create(host, asked)
    (root / "result").unlink()
    JOB.update(host, asked, outputs)
    assert runs(root) == ["ran", "repaired"]


def test_failed_repair_leaves_the_job_undone(host, root):
    asked = checked(root, repair=["false"])
    outputs = JOB.create(host, asked)
    (root / "result").unlink()
    with pytest.raises(HostError, match="exited with status 1"):
        JOB.update(host, asked, outputs)
    assert JOB.read(host, asked, outputs) is None


def test_check_that_cannot_tell_is_repeated_before_anything_runs(host, root):
    shown = []
    asked = checked(root, report=shown.append)
    outputs = JOB.create(host, asked)
    (root / "down").touch()
    found = JOB.read(host, asked, outputs)
    assert (found["state"], JOB.drift(host, asked.inputs, found)) == ("no answer", ["state"])
    threading.Timer(0.2, (root / "down").unlink).start()
    assert JOB.update(host, asked, found) == outputs
    assert runs(root) == ["ran"]


def test_check_is_no_reason_to_run_a_job_again(host, root):
    JOB.create(host, script(f"echo ran >> {root}/count; touch {root}/result"))
    JOB.create(host, checked(root))
    assert runs(root) == ["ran"]


def test_state_of_a_check_hides_secrets_and_a_missing_program(host):
    asked = script("true", check=["sh", "-c", "echo hunter2 refused; exit 3"], secrets=["hunter2"])
    outputs = JOB.create(host, asked)
    assert JOB.read(host, asked, outputs)["state"] == "[secret] refused"
    asked = script("true", check=["no-such-program"])
    assert "cannot be run: No such file" in JOB.read(host, asked, outputs)["state"]


def test_jobs_recorded_before_there_were_checks_have_not_drifted(host):
    asked = script("true")
    outputs = JOB.create(host, asked)
    del outputs["state"]
    assert JOB.drift(host, asked.inputs, outputs) == []
