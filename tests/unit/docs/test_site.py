"""`make docs`: the site builds without a warning, holds every document, and loads nothing from elsewhere."""

import re
import subprocess

import pytest

from infra.base import paths
from infra.base.paths import CHECKOUT

MKDOCS = paths.environment_dir("docs") / "bin" / "mkdocs"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    if not MKDOCS.exists():
        pytest.skip("there is no MkDocs: run `python3 -m tools.install docs`")
    folder = tmp_path_factory.mktemp("site")
    command = [MKDOCS, "build", "--config-file", CHECKOUT / "mkdocs.yml", "--site-dir", folder]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def test_site_has_a_page_for_every_document(site):
    documents = {path.relative_to(CHECKOUT / "docs") for path in (CHECKOUT / "docs").rglob("*.md")}
    assert {path for path in documents if not (site / path.with_suffix(".html")).is_file()} == set()


def test_site_lists_every_runbook_and_decision(site):
    home = (site / "index.html").read_text()
    for folder in ("runbooks", "adr"):
        for path in (CHECKOUT / "docs" / folder).glob("*.md"):
            assert f'href="{folder}/{path.stem}.html"' in home


def test_pages_load_nothing_from_elsewhere(site):
    loaded = re.compile(
        r'<(?:script|img|iframe)[^>]+src="(https?:)?//|<link[^>]+rel="stylesheet"[^>]+href="(https?:)?//'
    )
    assert [page.name for page in site.rglob("*.html") if loaded.search(page.read_text())] == []
