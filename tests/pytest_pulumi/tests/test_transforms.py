"""Transforms run without an engine, in the engine's order; raw mocks never run them."""

import fakes
import pulumi


def tagged(word, seen=None):
    def transform(args):
        if args.type_ != "fake:s3/bucket:Bucket":
            return None
        if seen is not None:
            seen.append((args.name, word))
        tags = {**(args.props.get("tags") or {}), word: "yes"}
        return pulumi.ResourceTransformResult(props={**args.props, "tags": tags}, opts=args.opts)

    return transform


def test_a_transform_of_the_stack_changes_later_resources(pulumi_run):
    def program():
        explicit = pulumi.ResourceOptions(provider=fakes.Provider("main"))
        fakes.Bucket("before", explicit)
        pulumi.runtime.register_resource_transform(tagged("stack"))
        fakes.Bucket("after", explicit, tags={"own": "yes"})

    graph = pulumi_run(program)
    assert graph.one(name="before").inputs == {}
    assert graph.one(name="after").inputs == {"tags": {"own": "yes", "stack": "yes"}}


def test_component_transform_reaches_children_before_the_stacks(pulumi_run):
    seen = []

    def program():
        pulumi.runtime.register_resource_transform(tagged("stack", seen))
        options = pulumi.ResourceOptions(providers=[fakes.Provider("main")], transforms=[tagged("component", seen)])
        fakes.Store("s", options)

    graph = pulumi_run(program)
    assert graph.one(name="s-logs").get("tags") == {"component": "yes", "stack": "yes"}
    assert [word for name, word in seen if name == "s-logs"] == ["component", "stack"]


def test_a_transform_can_change_options_and_leaves_the_others(pulumi_run):
    def protecting(args):
        options = pulumi.ResourceOptions.merge(args.opts, pulumi.ResourceOptions(protect=True))
        return pulumi.ResourceTransformResult(props=args.props, opts=options)

    def program():
        provider = fakes.Provider("main")
        options = pulumi.ResourceOptions(
            provider=provider, ignore_changes=["tags"], delete_before_replace=True, transforms=[protecting]
        )
        fakes.Bucket("b", options, password=pulumi.Output.secret("hunter2"))

    graph = pulumi_run(program)
    bucket = graph.one(fakes.Bucket)
    assert bucket.protect
    assert bucket.options == {"ignoreChanges": ["tags"], "deleteBeforeReplace": True}
    assert graph.provider(bucket).name == "main"
    bucket.assert_secret("password")


def test_the_program_sees_what_a_transform_changed(pulumi_run):
    def program():
        pulumi.runtime.register_resource_transform(tagged("stack"))
        bucket = fakes.Bucket("b", pulumi.ResourceOptions(provider=fakes.Provider("main")))
        pulumi.export("tags", bucket.tags)

    assert pulumi_run(program).outputs == {"tags": {"stack": "yes"}}
