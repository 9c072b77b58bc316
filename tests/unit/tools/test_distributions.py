"""The distributions beside the platform: what their wheels hold, what they depend on, which papers they have."""

import re
import subprocess
import tomllib
import zipfile

import pytest

from infra.base.paths import CHECKOUT
from tools import environments

FOLDERS = ("tools/simulated_pulumi", "tests/pytest_pulumi", "tests/pytest_pulumi_kubernetes")
ENTRIES = {"pytest-pulumi": "pytest_pulumi.plugin", "pytest-pulumi-kubernetes": "pytest_pulumi_kubernetes.plugin"}


def project(folder):
    return tomllib.loads((CHECKOUT / folder / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def uv():
    """The uv of this machine's cache, found before each test gets a cache of its own."""
    return environments.find_uv()


@pytest.mark.parametrize("folder", FOLDERS)
def test_wheel_holds_the_typed_package_and_nothing_else(uv, folder, tmp_path):
    command = [uv, "build", "-q", "--wheel", "-o", tmp_path, CHECKOUT / folder]
    subprocess.run(command, check=True, capture_output=True)
    (file,) = tmp_path.glob("*.whl")
    root = CHECKOUT / folder / "src"
    kept = (".py", ".json")  # code, and data that are generated
    sources = {
        str(path.relative_to(root)) for path in root.rglob("*") if path.suffix in kept or path.name == "py.typed"
    }
    with zipfile.ZipFile(file) as wheel:
        names = set(wheel.namelist())
        entries = [wheel.read(name).decode() for name in names if name.endswith("entry_points.txt")]
    assert {name for name in names if ".dist-info/" not in name} == sources
    assert any(name.endswith("py.typed") for name in sources)
    wanted = ENTRIES.get(project(folder)["name"])
    assert [entry.split("=")[-1].strip() for entry in entries] == ([wanted] if wanted else [])


@pytest.mark.parametrize("folder", FOLDERS)
def test_each_distribution_has_its_papers_and_bounds(folder):
    found = project(folder)
    readme, changes, _ = (
        (CHECKOUT / folder / name).read_text() for name in ("README.md", "CHANGELOG.md", "SECURITY.md")
    )
    assert readme.startswith(f"# {found['name']}\n")
    assert re.search(r"^## (\S+)", changes, re.MULTILINE)[1] == found["version"]
    extras = [each for some in found.get("optional-dependencies", {}).values() for each in some]
    assert [each for each in (*found["dependencies"], *extras) if ">=" not in each] == []
    assert all("<" in each for each in (*found["dependencies"], *extras) if "pulumi" in each and "pytest>=" not in each)


def test_distributions_have_one_version_and_no_provider_prefix():
    assert len({project(folder)["version"] for folder in FOLDERS}) == 1
    assert [name for name in (project(folder)["name"] for folder in FOLDERS) if name.startswith("pulumi")] == []


def test_links_between_the_readmes_lead_somewhere():
    for folder in FOLDERS:
        for page in (CHECKOUT / folder).rglob("*.md"):
            for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
                assert (page.parent / target).exists(), f"{page.relative_to(CHECKOUT)}: {target}"


def test_release_workflow_publishes_every_distribution():
    workflow = (CHECKOUT / ".github" / "workflows" / "release-plugins.yml").read_text()
    assert all(folder in workflow for folder in FOLDERS)
