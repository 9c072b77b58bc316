"""The real CLI on a temporary backend. The provider is simulated; the engine, its state and its diffs are real."""

import json
import os
import re
from pathlib import Path
from typing import ClassVar

import fakes
import pulumi
import pytest
from simulated_pulumi.project import plain_config
from simulated_pulumi.providers import Planned, SimulatedProvider

from pytest_pulumi import SecretValue
from pytest_pulumi.command import HOST, Command, find_cli
from pytest_pulumi.result import OperationError

pytestmark = pytest.mark.engine


class Fake(SimulatedProvider):
    package = "fake"
    immutable: ClassVar = {"fake:s3/bucket:Bucket": ("zone", "rules[*].id")}

    def compute(self, planned: Planned):
        return {"arn": f"arn:{planned.id}"}

    def claim(self, planned: Planned):
        return planned.inputs.get("bucket", "")


@pytest.fixture
def fake():
    return Fake()


def store(**props):
    def program():
        made = fakes.Store("s", fakes.explicit(), **props)
        pulumi.export("arn", made.bucket.arn)

    return program


def two(first, second=None, **options):
    """One or two buckets without a component."""

    def program():
        explicit = pulumi.ResourceOptions(provider=fakes.Provider("main"), **options)
        made = fakes.Bucket("a", explicit, **first)
        if second is not None:
            fakes.Bucket("b", explicit, source=made.arn, **second)

    return program


def test_update_creates_everything_and_a_second_one_changes_nothing(pulumi_stack, fake):
    stack = pulumi_stack(store(), providers=[fake])
    assert stack.preview().counts == {"create": 5}
    assert fake.items == {}
    up = stack.up()
    assert up.counts == {"create": 5}
    assert up.outputs == {"arn": f"arn:{fake.item(name='s-bucket').id}"}
    stack.assert_no_changes()
    assert stack.up().counts == {}


def test_assets_and_archives_change_only_with_their_content(pulumi_stack, fake, tmp_path):
    (tmp_path / "page.html").write_text("hello")
    given = {"text": "one"}

    def program():
        files = pulumi.AssetArchive({"a": pulumi.StringAsset(given["text"])})
        page = pulumi.FileAsset(str(tmp_path / "page.html"))
        explicit = pulumi.ResourceOptions(provider=fakes.Provider("main"))
        fakes.Bucket("b", explicit, text=pulumi.StringAsset(given["text"]), files=files, page=page)

    stack = pulumi_stack(program, providers=[fake])
    stack.up()
    stack.assert_no_changes()
    assert stack.up().counts == {}
    given["text"] = "two"
    assert stack.up().counts == {"update": 1}


def test_destroy_leaves_nothing_and_each_operation_is_one_command(pulumi_stack, fake, monkeypatch):
    ran, run = [], Command.run
    monkeypatch.setattr(Command, "run", lambda self, args, *rest: ran.append(args[0]) or run(self, args, *rest))
    stack = pulumi_stack(store(), providers=[fake])
    stack.up()
    assert stack.destroy().counts == {"delete": 5}
    assert fake.items == {}
    assert stack.resources() == []
    assert ran[-2:] == ["up", "destroy"]
    ran.clear()
    pulumi_stack(store(), providers=[fake])
    assert ran == [], "a stack like an earlier one is made without the CLI"


def test_a_change_in_place_is_an_update(pulumi_stack, fake):
    stack = pulumi_stack(store(tags={"a": "1"}), providers=[fake])
    stack.up()
    stack.program = store(tags={"a": "2"})
    stack.assert_only_updates()
    stack.assert_only_updates("s-bucket")
    stack.assert_no_replacements()
    assert stack.up().step("s-bucket").changed[0].startswith("tags")  # `tags.a`; older SDKs lose the detail
    assert fake.item(name="s-bucket").values["tags"] == {"a": "2"}


def test_a_wrong_expectation_lists_what_would_happen(pulumi_stack, fake):
    stack = pulumi_stack(two({"zone": "x"}, {}), providers=[fake])
    stack.up()
    stack.program = two({"zone": "y"}, {})
    with pytest.raises(
        AssertionError, match=r"(?s)change nothing, but would:.*replace fake:s3/bucket:Bucket 'a' because"
    ):
        stack.assert_no_changes()
    with pytest.raises(AssertionError, match="replace and delete nothing, but would:"):
        stack.assert_no_replacements()
    with pytest.raises(AssertionError, match="only update in place, but would:"):
        stack.assert_only_updates()
    stack.program = two({"zone": "x", "tags": {"a": "b"}}, {})
    with pytest.raises(AssertionError, match="only update b, but would:"):
        stack.assert_only_updates("b")


def test_immutable_property_replaces_and_the_new_object_comes_first(pulumi_stack, fake):
    stack = pulumi_stack(two({"zone": "x"}, {}), providers=[fake])
    stack.up()
    old = fake.item(name="a").id
    stack.program = two({"zone": "y"}, {})
    up = stack.up()
    assert up.counts == {"create-replacement": 1, "delete-replaced": 1, "replace": 1, "update": 1}
    kinds = [op.kind for op in fake.log if op.name == "a" and op.kind in ("create", "delete") and not op.preview]
    assert kinds == ["create", "create", "delete"]
    assert fake.item(name="a").id != old
    assert fake.item(name="b").values["source"] == f"arn:{fake.item(name='a').id}"


def test_a_fixed_name_is_deleted_before_it_is_made_again(pulumi_stack, fake):
    stack = pulumi_stack(two({"zone": "x", "bucket": "fixed"}), providers=[fake])
    stack.up()
    fake.log.clear()
    stack.program = two({"zone": "y", "bucket": "fixed"})
    stack.up()
    assert [op.kind for op in fake.log if op.kind in ("create", "delete") and not op.preview] == ["delete", "create"]


def test_a_name_that_is_taken_is_refused(pulumi_stack, fake):
    stack = pulumi_stack(two({"bucket": "same"}, {"bucket": "same"}), providers=[fake])
    with pytest.raises(OperationError, match="fake:s3/bucket:Bucket 'same' already exists") as caught:
        stack.up()
    assert caught.value.result.step("a").op == "create"


def test_ignored_changes_are_no_changes(pulumi_stack, fake):
    stack = pulumi_stack(two({"tags": {"a": "1"}}, ignore_changes=["tags"]), providers=[fake])
    stack.up()
    stack.program = two({"tags": {"a": "2"}}, ignore_changes=["tags"])
    stack.assert_no_changes()


def test_computed_outputs_are_unknown_in_the_first_preview(pulumi_stack, fake):
    seen = []

    def program():
        made = fakes.Bucket("a", pulumi.ResourceOptions(provider=fakes.Provider("main")))
        made.arn.apply(seen.append)

    stack = pulumi_stack(program, providers=[fake])
    stack.preview()
    assert seen == []
    stack.up()
    stack.preview()
    assert seen == [f"arn:{fake.item(name='a').id}"] * 2


def test_secrets_stay_secret_in_state_and_come_back_as_outputs(pulumi_stack, fake):
    def program():
        explicit = pulumi.ResourceOptions(provider=fakes.Provider("main"))
        made = fakes.Bucket("a", explicit, tags={"key": pulumi.Output.secret("hunter2")})
        pulumi.export("tags", made.tags)

    stack = pulumi_stack(program, providers=[fake])
    up = stack.up()
    assert up.outputs == {"tags": {"key": "hunter2"}}
    assert up.secret_outputs == {"tags"}
    assert "hunter2" not in json.dumps(stack.export())
    exported = json.loads(stack.pulumi("stack", "export", "--stack", stack.name))["deployment"]["resources"]
    assert [each["urn"] for each in exported] == [each["urn"] for each in stack.resources()]
    assert "hunter2" not in " ".join(p.read_text() for p in (stack.backend.state).rglob("*.json"))


def test_a_refresh_sees_what_changed_or_vanished_behind_pulumis_back(pulumi_stack, fake):
    stack = pulumi_stack(two({"tags": {"a": "1"}}, {}), providers=[fake])
    stack.up()
    fake.item(name="a").change(tags={"a": "edited"})
    fake.lose(fake.item(name="b"))
    drift = stack.refresh()
    assert drift.step("a").op == "update"
    assert drift.step("b").op == "delete"
    repair = stack.up()
    assert (repair.step("a").op, repair.step("b").op) == ("update", "create")
    assert fake.item(name="a").values["tags"] == {"a": "1"}


def test_configuration_reaches_the_program_and_secrets_are_encrypted(pulumi_stack, fake):
    def program():
        config = pulumi.Config()
        pulumi.export("both", [config.require_object("sizes"), config.require_secret("password")])

    stack = pulumi_stack(program, config={"sizes": [1, 2], "password": SecretValue("hunter2")})
    assert stack.up().outputs == {"both": [[1, 2], "hunter2"]}
    written = " ".join(p.read_text() for p in Path(stack._stack.workspace.work_dir).glob("Pulumi.*.yaml"))
    assert "sizes" in written
    assert "hunter2" not in written


def test_an_error_of_the_program_names_its_line_once(pulumi_stack):
    def program():
        raise LookupError("no such thing")

    with pytest.raises(OperationError, match=r"test_engine\.py") as caught:
        pulumi_stack(program).preview()
    assert str(caught.value).count("LookupError: no such thing") == 1


def test_events_and_diagnostics_are_kept(pulumi_stack, fake):
    stack = pulumi_stack(lambda: pulumi.log.warn("careful"))
    up = stack.up()
    assert up.diagnostics == ("careful",)
    assert [event for event in up.events if event.summary_event]


def test_the_users_login_and_home_stay_untouched(pulumi_stack, fake, monkeypatch, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PULUMI_HOME", str(home / "pulumi"))
    monkeypatch.setenv("PULUMI_BACKEND_URL", f"file://{tmp_path / 'real'}")
    monkeypatch.setenv("PULUMI_ACCESS_TOKEN", "pul-real")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "real")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAREAL")
    stack = pulumi_stack(store(), providers=[fake])
    stack.up()
    assert list(home.iterdir()) == []
    assert not (tmp_path / "real").exists()
    assert "AWS_ACCESS_KEY_ID" not in stack._command._base


def test_an_operation_has_a_time_limit_and_the_stack_survives(pulumi_stack, fake):
    stack = pulumi_stack(two({}), providers=[fake], timeout_seconds=4)
    fake.faults.add("hang", on="create")
    with pytest.raises(OperationError, match="pulumi did not end within 4 s"):
        stack.up()
    fake.faults.clear()
    stack._command._timeout_seconds = 120
    stack.up()
    stack.assert_no_changes()


def test_two_stacks_of_one_test_do_not_see_each_other(pulumi_stack):
    first, second = Fake(), Fake()
    pulumi_stack(store(), providers=[first]).up()
    other = pulumi_stack(store(), providers=[second])
    assert other.preview().counts == {"create": 5}
    assert len(first.items) == 2
    assert second.items == {}


def test_a_stack_needs_a_program_or_a_folder(pulumi_stack):
    with pytest.raises(TypeError, match="either a program"):
        pulumi_stack()


def test_a_stack_file_loses_what_another_backend_cannot_read():
    settings = {
        "secretsprovider": "awskms://x",
        "encryptionsalt": "v1:x",
        "config": {"a:size": 3, "a:key": {"secure": "x"}, "a:deep": {"b": [{"secure": "x"}, 1], "c": {"secure": "y"}}},
    }
    assert plain_config(settings) == {"config": {"a:size": 3, "a:deep": {"b": [1]}}}


@pytest.fixture
def host(pulumi_cli):
    if pulumi_cli.host is None:
        pytest.skip(f"there is no {HOST} beside the CLI or on PATH")


@pytest.fixture
def folder(tmp_path):
    project = tmp_path / "my project"
    (project / "app").mkdir(parents=True)
    (project / "Pulumi.yaml").write_text("name: shop\nruntime: python\nmain: app\n")
    (project / "Pulumi.dev.yaml").write_text("config:\n  shop:size: 3\n  shop:key:\n    secure: v1:abc\n")
    (project / "app" / "__main__.py").write_text(
        "import pulumi\npulumi.export('size', pulumi.Config().require_int('size'))\n"
    )
    return project


def test_a_project_folder_runs_and_stays_as_it_was(pulumi_stack, host, folder):
    before = sorted(p for p in folder.rglob("*") if "__pycache__" not in p.parts)
    stack = pulumi_stack(work_dir=folder, config_file=folder / "Pulumi.dev.yaml", name="dev")
    assert stack.up().outputs == {"size": 3}
    assert sorted(p for p in folder.rglob("*") if "__pycache__" not in p.parts) == before


def test_a_policy_pack_refuses_a_violation(pulumi_stack, host, fake, tmp_path):
    pytest.importorskip("pulumi_policy", reason="pulumi-policy is not installed")
    (tmp_path / "PulumiPolicy.yaml").write_text("runtime: python\ndescription: test\nversion: 0.0.1\n")
    (tmp_path / "__main__.py").write_text("""
from pulumi_policy import EnforcementLevel, PolicyPack, ResourceValidationPolicy

def no_tags(args, report):
    if args.resource_type == "fake:s3/bucket:Bucket" and not args.props.get("tags"):
        report("tags are missing")

PolicyPack("pack", policies=[ResourceValidationPolicy(
    name="tags", description="tags", enforcement_level=EnforcementLevel.MANDATORY, validate=no_tags)])
""")
    stack = pulumi_stack(two({}), providers=[fake], policy_packs=[tmp_path])
    with pytest.raises(OperationError) as caught:
        stack.preview()
    assert [re.sub(r"\s+", " ", line) for line in caught.value.result.violations] == [
        "tags (mandatory): tags tags are missing"
    ]
    stack.program = two({"tags": {"a": "b"}})
    assert stack.preview().violations == ()


TEST = """
import pulumi
def test_stack(pulumi_stack):
    stack = pulumi_stack(lambda: pulumi.export("a", 1))
    stack.up()
    print("\\nfolder", stack.backend.folder)
"""


def folder_of(result):
    (line,) = [line for line in result.outlines if line.startswith("folder")]
    return Path(line.split(" ", 1)[1])


def test_a_stack_is_removed_after_the_test(pulumi_cli, pytester):
    pytester.makepyfile(TEST)
    result = pytester.runpytest_inprocess("-s")
    result.assert_outcomes(passed=1)
    assert not folder_of(result).exists()


def test_keep_leaves_the_stack_and_says_how_to_reach_it(pulumi_cli, pytester):
    pytester.makepyfile(TEST)
    result = pytester.runpytest_inprocess("-s", "--pulumi-keep")
    result.assert_outcomes(passed=1)
    assert (folder_of(result) / "state").exists()
    (line,) = [line for line in result.outlines if "pulumi stack -s test" in line]
    assert pytester.run("sh", "-c", line).ret == 0


@pytest.mark.parametrize(
    ("args", "variables", "outcome"),
    [
        ((), {}, {"skipped": 1}),
        (("--pulumi-require-engine",), {}, {"errors": 1}),
        ((), {"PULUMI_REQUIRE_ENGINE": "1"}, {"errors": 1}),
    ],
)
def test_without_a_cli_tests_skip_with_a_reason_or_fail_if_required(pytester, monkeypatch, args, variables, outcome):
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.delenv("PULUMI_REQUIRE_ENGINE", raising=False)
    for key, value in variables.items():
        monkeypatch.setenv(key, value)
    pytester.makepyfile(TEST)
    result = pytester.runpytest_inprocess("-rs", *args)
    result.assert_outcomes(**outcome)
    result.stdout.fnmatch_lines(["*there is no pulumi on PATH; see https://www.pulumi.com/docs/install/*"])


def test_the_language_host_is_looked_for_beside_the_cli_first(monkeypatch, tmp_path):
    for name in ("pulumi", HOST):
        (tmp_path / name).touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path) + os.pathsep + os.environ["PATH"])
    assert find_cli().command == tmp_path / "pulumi"
    assert find_cli().host == tmp_path / HOST
