import dataclasses
import runpy

import fakes
import pulumi
import pytest

from pytest_pulumi import UNKNOWN, Asset, Reference, SecretValue, SelectionError


def store(make_props=dict, **props):
    def program():
        made = fakes.Store("artifacts", fakes.explicit(), **make_props(), **props)
        pulumi.export("bucket", made.bucket.id)

    return program


def test_a_resource_tells_what_was_registered(pulumi_run):
    graph = pulumi_run(store(tags={"team": "ml"}, size=3))
    bucket = graph.one(fakes.Bucket, "artifacts-bucket")
    assert bucket.inputs == {"tags": {"team": "ml"}, "size": 3}
    assert bucket.id == "artifacts-bucket-id"
    assert graph.parent(bucket).name == "artifacts"
    assert graph.provider(bucket).name == "main"
    assert bucket.source.startswith(fakes.__file__)
    assert not bucket.protect


def test_inputs_computed_from_another_resource_are_dependencies(pulumi_run):
    graph = pulumi_run(store())
    logs = graph.one("Bucket", "artifacts-logs")
    assert [r.name for r in graph.dependencies(logs)] == ["artifacts-bucket"]
    assert logs.property_dependencies == {"target": (graph.one("Bucket", "artifacts-bucket").urn,)}


def test_urns_hold_the_types_of_all_ancestors(pulumi_run):
    assert pulumi_run(store()).one(name="artifacts-logs").urn == (
        "urn:pulumi:test::project::mine:index:Store$fake:s3/bucket:Bucket::artifacts-logs"
    )


def test_registered_outputs_and_exports_are_kept(pulumi_run):
    graph = pulumi_run(store())
    assert graph.one(fakes.Store).registered_outputs == {"uri": "s3://artifacts-bucket-id"}
    assert graph.outputs == {"bucket": "artifacts-bucket-id"}


def test_options_are_kept(pulumi_run):
    def program():
        provider = fakes.Provider("main")
        options = pulumi.ResourceOptions(
            provider=provider,
            protect=True,
            ignore_changes=["tags"],
            retain_on_delete=True,
            aliases=[pulumi.Alias(name="old"), "urn:pulumi:test::project::x:y:Z::gone"],
            depends_on=[provider],
        )
        fakes.Bucket("b", options)

    bucket = pulumi_run(program).one(fakes.Bucket)
    assert bucket.protect
    assert bucket.options == {"ignoreChanges": ["tags"], "retainOnDelete": True}
    assert bucket.aliases == ("name=old", "urn:pulumi:test::project::x:y:Z::gone")
    assert bucket.dependencies[0].endswith("::main")


def test_secret_inputs_are_unwrapped_and_their_paths_kept(pulumi_run):
    graph = pulumi_run(store(lambda: {"login": {"user": "a", "passwords": [pulumi.Output.secret("hunter2")]}}))
    bucket = graph.one(name="artifacts-bucket")
    assert bucket.get("login.passwords[0]") == "hunter2"
    assert bucket.secret_inputs == {"login.passwords[0]"}
    bucket.assert_secret("login.passwords[0]")
    with pytest.raises(AssertionError, match=r"'login\.user' is plain text; secret are: login\.passwords\[0\]"):
        bucket.assert_secret("login.user")


def test_what_is_inside_a_secret_is_secret(pulumi_run):
    graph = pulumi_run(store(lambda: {"login": pulumi.Output.secret({"user": "a"})}))
    graph.one(name="artifacts-bucket").assert_secret("login", "login.user")


def test_secret_exports_are_named(pulumi_run):
    def program():
        fakes.Bucket("b", pulumi.ResourceOptions(provider=fakes.Provider("main")))
        pulumi.export("token", pulumi.Output.secret("t"))

    graph = pulumi_run(program)
    assert graph.outputs == {"token": "t"}
    assert graph.secret_outputs == {"token"}


def test_module_level_program_runs_by_runpy(pulumi_run, tmp_path):
    file = tmp_path / "__main__.py"
    file.write_text(
        "import fakes, pulumi\n"
        "main = fakes.Provider('main')\n"
        "bucket = fakes.Bucket('b', pulumi.ResourceOptions(provider=main))\n"
        "pulumi.export('id', bucket.id)\n"
    )
    for _ in range(2):  # each run executes the module anew
        assert pulumi_run(lambda: runpy.run_path(str(file))).outputs == {"id": "b-id"}


def test_assets_and_references_become_plain_records(pulumi_run):
    def program():
        provider = fakes.Provider("main")
        options = pulumi.ResourceOptions(provider=provider)
        first = fakes.Bucket("a", options)
        fakes.Bucket("b", options, file=pulumi.StringAsset("text"), other=first)

    graph = pulumi_run(program)
    inputs = graph.one(name="b").inputs
    assert inputs["file"] == Asset("asset", "text", "text")
    assert inputs["other"] == Reference(graph.one(name="a").urn, "a-id")


def test_a_test_cannot_change_the_graph(pulumi_run):
    graph = pulumi_run(store(tags={"a": "b"}))
    bucket = graph.one(name="artifacts-bucket")
    bucket.inputs["tags"]["a"] = "changed"
    assert bucket.inputs == {"tags": {"a": "b"}}
    with pytest.raises(dataclasses.FrozenInstanceError):
        bucket.name = "other"
    with pytest.raises(dataclasses.FrozenInstanceError):
        graph.resources = ()


@pytest.mark.parametrize("selector", [fakes.Bucket, "fake:s3/bucket:Bucket", "fake:*", "Bucket"])
def test_resources_are_selected_by_class_token_pattern_or_bare_name(pulumi_run, selector):
    assert len(pulumi_run(store()).all(selector)) == 2


def test_a_predicate_makes_a_rule_one_line(pulumi_run):
    graph = pulumi_run(store(acl="public-read"))
    assert [r.name for r in graph.all(where=lambda r: r.get("acl", "private") != "private")] == ["artifacts-bucket"]


def test_one_fails_with_a_list_of_what_was_found(pulumi_run):
    graph = pulumi_run(store())
    with pytest.raises(SelectionError, match=r"(?s)2 resources match type 'Bucket'.*artifacts-bucket.*artifacts-logs"):
        graph.one(fakes.Bucket)


def test_one_fails_with_a_list_of_what_there_is(pulumi_run):
    graph = pulumi_run(store())
    with pytest.raises(SelectionError, match=r"(?s)0 resources match.*name 'nope'.*The graph has:.*mine:index:Store"):
        graph.one("Bucket", "nope")


def test_a_missing_input_is_named_with_what_is_there(pulumi_run):
    bucket = pulumi_run(store(tags={"a": "b"})).one(name="artifacts-bucket")
    with pytest.raises(SelectionError, match=r"tags\.c: nothing at 'tags\.c'; there is \['a'\]"):
        bucket.get("tags.c")
    assert bucket.get("tags.c", None) is None


def test_other_inputs_than_expected_are_shown_as_a_diff(pulumi_run):
    bucket = pulumi_run(store(tags={"a": "b"}, size=1)).one(name="artifacts-bucket")
    bucket.assert_inputs({"size": 1})
    with pytest.raises(AssertionError, match=r'(?s)-  a: "c"\n\+  a: "b"'):
        bucket.assert_inputs({"tags": {"a": "c"}})


def test_children_and_paths_follow_the_parents(pulumi_run):
    graph = pulumi_run(store())
    assert [r.name for r in graph.children()] == ["artifacts", "main"]
    assert [r.name for r in graph.children(graph.one(fakes.Store))] == ["artifacts-bucket", "artifacts-logs"]
    assert len(graph.children(deep=True)) == len(graph.resources) == 4
    assert graph.path(graph.one(name="artifacts-logs")) == "artifacts/artifacts-logs"


def test_the_tree_shows_children_below_their_parent(pulumi_run):
    assert pulumi_run(store()).tree().splitlines() == [
        "project-test",
        "├─ artifacts  mine:index:Store",
        "│  ├─ artifacts-bucket  fake:s3/bucket:Bucket",
        "│  └─ artifacts-logs  fake:s3/bucket:Bucket",
        "└─ main  pulumi:providers:fake",
    ]


def test_a_text_of_several_lines_is_written_line_by_line(pulumi_run):
    text = pulumi_run(store(policy="first\n  second\n", note="a\nb", odd="a\x00\nb")).snapshot()
    assert "    policy: |\n      first\n        second\n" in text
    assert "    note: |-\n      a\n      b\n" in text
    assert '    odd: "a\\u0000\\nb"\n' in text


def test_in_a_preview_ids_are_unknown(pulumi_run):
    graph = pulumi_run(store(), preview=True)
    assert graph.one(name="artifacts-logs").inputs == {"target": UNKNOWN}
    assert graph.one(name="artifacts-logs").id is None


def test_a_coroutine_can_await_outputs(pulumi_run):
    async def program():
        made = fakes.Store("artifacts", fakes.explicit())
        pulumi.export("awaited", await made.bucket.id.future())

    assert pulumi_run(program).outputs == {"awaited": "artifacts-bucket-id"}


def test_what_a_coroutine_captured_has_values_of_the_update(pulumi_run):
    captured = {}

    async def program():
        made = fakes.Store("artifacts", fakes.explicit())
        captured["id"] = await made.bucket.id.future()

    pulumi_run(program)
    assert captured == {"id": "artifacts-bucket-id"}


def test_looked_up_resources_are_marked_as_read(pulumi_run):
    def program():
        options = pulumi.ResourceOptions(provider=fakes.Provider("main"), id="i-1")
        fakes.Bucket("b", options)

    bucket = pulumi_run(program).one(fakes.Bucket)
    assert bucket.read
    assert bucket.id == "i-1"


def test_messages_of_the_program_are_kept(pulumi_run):
    def program():
        bucket = fakes.Bucket("b", pulumi.ResourceOptions(provider=fakes.Provider("main")))
        pulumi.log.warn("careful")
        pulumi.log.info("made", bucket)

    logs = pulumi_run(program).logs
    assert [(log.severity, log.message, log.urn.rsplit("::", 1)[-1]) for log in logs] == [
        ("warning", "careful", ""),
        ("info", "made", "b"),
    ]


class TestFacts:
    @pytest.fixture
    def pulumi_project(self):
        return "shop"

    @pytest.fixture
    def pulumi_stack_name(self):
        return "dev"

    @pytest.fixture
    def pulumi_config(self):
        return {"size": 3, "password": SecretValue("hunter2"), "fake:region": "there"}

    @pytest.fixture
    def pulumi_answers(self):
        return {"fake:index:zones": {"names": ["a"]}, "fake:index:echo": lambda args: {"said": args["say"]}}

    @pytest.fixture
    def pulumi_outputs(self):
        return {
            "fake:s3/bucket:Bucket": lambda asked: {"arn": f"arn:{asked.name}", "id": f"b-{asked.name}"},
            "pulumi:pulumi:StackReference": {"outputs": {"vpc": "vpc-1", "key": SecretValue("k")}},
        }

    def test_names_and_configuration_reach_the_program(self, pulumi_run):
        def program():
            config = pulumi.Config()
            options = pulumi.ResourceOptions(provider=fakes.Provider("main"))
            props = {"size": config.require_int("size"), "password": config.require_secret("password")}
            region = pulumi.Config("fake").require("region")
            fakes.Bucket(f"{pulumi.get_project()}-{pulumi.get_stack()}", options, region=region, **props)

        bucket = pulumi_run(program).one(fakes.Bucket, "shop-dev")
        assert bucket.inputs == {"size": 3, "password": "hunter2", "region": "there"}
        bucket.assert_secret("password")

    def test_functions_of_providers_are_answered(self, pulumi_run):
        def program():
            options = pulumi.InvokeOptions(provider=fakes.Provider("main"))
            zones = pulumi.runtime.invoke("fake:index:zones", {}, options).value
            echo = pulumi.runtime.invoke("fake:index:echo", {"say": "hi"}, options).value
            pulumi.export("all", [zones, echo])

        graph = pulumi_run(program)
        assert graph.outputs == {"all": [{"names": ["a"]}, {"said": "hi"}]}
        assert [(call.token, call.args) for call in graph.invokes] == [
            ("fake:index:zones", {}),
            ("fake:index:echo", {"say": "hi"}),
        ]

    def test_methods_of_resources_are_answered_like_functions(self, pulumi_run):
        def program():
            bucket = fakes.Bucket("b", pulumi.ResourceOptions(provider=fakes.Provider("main")))
            pulumi.export("said", pulumi.runtime.call("fake:index:echo", {"say": "hi"}, bucket))

        assert pulumi_run(program).outputs == {"said": {"said": "hi"}}

    def test_outputs_by_type_reach_the_program(self, pulumi_run):
        def program():
            bucket = fakes.Bucket("b", pulumi.ResourceOptions(provider=fakes.Provider("main")))
            pulumi.export("arn", bucket.arn)
            pulumi.export("id", bucket.id)

        assert pulumi_run(program).outputs == {"arn": "arn:b", "id": "b-b"}
        assert pulumi_run(program, preview=True).outputs == {"arn": UNKNOWN, "id": UNKNOWN}

    def test_stack_references_are_answered(self, pulumi_run):
        def program():
            other = pulumi.StackReference("org/net/dev")
            pulumi.export("vpc", other.require_output("vpc"))

        assert pulumi_run(program).outputs == {"vpc": "vpc-1"}


def test_sdk_reads_no_frames_during_a_run_and_does_so_again_after(pulumi_run):
    during = []

    def program():
        during.append(getattr(pulumi.runtime.resource, "_get_stack_trace", list)())
        fakes.Store("s", fakes.explicit())

    before = getattr(pulumi.runtime.resource, "_get_stack_trace", None)
    assert pulumi_run(program).one(fakes.Store).source.endswith(".py:" + str(program.__code__.co_firstlineno + 2))
    assert not during[0] or not during[0].frames
    assert getattr(pulumi.runtime.resource, "_get_stack_trace", None) is before
