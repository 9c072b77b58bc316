"""What `make up` prints of an update: servers, jobs and their stages, and one summary; the log has every line."""

import io
import sys

import pytest

from tools import progress
from tools.console import Screen
from tools.progress import Update, follow

LINES = """\
Updating (local):
Loading policy packs...: done

 +  pulumi:pulumi:Stack mlplatform-local creating (0s)
 +  mlplatform:index:MlflowOnHost tracking creating (0s)
 +  host:index:Folder tracking-database creating (0s)
 +  host:index:Folder tracking-database created (0.04s)
 +  host:index:Process tracking-server creating (0s)
@ updating......
 +  host:index:Job loan-default-release-run creating (2s) [1/6] ingest ...
 +  host:index:Job loan-default-release-run creating (9s) [1/6] ingest done in 34.7 s: 30000 rows
 +  host:index:Job loan-default-release-run creating (10s) [1/6] ingest done in 34.7 s: 30000 rows
 +  host:index:Process tracking-server created (33s)
 ~  host:index:File rules updated (6s) [diff: ~content]
 +  host:index:Job loan-default-release-run created (55s)
 +  pulumi:pulumi:Stack mlplatform-local created (59s)
Diagnostics:
  pulumi:pulumi:Stack (mlplatform-local):
    warning: the option is old

Outputs:
    mlflow_url        : "http://127.0.0.1:22483"
    retrain_token     : [secret]

Resources:
    + 97 created
    ~ 1 updated

Duration: 1m1s
"""
FAILED = """\
 +  host:index:Process tracking-server creating (0s)
 +  host:index:Process tracking-server **creating failed** error: the port is taken
Diagnostics:
  host:index:Process (tracking-server):
    error: the port 22483 is taken: stop the program that has it

Resources:
    + 3 created

Duration: 2s
"""


class Terminal(io.StringIO):
    def isatty(self):
        return True


def followed(text, stream=None, **environ):
    stream, log = stream or io.StringIO(), io.StringIO()
    update = follow(io.StringIO(text), log, Screen(stream, environ))
    assert log.getvalue() == text
    return update, stream.getvalue()


def test_servers_stages_and_slow_resources_have_a_line_each():
    _, shown = followed(LINES)
    assert shown.splitlines() == [
        "  [1/6] ingest ...",
        "  [1/6] ingest done in 34.7 s: 30000 rows",
        "  ready    tracking-server (33 s)",
        "  changed  rules (6 s)",
        "  ready    loan-default-release-run (55 s)",
    ]


def test_summary_counts_the_changes_and_the_time():
    update, _ = followed(LINES)
    assert update.summary() == "97 created, 1 updated in 1m1s"
    assert update.complaints(failed=False) == ["    warning: the option is old"]
    assert Update().summary() == "nothing was done"


def test_what_is_under_way_is_named_oldest_first():
    update, _ = followed(LINES.partition(" +  host:index:Process tracking-server created")[0])
    assert update.waiting() == "  1 resources done; under way: tracking-server 0 s, loan-default-release-run 0 s"


def test_terminal_has_one_line_that_is_renewed():
    _, shown = followed(LINES, Terminal())
    assert "\r\x1b[K  1 resources done" in shown
    assert shown.endswith("\r\x1b[K")


@pytest.mark.parametrize(("environ", "bold"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_colours_are_for_terminals_that_want_them(environ, bold):
    assert (Screen(Terminal(), environ).bold("Up") != "Up") is bold
    assert Screen(io.StringIO(), {}).bold("Up") == "Up"


def test_status_is_cut_to_the_width_of_the_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    stream = Terminal()
    Screen(stream, {}).status("x" * 200)
    assert stream.getvalue().count("x") == 19


def printing(text, status=0):
    return [sys.executable, "-c", f"import sys; print({text!r}, end=''); sys.exit({status})"]


def test_update_ends_with_one_summary_and_a_private_log(tmp_path, capsys):
    log = tmp_path / "state" / "up.local.log"
    assert progress.run(printing(LINES), log, Screen(sys.stdout)) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1] == f"Up: 97 created, 1 updated in 1m1s; log: {log}"
    assert len(printed) < 24
    assert log.read_text() == LINES
    assert log.stat().st_mode & 0o077 == 0


def test_failure_shows_the_diagnostics_and_where_the_log_is(tmp_path, capsys):
    log = tmp_path / "up.local.log"
    assert progress.run(printing(FAILED, 255), log, Screen(sys.stdout)) == 255
    printed = capsys.readouterr()
    assert "error: the port 22483 is taken: stop the program that has it" in printed.out
    assert printed.err == f"error: the update failed; the lines above say why, and {log} has all of them\n"


def test_verbose_flag_shows_everything_and_is_not_passed_on(capfd):
    code = "import sys; print(sys.argv[1:]); sys.exit(3)"
    command = ["--stack", "local", "--", sys.executable, "-c", code, "up", "-v", "--yes"]
    assert progress.main(command) == 3
    assert capfd.readouterr().out == "['up', '--yes']\n"
