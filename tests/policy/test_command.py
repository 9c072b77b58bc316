"""What a person sees of `python -m policies`: one line for what cannot be read, and no stack trace."""

import stat
import subprocess
import sys

import pytest

from policies import __main__ as command
from policies.catalogue import PACK


@pytest.fixture
def check(monkeypatch, capsys, tmp_path):
    """Judges a file with some text; gives the exit code and what was said."""

    def run(text, *options):
        file = tmp_path / "manifest.yaml"
        if text is not None:
            file.write_text(text)
        monkeypatch.setattr(sys, "argv", ["policies", "check", *options, str(file)])
        code = command.main()
        said = capsys.readouterr()
        return code, said.out, said.err.replace(str(file), "FILE")

    return run


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "FILE cannot be read: No such file or directory"),
        ("a: [", "FILE is no YAML: while parsing a flow node"),
        ("just words", "FILE, document 1 holds 'just words', which is no Kubernetes object"),
        ("kind: [Pod]", "FILE, document 1 holds \"{'kind': ['Pod']}\", which is no Kubernetes object"),
        ("kind: List\nitems: 7", "FILE, document 1 holds '7', which is no Kubernetes object"),
        ("kind: Namespace\n---\nkind: List\nitems: [a]", "FILE, document 2 holds 'a', which is no Kubernetes object"),
        ("spec: {}", "FILE, document 1 holds \"{'spec': {}}\", which is no Kubernetes object"),
    ],
)
def test_what_is_no_manifest_is_refused_in_one_line(check, text, said):
    code, _, error = check(text)
    assert code == 2
    assert error.startswith(f"policies: {said}")
    assert len(error.splitlines()) == 1


def test_an_unknown_stack_is_refused_in_one_line(check):
    code, _, error = check("kind: Pod", "--stack=nowhere")
    assert (code, error) == (2, "policies: there is no stack 'nowhere': Pulumi.nowhere.yaml is missing\n")


@pytest.mark.parametrize(
    "text", ["kind: Pod\nspec: 7", "kind: Pod\nmetadata: 7\nspec: {containers: 7}", "kind: Role\nrules: 7", "kind: Pod"]
)
def test_object_with_wrong_or_missing_fields_breaks_rule_on_shapes(check, text):
    code, out, error = check(text)
    assert (code, error) == (1, "")
    assert "K8S-22" in out or "K8S-21" in out


@pytest.mark.parametrize(
    ("verdict", "answer", "updated"),
    [(0, "yes", True), (0, "Y", True), (0, "no", False), (0, "", False), (1, "yes", False)],
)
def test_update_is_made_when_its_preview_is_sound_and_is_approved(monkeypatch, verdict, answer, updated):
    ran = []

    def run(arguments, **_):
        ran.append(arguments)
        return subprocess.CompletedProcess(arguments, 0)

    monkeypatch.setattr(command, "_engine", lambda *_: verdict)
    monkeypatch.setattr(command.subprocess, "run", run)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: answer)
    monkeypatch.setattr(sys, "argv", ["policies", "up", "--", "--refresh"])
    assert command.main() == (0 if updated else 1)
    expected = ["pulumi", "up", "--yes", "--skip-preview", "--policy-pack", str(PACK), "--plan"]
    assert [[*each[:7], each[8]] for each in ran] == ([[*expected, "--refresh"]] if updated else [])


def test_events_with_secrets_pass_through_a_pipe_and_no_file(tmp_path):
    path, text = tmp_path / "events", "a secret\n" * 20_000
    with command._piped(path) as events:
        assert stat.S_ISFIFO(path.stat().st_mode)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        writer = "import sys; open(sys.argv[1], 'w').write('a secret\\n' * 20_000)"
        subprocess.run([sys.executable, "-c", writer, str(path)], check=True)
    assert events.result() == text


def test_engine_that_writes_no_event_does_not_hold_up_the_verdict(tmp_path):
    with command._piped(tmp_path / "events") as events:
        pass
    assert events.result() == ""
