"""What the documents name must exist: paths, make targets, alerts' runbooks."""

import re
import subprocess
import sys

import pytest

from infra.base.paths import CHECKOUT
from tests.documents import DOCUMENTS, blocks, commands
from workloads.lifecycle.base.settings import AlertSettings, FairnessSettings
from workloads.lifecycle.monitoring import alerts
from workloads.loan_default.definition import LOAN_DEFAULT

TRACKED = subprocess.run(["git", "ls-files"], cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout
TOP = {path.partition("/")[0] for path in TRACKED.splitlines()}


def code(document):
    text = document.read_text()
    return re.findall(r"`([^`\n]+)`", text) + ["\n".join(block.commands) for block in blocks(text, document)]


def named_paths(document):
    """Words in code whose first part is something at the top of the checkout."""
    words = [word for piece in code(document) for word in piece.split()]
    return sorted({word.rstrip(",;:") for word in words if word.split("/")[0] in TOP and "<" not in word})


def named_targets(document):
    return sorted({match for piece in code(document) for match in re.findall(r"\bmake (?:-s )?([a-z][a-z-]*)", piece)})


def modules(document):
    return sorted({match for piece in code(document) for match in re.findall(r"python3? -m ([\w.]+)", piece)})


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_path_in_a_document_exists(document):
    superseded = {"stacks/platform.py"}
    missing = [path for path in named_paths(document) if not (CHECKOUT / path).exists()]
    assert set(missing) <= superseded


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_in_a_document_is_a_target_of_the_makefile(document):
    targets = set(re.findall(r"^([a-z][a-z-]*):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE))
    assert [target for target in named_targets(document) if target not in targets] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_module_in_a_document_exists(document):
    folders = [CHECKOUT / name.replace(".", "/") for name in modules(document) if name != "pytest"]
    assert [folder for folder in folders if not (folder.is_dir() or folder.with_suffix(".py").is_file())] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_block_has_its_language_so_that_commands_are_found(document):
    assert [block for block in blocks(document.read_text(), document) if not block.language] == []


def test_command_in_a_list_is_found_with_its_shell_and_no_comment(tmp_path):
    text = """\
1. First:

   ```sh
   make up     # installs
   # nothing
   make doctor \\
     STACK=dev
   ```

```text
make up
```

```console
$ export A=1
$ echo "$A"
```
"""
    found = [block.commands for block in blocks(text, tmp_path)]
    assert found == [["make up", "make doctor    STACK=dev"], [], ['export A=1\necho "$A"']]


def test_the_documents_show_commands_at_all():
    assert {"make up", "make drill", "make doctor"} <= set(commands())


def test_the_readme_names_paths_and_commands_at_all():
    readme = CHECKOUT / "README.md"
    assert len(named_paths(readme)) > 15
    assert {"up", "test", "down"} <= set(named_targets(readme))


def test_the_first_screen_of_the_readme_holds_the_two_commands():
    first = (CHECKOUT / "README.md").read_text().splitlines()[:25]
    assert [line.split("#")[0].strip() for line in first if line.startswith("make ")] == ["make up", "make test"]


def test_every_alert_has_a_runbook():
    urls = re.findall(r'"runbook_url": "([^"]+)"', alerts.rules(LOAN_DEFAULT, AlertSettings(), FairnessSettings()))
    assert len(urls) >= 3
    assert [url for url in urls if not (CHECKOUT / url).is_file()] == []


def test_no_module_of_the_program_hides_one_that_others_import():
    """The engine runs the program with the folder `stacks` before every other one."""
    ours = {path.stem for path in (CHECKOUT / "stacks").glob("*.py")}
    assert ours & sys.stdlib_module_names == set()
    assert ours & {"infra", "policies", "tools", "workloads"} == set()


def test_no_document_names_an_internal_path():
    command = ["git", "grep", "-nE", r"/(work|root)/[a-z]", "--", "*.md", "*.py", "*.yaml", "Makefile", ":!tests"]
    found = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert found.stdout == ""


def test_each_test_that_a_table_of_duties_names_exists():
    named = re.findall(r"`(tests/[\w/]+\.py)` `(test_\w+)`", (CHECKOUT / "docs" / "governance.md").read_text())
    missing = [name for file, name in named if f"def {name}(" not in (CHECKOUT / file).read_text()]
    assert (len(named) >= 8, missing) == (True, [])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_link_in_a_document_leads_to_a_file(document):
    text = re.sub(r"`[^`\n]*`", "", document.read_text())
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    assert [link for link in links if link and not (document.parent / link).exists()] == []


def test_each_picture_is_small_shown_and_described():
    pictures = sorted((CHECKOUT / "docs" / "pictures").iterdir())
    shown = {}
    for document in DOCUMENTS:
        for alternative, link in re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", document.read_text()):
            shown[(document.parent / link).resolve()] = alternative
    assert set(shown) == set(pictures)
    assert [path.name for path in pictures if path.stat().st_size > 150_000] == []
    assert [path.name for path, alternative in shown.items() if len(alternative) < 60] == []


def test_changelog_groups_each_change_under_a_dated_version():
    text = (CHECKOUT / "CHANGELOG.md").read_text()
    (introduction, *versions) = re.split(r"^## ", text, flags=re.MULTILINE)
    titles = [version.splitlines()[0] for version in versions]
    assert "\n- " not in introduction
    assert titles[0] == "Unreleased"
    assert [title for title in titles[1:] if not re.fullmatch(r"\d+\.\d+\.\d+ - 20\d\d-\d\d-\d\d", title)] == []
    for title, version in zip(titles, versions, strict=True):
        before, *groups = re.split(r"^### ", version, flags=re.MULTILINE)
        assert "\n- " not in before, f"an entry of {title} is in no group"
        names = [group.splitlines()[0] for group in groups]
        assert names == [name for name in ("Added", "Changed", "Fixed", "Security") if name in names]
