import errno
import shlex
import subprocess
import sys

import pytest

from tools import console
from tools.console import ToolError, exit_with_errors_in_one_line, run


def python(code):
    return [sys.executable, "-c", code]


def test_what_a_command_writes_is_given_back():
    assert run(python("print('hello')")) == "hello\n"


def test_a_failure_names_the_command_its_last_line_and_the_way_out():
    failing = python("import sys; print('noise', file=sys.stderr); sys.exit('no such host')")
    with pytest.raises(ToolError, match=r"^the download failed \(no such host\); set a proxy$"):
        run(failing, "set a proxy", name="the download")


UV = """error: Request failed after 3 retries
  Caused by: Failed to fetch: `https://example.org/simple/feast/`
  Caused by: client error (Connect)
  Caused by: invalid peer certificate: UnknownIssuer

hint: consider `--system-certs`
"""
RESOLUTION = """  \N{MULTIPLICATION SIGN} Failed to build `numpy==1.0`
  ├─▶ The build backend returned an error
  ╰─▶ gcc: not found
      help: `numpy` was included because of `feast`
"""


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        (UV, "Request failed after 3 retries: invalid peer certificate: UnknownIssuer"),
        (RESOLUTION, "Failed to build `numpy==1.0`: gcc: not found"),
        ("error: no such file\nhint: look again", "error: no such file"),
        ("hint: look again", "exit code 1"),
    ],
)
def test_failure_shows_the_cause_and_not_the_hint_behind_it(said, cause):
    with pytest.raises(ToolError) as raised:
        console.run([sys.executable, "-c", f"import sys; sys.stderr.write({said!r}); sys.exit(1)"], name="uv")
    assert str(raised.value) == f"uv failed ({cause})"


def test_a_silent_failure_is_told_by_its_exit_code():
    with pytest.raises(ToolError, match=r"failed \(exit code 7\)$"):
        run(python("raise SystemExit(7)"))


def test_a_command_that_is_not_there_is_named():
    with pytest.raises(ToolError, match=r"^nowhere cannot be started: No such file or directory; get it$"):
        run(["/tmp/nowhere"], "get it")


def test_a_command_that_takes_too_long_is_ended():
    with pytest.raises(ToolError, match=r"did not end within 1 s; look"):
        run(python("import time; time.sleep(60)"), "look", timeout_seconds=0.6)


def test_a_command_that_says_nothing_is_reported_to_run(monkeypatch, capsys):
    monkeypatch.setattr(console, "HEARTBEAT_SECONDS", 0.1)
    run(python("import time; time.sleep(0.5)"))
    assert "    ... 0 s\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("raised", "line", "code"),
    [
        (ToolError("no Go; get it"), "error: no Go; get it\n", 1),
        (KeyboardInterrupt(), "interrupted; run the same command again to continue\n", 130),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(raised, line, code, capsys):
    def main():
        raise raised

    with pytest.raises(SystemExit) as left:
        exit_with_errors_in_one_line(main)
    assert left.value.code == code
    assert capsys.readouterr().err == line


def test_full_disk_is_one_line_with_the_file(capsys):
    def main():
        raise OSError(errno.ENOSPC, "No space left on device", "/state/backend")

    with pytest.raises(SystemExit) as caught:
        exit_with_errors_in_one_line(main)
    assert caught.value.code == 1
    assert capsys.readouterr().err == (
        "error: No space left on device at /state/backend: free some space, then run the same command again\n"
    )


def test_reader_that_has_seen_enough_is_no_error():
    many = "from tools.console import exit_with_errors_in_one_line as run\n"
    many += "run(lambda: [print('line') for _ in range(100_000)] and 0)"
    piped = f"{shlex.quote(sys.executable)} -c {shlex.quote(many)} | head -1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", piped], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "line\n", "")
