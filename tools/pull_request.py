"""`python3 -m tools.pull_request`: what CI says in pull requests on GitHub, by its REST API.

`comment` keeps one comment of a pull request up to date; `propose` puts changed files on a branch and asks to merge it.
`GITHUB_TOKEN` and `GITHUB_REPOSITORY` say who asks and where, as in a workflow.
"""

import argparse
import json
import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from infra.base import paths
from tools.console import ToolError, exit_with_errors_in_one_line, say

MARK = "<!-- mlplatform: review -->"
"""First line of our comment, by which it is found again."""
MAX_CHARACTERS = 65_536
"""Of a comment. Source: https://github.com/orgs/community/discussions/27190"""
PAGE, MAX_PAGES = 100, 50
TIMEOUT_SECONDS = 30
NOTHING = "nothing has changed: nothing to propose"
_HARMLESS = {ord("<"): "&lt;", ord("@"): "@\N{ZERO WIDTH SPACE}", ord("\x0b"): " ", ord("\x0c"): " "}
"""No HTML, which could close a quotation or hide a comment, and no mention of anybody."""
AUTHOR = ("github-actions[bot]", "41898282+github-actions[bot]@users.noreply.github.com")


def main(arguments: Sequence[str] | None = None) -> int:
    """Comment or propose."""
    parser = argparse.ArgumentParser(prog="python3 -m tools.pull_request", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    comment = commands.add_parser("comment", help="put Markdown files into one comment")
    comment.add_argument("--head", required=True, metavar="OWNER:BRANCH", help="where the pull request comes from")
    comment.add_argument("--commit", required=True, help="its last commit; another one than that gets no comment")
    comment.add_argument("--fork", default="", metavar="OWNER/NAME", help="fork whose code wrote the files")
    comment.add_argument("files", nargs="+", type=Path)
    propose = commands.add_parser("propose", help="ask to merge changed files")
    propose.add_argument("--branch", required=True)
    propose.add_argument("--title", required=True)
    propose.add_argument("--workflows", nargs="*", default=[], metavar="FILE", help="workflows to start on the branch")
    propose.add_argument("files", nargs="+", type=Path)
    given = parser.parse_args(arguments)
    if given.command == "comment":
        text = _read(given.files)
        say(put_comment(given.head, given.commit, labelled(text, given.fork) if given.fork else text))
    else:
        said = put_proposal(given.branch, given.title, given.files)
        say(said)
        if said != NOTHING:
            for workflow in given.workflows:
                api("POST", f"actions/workflows/{quote(workflow)}/dispatches", {"ref": given.branch})
    return 0


def put_comment(head: str, commit: str, text: str) -> str:
    """Write the comment, or write it anew; gives what was done.

    Raises: ToolError when there is no such pull request, or GitHub refuses.
    """
    number = _number(head, commit)
    if number is None:
        return f"no open pull request from {head} is at {commit}: nothing to comment on"
    body = {"body": _shortened(f"{MARK}\n{text}")}
    for page in range(1, MAX_PAGES + 1):
        comments = api("GET", f"issues/{number}/comments?per_page={PAGE}&page={page}")
        ours = next((each["id"] for each in comments if _is_ours(each)), None)
        if ours is not None:
            api("PATCH", f"issues/comments/{ours}", body)
            return f"comment of pull request {number} renewed"
        if len(comments) < PAGE:
            break
    api("POST", f"issues/{number}/comments", body)
    return f"pull request {number} commented"


def _is_ours(comment: Mapping[str, Any]) -> bool:
    """Whether a comment is the one that workflows keep; anybody may write its first line."""
    return (comment.get("user") or {}).get("login") == AUTHOR[0] and str(comment["body"]).startswith(MARK)


def labelled(text: str, fork: str) -> str:
    """Output of a fork's code, quoted line by line below a warning, so that none of it passes for the project's."""
    quoted = "\n".join(f"> {line}" for line in text.translate(_HARMLESS).splitlines())
    return f"**Written by code of the fork `{fork}`, which nobody here vouches for:**\n\n{quoted}\n"


def put_proposal(branch: str, title: str, files: Sequence[Path], checkout: Path = paths.CHECKOUT) -> str:
    """Commit files to a branch, push it, and open a pull request unless there is one; gives what was done."""
    if not _git(checkout, "status", "--porcelain", "--", *map(str, files)):
        return NOTHING
    base = _git(checkout, "rev-parse", "--abbrev-ref", "HEAD")
    _git(checkout, "checkout", "-B", branch)
    _git(checkout, "add", "--", *map(str, files))
    name, mail = AUTHOR
    _git(checkout, "-c", f"user.name={name}", "-c", f"user.email={mail}", "commit", "--message", title)
    _git(checkout, "push", "--force", "origin", branch)
    owner = _variable("GITHUB_REPOSITORY").partition("/")[0]
    if api("GET", f"pulls?state=open&head={quote(f'{owner}:{branch}')}"):
        return f"branch {branch} renewed; its pull request is open already"
    made = api("POST", "pulls", {"head": branch, "base": base, "title": title})
    return f"pull request {made['number']} opened"


def api(method: str, path: str, body: object = None) -> Any:
    """GitHub's answer about the repository; raises ToolError with its words."""
    root = os.environ.get("GITHUB_API_URL", "https://api.github.com")
    url = f"{root}/repos/{_variable('GITHUB_REPOSITORY')}/{path}"
    headers = {
        "Accept": "application/vnd.github+json",
        "Authorization": f"Bearer {_variable('GITHUB_TOKEN')}",
        "X-GitHub-Api-Version": "2022-11-28",
    }
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310  GitHub's address
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
            return json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        raise ToolError(f"GitHub: {method} {path}: {error.code}: {error.read().decode()[:300]}") from None
    except OSError as error:
        raise ToolError(f"GitHub does not answer: {error}") from None


def _number(head: str, commit: str) -> int | None:
    """The open pull request that is at a commit; a branch that moved on gets its comment from a later run."""
    found = api("GET", f"pulls?state=open&head={quote(head)}")
    return next((int(each["number"]) for each in found if each["head"]["sha"] == commit), None)


def _read(files: Sequence[Path]) -> str:
    try:
        return "\n".join(file.read_text(encoding="utf-8").rstrip() + "\n" for file in files)
    except (OSError, UnicodeDecodeError) as error:
        raise ToolError(f"a report cannot be read: {error}") from None


def _shortened(text: str) -> str:
    """The text as a comment can hold it; what is cut off is said."""
    said = "\n\nThe rest does not fit into a comment: see the run's artifacts.\n"
    if len(text) <= MAX_CHARACTERS:
        return text
    cut = text[: MAX_CHARACTERS - len(said) - len("\n```\n\n</details>")]
    return cut + ("\n```\n\n</details>" if cut.count("<details>") > cut.count("</details>") else "") + said


def _git(checkout: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(checkout), *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ToolError(f"git {arguments[0]}: {done.stderr.strip()}")
    return done.stdout.strip()


def _variable(name: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise ToolError(f"{name} is not set: it is in a workflow; elsewhere, export it")
    return value


if __name__ == "__main__":
    exit_with_errors_in_one_line(main)
