"""Programs that are modules: where they run, what they import, which project and configuration they have."""

import dataclasses
import os
import sys

import pulumi
import pytest

from pytest_pulumi import CheckError, HungError, Runner, SecretValue

MAIN = """
import fakes, pulumi
import settings
from pathlib import Path

options = pulumi.ResourceOptions(provider=fakes.Provider("main"))
bucket = fakes.Bucket(settings.NAME, options, text=Path("text.txt").read_text())
pulumi.export("id", bucket.id)
pulumi.export("project", pulumi.get_project())
pulumi.export("size", pulumi.Config().get_int("size"))
pulumi.export("region", pulumi.Config("aws").get("region"))
pulumi.export("password", pulumi.Config().get_secret("password"))
"""


def write(folder, main=MAIN, name="b", **files):
    folder.mkdir(exist_ok=True)
    (folder / "__main__.py").write_text(main)
    (folder / "settings.py").write_text(f"NAME = {name!r}\n")
    (folder / "text.txt").write_text("from a file")
    for file, text in files.items():
        (folder / file.replace("__", ".")).write_text(text)
    return folder


@pytest.fixture
def pulumi_config():
    return {"password": SecretValue("hunter2")}


def test_module_and_folder_run_with_their_files(pulumi_run, tmp_path):
    folder = write(tmp_path / "one")
    for path in (folder, str(folder), folder / "__main__.py"):
        graph = pulumi_run(path=path)
        assert graph.one(name="b").get("text") == "from a file"
        assert graph.outputs["id"] == "b-id"
        assert graph.secret_outputs == {"password"}


def test_nothing_of_a_program_outlives_its_run(pulumi_run, tmp_path):
    before, search = os.getcwd(), list(sys.path)  # noqa: PTH109
    for name in ("one", "two"):  # both have a module `settings`
        graph = pulumi_run(path=write(tmp_path / name, name=name))
        assert graph.one("Bucket").name == name
    assert (os.getcwd(), sys.path) == (before, search)  # noqa: PTH109
    assert "settings" not in sys.modules


def test_project_file_gives_name_main_and_configuration(pulumi_run, tmp_path):
    settings = "name: shop\nruntime: python\nmain: src\nconfig:\n  size:\n    type: integer\n    default: 3\n"
    (tmp_path / "Pulumi.yaml").write_text(settings)
    (tmp_path / "Pulumi.test.yaml").write_text("config:\n  aws:region: eu-west-1\n  shop:token:\n    secure: v1:abc\n")
    write(tmp_path / "src")
    outputs = pulumi_run(path=tmp_path).outputs
    assert (outputs["project"], outputs["size"], outputs["region"]) == ("shop", 3, "eu-west-1")
    assert outputs["password"] == "hunter2"


def test_program_that_is_not_there_is_named(pulumi_run, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no program at .*__main__.py: give a module, or a folder"):
        pulumi_run(path=tmp_path)
    with pytest.raises(TypeError, match="either a program"):
        pulumi_run()


def test_checks_and_failures_name_lines_of_the_module(pulumi_run, tmp_path):
    folder = write(tmp_path / "bad", main="import fakes\n\nfakes.Bucket('b')\n")
    with pytest.raises(CheckError, match=r"default_provider: .*'b' \(.*bad/__main__.py:3\)"):
        pulumi_run(path=folder)
    write(folder, main="import fakes, settings\nfakes.Provider('main')\n\nsettings.NOTHING\n")
    with pytest.raises(AttributeError) as caught:
        pulumi_run(path=folder)
    assert "bad/__main__.py:4" in caught.value.__notes__[0]


def test_resource_made_in_an_apply_of_a_module_is_found(pulumi_run, tmp_path):
    main = MAIN + "bucket.id.apply(lambda _: fakes.Bucket('late', options))\n"
    with pytest.raises(CheckError, match=r"resource_in_apply: .*'late'.*missing from a preview"):
        pulumi_run(path=write(tmp_path / "late", main=main))


def test_module_that_never_ends_is_given_up(pulumi_facts, tmp_path):
    folder = write(tmp_path / "busy", main="while True:\n    pass\n")
    with pytest.raises(HungError, match=r"busy/__main__.py"):
        Runner(dataclasses.replace(pulumi_facts, timeout_seconds=0.3))(path=folder)


def test_preview_of_a_module_has_unknown_ids(pulumi_run, tmp_path):
    graph = pulumi_run(path=write(tmp_path / "one"), preview=True)
    assert str(graph.outputs["id"]) != "b-id"


def test_inputs_can_be_asked_for_in_the_spelling_of_python(pulumi_run):
    class Bucket(pulumi.CustomResource):
        def __init__(self, name, opts):
            rules = [{"maxAge": 3, "keepFor": {"days_of_week": [1]}}]
            inputs = {"forceDestroy": True, "rules": rules, "apiKey": pulumi.Output.secret("k"), "snake_case": 1}
            super().__init__("fake:s3:Bucket", name, inputs, opts)

    def program():
        Bucket("b", pulumi.ResourceOptions(provider=pulumi.ProviderResource("fake", "main", {})))

    bucket = pulumi_run(program).one(Bucket)
    bucket.assert_inputs({"force_destroy": True, "rules": [{"max_age": 3, "keep_for": {"days_of_week": [1]}}]})
    bucket.assert_inputs({"forceDestroy": True, "snake_case": 1})
    bucket.assert_secret("api_key")
    assert bucket.get("rules[0].max_age") == bucket.get("rules[0].maxAge") == 3
    assert bucket.get("rules[0].keep_for.days_of_week[0]") == 1
    with pytest.raises(AssertionError, match="maxAge: 4"):
        bucket.assert_inputs({"rules": [{"max_age": 4, "keep_for": {"days_of_week": [1]}}]})
