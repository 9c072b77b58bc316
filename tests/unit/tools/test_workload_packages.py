import zipfile

import pytest

from infra.base import paths
from tools import environments, images, workload_packages
from tools.console import ToolError

POINTS = "[mlplatform.workloads]\ngreenhouse = greenhouse.definition:GREENHOUSE\n"


def wheel(folder, name="greenhouse", version="1", points=POINTS, package=None):
    file = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(f"{package or name}/__init__.py", "")
        archive.writestr(f"{name}-{version}.dist-info/METADATA", f"Name: {name}\n")
        if points is not None:
            archive.writestr(f"{name}-{version}.dist-info/entry_points.txt", points)
    return file


@pytest.fixture
def kept():
    folder = environments.packages_dir()
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def built(commands, tmp_path, monkeypatch):
    """Lets `pip wheel` give a wheel; what uv is asked for is noted."""
    (tmp_path / "greenhouse").mkdir()
    (tmp_path / "greenhouse" / "pyproject.toml").write_text("")
    monkeypatch.setattr(environments, "find_uv", lambda: commands.add("uv"))

    def give(**parts):
        made = wheel(tmp_path, **parts)
        script = (
            f'for last in "$@"; do former="$to"; to="$last"; done\n/bin/mkdir "$former" && /bin/cp {made} "$former"'
        )
        commands.add("python", script, paths.environment_dir("infra") / "bin")
        return tmp_path / "greenhouse"

    return give


def test_package_replaces_its_former_version_in_both_environments(built, commands, kept):
    wheel(kept, version="0")
    wheel(kept, name="greenhouse_other")
    assert workload_packages.add(built()) == ["greenhouse"]
    assert [each.name.split("-py3")[0] for each in sorted(kept.iterdir())] == ["greenhouse-1", "greenhouse_other-1"]
    asked = commands.called("uv pip install --quiet --no-deps --no-index --reinstall")
    assert [f"{name}/bin/python" in line for name, line in zip(("infra", "workloads"), asked, strict=True)] == [
        True
    ] * 2


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (
            {"points": None},
            r"brings no workload: add the entry point `\[project.entry-points.'mlplatform.workloads'\]`",
        ),
        ({"points": "[console_scripts]\na = a:a\n"}, "brings no workload"),
        ({"package": "workloads"}, "holds 'workloads', as this repository does: name its package otherwise"),
    ],
)
def test_package_that_cannot_stand_here_is_refused_before_it_is_kept(built, commands, parts, message):
    with pytest.raises(ToolError, match=message):
        workload_packages.add(built(**parts))
    assert environments.packages_dir().is_dir()
    assert list(environments.packages_dir().iterdir()) == []
    assert commands.called("uv") == []


def test_removed_package_is_in_no_environment_and_not_kept(built, commands, kept):
    workload_packages.add(built())
    with pytest.raises(ToolError, match=r"REMOVE=pumps is none of the installed packages \(greenhouse\)"):
        workload_packages.main(["--remove", "pumps"])
    workload_packages.main(["--remove", "greenhouse"])
    assert list(kept.iterdir()) == []
    assert len(commands.called("uv pip uninstall --quiet")) == 2


def test_package_that_is_not_named_or_does_not_build_is_refused(built, commands):
    with pytest.raises(ToolError, match=r"say where the package is: `make workload FROM=\.\./my-model`"):
        workload_packages.main([""])
    folder = built()
    commands.add("python", "echo BackendUnavailable >&2; exit 1", paths.environment_dir("infra") / "bin")
    with pytest.raises(ToolError, match=r"\(BackendUnavailable\); of build backends only setuptools is there; see `"):
        workload_packages.add(folder)


def test_folder_without_a_package_is_refused(tmp_path):
    with pytest.raises(ToolError, match=r"FROM=.* holds no pyproject.toml: give the folder of a package"):
        workload_packages.add(tmp_path)


def test_images_hold_what_is_installed_and_change_with_it(checkout, kept, tmp_path):
    for source in images.SOURCES:
        (checkout / source).mkdir(parents=True)
    tags = []
    for version in ("", "1", "2"):
        if version:
            wheel(kept, version=version)
        context = tmp_path / f"context{version}"
        context.mkdir()
        tags.append(images.prepare(context))
    assert len(set(tags)) == 3
    assert (tmp_path / "context1" / images.PACKAGES / "greenhouse" / "__init__.py").is_file()
    assert (tmp_path / "context1" / images.PACKAGES / "greenhouse-1.dist-info" / "entry_points.txt").is_file()
