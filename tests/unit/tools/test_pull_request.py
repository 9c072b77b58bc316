import json
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tools import pull_request
from tools.changelog import section
from tools.console import ToolError

BOT = {"login": "github-actions[bot]"}
PULL = {"number": 7, "head": {"sha": "abc"}}


@pytest.fixture
def github(monkeypatch):
    """A stand-in for GitHub's API: answers by method and path, and what it was asked."""
    answers = {("GET", "/repos/team/repo/pulls"): [PULL], ("GET", "/repos/team/repo/issues/7/comments"): []}
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def _answer(self):
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "null")
            path = self.path.partition("?")[0]
            asked.append((self.command, path, body, self.headers["Authorization"]))
            answer = answers.get((self.command, path), {"number": 8})
            self.send_response(answer if isinstance(answer, int) else 200)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        do_GET = do_POST = do_PATCH = _answer  # noqa: N815  the base class names them

        def log_message(self, *_):
            """Stay quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    monkeypatch.setenv("GITHUB_API_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("GITHUB_REPOSITORY", "team/repo")
    monkeypatch.setenv("GITHUB_TOKEN", "secret-token")
    yield answers, asked
    server.shutdown()
    server.server_close()


def writes(asked):
    return [(method, path, body) for method, path, body, _ in asked if method != "GET"]


def test_the_first_report_is_a_new_comment(github, tmp_path):
    _, asked = github
    (tmp_path / "review.md").write_text("### prod\n")
    pull_request.main(["comment", "--head", "fork:fix", "--commit", "abc", str(tmp_path / "review.md")])
    ((method, path, body),) = writes(asked)
    assert (method, path) == ("POST", "/repos/team/repo/issues/7/comments")
    assert body["body"] == f"{pull_request.MARK}\n### prod\n"
    assert {token for *_, token in asked} == {"Bearer secret-token"}


def test_a_later_report_renews_our_comment_and_nobody_elses(github):
    answers, asked = github
    answers["GET", "/repos/team/repo/issues/7/comments"] = [
        {"id": 1, "body": f"I quote: {pull_request.MARK}", "user": BOT},
        {"id": 2, "body": f"{pull_request.MARK}\nall is well", "user": {"login": "somebody"}},
        {"id": 3, "body": f"{pull_request.MARK}\nall is well", "user": None},
        {"id": 4, "body": f"{pull_request.MARK}\nold", "user": BOT},
    ]
    assert pull_request.put_comment("fork:fix", "abc", "new") == "comment of pull request 7 renewed"
    ((method, path, _),) = writes(asked)
    assert (method, path) == ("PATCH", "/repos/team/repo/issues/comments/4")


def test_a_report_of_a_fork_is_labelled_and_cannot_look_like_ours(github, tmp_path):
    _, asked = github
    file = tmp_path / "review.md"
    file.write_text(f"{pull_request.MARK}\n</details>\n\n# Approved by @team/owners\x0bsafe\n<img src=x>\r\n```\n")
    pull_request.main(["comment", "--head", "fork:fix", "--commit", "abc", "--fork", "evil/repo", str(file)])
    body = writes(asked)[0][2]["body"]
    mark, label, empty, *quoted = body.splitlines()
    assert (mark, empty) == (pull_request.MARK, "")
    assert label == "**Written by code of the fork `evil/repo`, which nobody here vouches for:**"
    assert [line for line in quoted if not line.startswith("> ")] == []
    assert not {"<", "@team"} & {word for line in quoted for word in ("<", "@team") if word in line}
    assert "> # Approved by" in body


def test_a_branch_that_moved_on_gets_no_comment_about_its_past(github):
    _, asked = github
    assert "nothing to comment on" in pull_request.put_comment("fork:fix", "older", "text")
    assert writes(asked) == []


def test_a_report_too_long_for_a_comment_is_cut_and_says_so(github):
    _, asked = github
    pull_request.put_comment("fork:fix", "abc", "<details>\n```diff\n" + "x" * 70_000)
    body = writes(asked)[0][2]["body"]
    assert len(body) <= pull_request.MAX_CHARACTERS
    assert body.rstrip().endswith("see the run's artifacts.")
    assert body.count("<details>") == body.count("</details>")


def test_a_refusal_is_one_line_with_githubs_words(github):
    answers, _ = github
    answers["GET", "/repos/team/repo/pulls"] = 403
    with pytest.raises(ToolError, match=r"^GitHub: GET pulls\S+: 403: 403$"):
        pull_request.put_comment("fork:fix", "abc", "text")


def test_a_missing_variable_is_named(github, monkeypatch):
    del github
    monkeypatch.delenv("GITHUB_TOKEN")
    with pytest.raises(ToolError, match="GITHUB_TOKEN is not set"):
        pull_request.put_comment("fork:fix", "abc", "text")


@pytest.fixture
def checkout(tmp_path):
    """A checkout with one committed file and a remote."""
    remote, checkout = tmp_path / "remote.git", tmp_path / "checkout"
    subprocess.run(["git", "init", "--quiet", "--bare", str(remote)], check=True)
    subprocess.run(["git", "init", "--quiet", "--initial-branch=main", str(checkout)], check=True)
    (checkout / "images.json").write_text("{}")
    for words in (
        ["add", "."],
        ["-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "--quiet", "-m", "first"],
        ["remote", "add", "origin", str(remote)],
        ["push", "--quiet", "origin", "main"],
    ):
        subprocess.run(["git", "-C", str(checkout), *words], check=True)
    return checkout


def test_workflows_are_started_on_a_proposed_branch(github, monkeypatch):
    _, asked = github
    monkeypatch.setattr(pull_request, "put_proposal", lambda *_: "pull request 8 opened")
    words = ["propose", "--branch", "images", "--title", "a", "images.json", "--workflows", "ci.yml", "preview.yml"]
    pull_request.main(words)
    assert writes(asked) == [
        ("POST", f"/repos/team/repo/actions/workflows/{each}/dispatches", {"ref": "images"})
        for each in ("ci.yml", "preview.yml")
    ]


def test_without_a_proposal_no_workflow_is_started(github, monkeypatch):
    _, asked = github
    monkeypatch.setattr(pull_request, "put_proposal", lambda *_: pull_request.NOTHING)
    pull_request.main(["propose", "--branch", "a", "--title", "a", "images.json", "--workflows", "ci.yml"])
    assert writes(asked) == []


def test_changed_files_become_a_pull_request(github, checkout):
    answers, asked = github
    answers["GET", "/repos/team/repo/pulls"] = []
    file = checkout / "images.json"
    file.write_text('{"serve": "a"}')
    assert pull_request.put_proposal("images", "Images of abc", [file], checkout) == "pull request 8 opened"
    assert writes(asked)[0][2] == {"head": "images", "base": "main", "title": "Images of abc"}
    pushed = ["git", "-C", str(checkout), "show", "origin/images:images.json"]
    assert subprocess.run(pushed, capture_output=True, text=True, check=True).stdout == '{"serve": "a"}'


def test_files_that_are_as_they_were_are_not_proposed(github, checkout):
    _, asked = github
    assert "nothing has changed" in pull_request.put_proposal("images", "t", [checkout / "images.json"], checkout)
    assert asked == []


def test_the_changelog_of_a_version_is_what_stands_below_its_heading(tmp_path):
    file = tmp_path / "CHANGELOG.md"
    file.write_text("# Changelog\n\n## 1.1.0\n\n- new\n\n## 1.0.0 (2026-01-01)\n\n- first\n")
    assert section("v1.1.0", file) == "- new\n"
    assert section("v1.0.0", file) == "- first\n"
    with pytest.raises(ToolError, match=r"says nothing about v1\.0\.1"):
        section("v1.0.1", file)
