"""Twenty shapes of programs, as public ones have them, run unchanged as modules: see docs/programs.md."""

import textwrap

import pytest

HEAD = """
import fakes, pulumi
main = fakes.Provider("main")
options = pulumi.ResourceOptions(provider=main)
"""

SHAPES = {
    "flat module with exports": """
        bucket = fakes.Bucket("web", options, acl="private")
        pulumi.export("url", pulumi.Output.concat("https://", bucket.id, ".example"))
    """,
    "loop over files as assets": """
        import os
        for name in sorted(os.listdir("www")):
            fakes.Bucket(name, options, source=pulumi.FileAsset(os.path.join("www", name)))
    """,
    "archive of a folder": """
        fakes.Bucket("code", options, code=pulumi.AssetArchive({".": pulumi.FileArchive("www")}))
    """,
    "component in a module of its own": """
        from network import Network
        pulumi.export("uri", Network("net", pulumi.ResourceOptions(providers=[main])).bucket.id)
    """,
    "package of modules that import each other": """
        from parts import spoke
        spoke.make(options)
    """,
    "stack reference": """
        other = pulumi.StackReference("acme/network/dev")
        fakes.Bucket("b", options, vpc=other.get_output("vpc"), subnets=other.require_output("subnets"))
    """,
    "dynamic provider": """
        from pulumi.dynamic import CreateResult, Resource, ResourceProvider
        class Made(ResourceProvider):
            def create(self, props):
                return CreateResult("id", props)
        class Thing(Resource):
            def __init__(self, name, opts=None):
                super().__init__(Made(), name, {"size": 1}, opts)
        Thing("thing")
    """,
    "second provider by configuration": """
        role = pulumi.Config("aws").require("role")
        second = fakes.Provider(f"assumed-{role}", pulumi.ResourceOptions(depends_on=[main]))
        fakes.Bucket("b", pulumi.ResourceOptions(provider=second))
    """,
    "provider made of an output": """
        cluster = fakes.Bucket("cluster", options)
        inner = pulumi.ProviderResource("kubernetes", "inner", {"kubeconfig": cluster.id})
        pulumi.CustomResource("kubernetes:core/v1:Namespace", "ns", {}, pulumi.ResourceOptions(provider=inner))
    """,
    "JSON document of outputs": """
        import json
        first = fakes.Bucket("first", options)
        text = first.id.apply(lambda identity: json.dumps({"Resource": [identity]}))
        fakes.Bucket("policy", options, policy=text, other=pulumi.Output.json_dumps({"id": first.id}))
    """,
    "function called at once": """
        answer = pulumi.runtime.invoke("fake:s3:getImage", {"owner": "x"}, pulumi.InvokeOptions(provider=main))
        fakes.Bucket("b", options, image=answer.value["id"])
    """,
    "function called with outputs": """
        first = fakes.Bucket("first", options)
        by = pulumi.InvokeOptions(provider=main)
        found = pulumi.runtime.invoke_output("fake:s3:getImage", {"owner": first.id}, by)
        fakes.Bucket("b", options, image=found.apply(lambda image: image["id"]))
    """,
    "remote component": """
        class Cluster(pulumi.ComponentResource):
            endpoint: pulumi.Output[str]
            def __init__(self, name, opts=None):
                super().__init__("far:index:Cluster", name, {"endpoint": None}, opts, remote=True)
        pulumi.export("endpoint", Cluster("c", pulumi.ResourceOptions(providers=[main])).endpoint)
    """,
    "configuration of objects and secrets": """
        config = pulumi.Config()
        sizes = config.require_object("sizes")
        for name, size in sizes.items():
            fakes.Bucket(name, options, size=size, password=config.require_secret("password"))
    """,
    "transform of the whole stack": """
        def tag(args):
            tagged = args.type_.startswith("fake:s3")
            return pulumi.ResourceTransformResult({**args.props, "tags": {"team": "ml"}}, args.opts) if tagged else None
        pulumi.runtime.register_resource_transform(tag)
        fakes.Bucket("b", options)
    """,
    "readme as an output": """
        from pathlib import Path
        fakes.Bucket("b", options)
        pulumi.export("readme", Path("Pulumi.README.md").read_text())
    """,
    "lookup of an existing resource": """
        existing = fakes.Bucket.get("existing", "id-of-it", options) if hasattr(fakes.Bucket, "get") else None
        found = pulumi.CustomResource("fake:s3:Bucket", "found", {}, pulumi.ResourceOptions(provider=main, id="b-1"))
        fakes.Bucket("b", options, source=found.id)
    """,
    "count by configuration": """
        servers = [fakes.Bucket(f"web-{n}", options, n=n) for n in range(pulumi.Config().require_int("count"))]
        pulumi.export("ids", pulumi.Output.all(*(server.id for server in servers)))
    """,
    "options of every kind": """
        first = fakes.Bucket("first", options)
        fakes.Bucket("b", pulumi.ResourceOptions(
            provider=main, protect=True, depends_on=[first], ignore_changes=["tags"], retain_on_delete=True,
            aliases=[pulumi.Alias(name="old")], delete_before_replace=True, deleted_with=first,
            custom_timeouts=pulumi.CustomTimeouts(create="5m"), replace_on_changes=["acl"],
        ))
    """,
    "resource hooks": """
        hook = pulumi.ResourceHook("told", lambda args: print(args.name))
        binding = pulumi.ResourceHookBinding(after_create=[hook])
        fakes.Bucket("b", pulumi.ResourceOptions(provider=main, hooks=binding))
    """,
}

FILES = {
    "www/index.html": "<h1>hello</h1>",
    "www/error.html": "<h1>sorry</h1>",
    "Pulumi.README.md": "# Stack\n",
    "Pulumi.yaml": "name: shapes\nruntime: python\nconfig:\n  count: 3\n",
    "Pulumi.test.yaml": "config:\n  aws:role: admin\n  shapes:sizes:\n    small: 1\n    large: 9\n",
    "network.py": """
        import fakes, pulumi
        class Network(pulumi.ComponentResource):
            def __init__(self, name, opts=None):
                super().__init__("shapes:index:Network", name, None, opts)
                self.bucket = fakes.Bucket(f"{name}-bucket", pulumi.ResourceOptions(parent=self))
                self.register_outputs({"id": self.bucket.id})
    """,
    "parts/__init__.py": "",
    "parts/names.py": "SPOKE = 'spoke'\n",
    "parts/spoke.py": """
        import fakes
        from parts.names import SPOKE
        def make(options):
            return fakes.Bucket(SPOKE, options)
    """,
}

EXPECTED = {
    "flat module with exports": {"resources": 2, "outputs": {"url": "https://web-id.example"}},
    "loop over files as assets": {"resources": 3},
    "component in a module of its own": {"resources": 3, "outputs": {"uri": "net-bucket-id"}},
    "stack reference": {"resources": 3},
    "provider made of an output": {"resources": 4},
    "remote component": {"resources": 2, "outputs": {"endpoint": "https://c"}},
    "configuration of objects and secrets": {"resources": 3},
    "readme as an output": {"resources": 2, "outputs": {"readme": "# Stack\n"}},
    "count by configuration": {"resources": 4, "outputs": {"ids": ["web-0-id", "web-1-id", "web-2-id"]}},
}
"""What is known of a shape beyond that it runs; the others have one or two resources beside the provider."""


@pytest.fixture
def pulumi_config():
    from pytest_pulumi import SecretValue  # noqa: PLC0415

    return {"password": SecretValue("hunter2")}


@pytest.fixture
def pulumi_answers():
    return {"fake:s3:getImage": lambda args: {"id": f"image-of-{args['owner']}"}}


@pytest.fixture
def pulumi_outputs():
    return {
        "far:index:Cluster": lambda asked: {"endpoint": f"https://{asked.name}"},
        "pulumi:pulumi:StackReference": {"outputs": {"vpc": "vpc-1", "subnets": ["a", "b"]}},
    }


@pytest.mark.parametrize("shape", SHAPES)
def test_program_of_each_shape_runs_unchanged(pulumi_run, tmp_path, shape):
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(textwrap.dedent(text))
    (tmp_path / "__main__.py").write_text(HEAD + textwrap.dedent(SHAPES[shape]))
    graph = pulumi_run(path=tmp_path)
    expected = EXPECTED.get(shape, {})
    assert len(graph.resources) == expected.get("resources", len(graph.resources)) >= 2
    assert graph.project == "shapes"
    assert graph.outputs == expected.get("outputs", graph.outputs)
    assert graph.snapshot().startswith("stack shapes-test\n")


def test_details_of_shapes_are_in_the_graph(pulumi_run, tmp_path):
    def run(shape):
        (tmp_path / "__main__.py").write_text(HEAD + textwrap.dedent(SHAPES[shape]))
        return pulumi_run(path=tmp_path)

    (tmp_path / "Pulumi.test.yaml").write_text("config:\n  aws:role: admin\n")
    assert run("resource hooks").one(name="b").options["hooks"] == {"afterCreate": ["told"]}
    assert run("transform of the whole stack").one(name="b").get("tags") == {"team": "ml"}
    assert run("function called with outputs").one(name="b").get("image") == "image-of-first-id"
    options = run("options of every kind").one(name="b")
    assert (options.protect, options.options["deletedWith"]) == (True, "first")
