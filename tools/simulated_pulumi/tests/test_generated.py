"""Providers that are generated from an SDK's classes or from a schema: checks, replacements, outputs, functions."""

import json
import sys
from importlib.util import find_spec
from pathlib import Path

import pulumi
import pytest
from pytest_pulumi import OperationError, UnknownInvokeError

from simulated_pulumi.providers import Planned, RefusedError, generated

SCHEMA = {
    "name": "nimbus",
    "version": "2.0.0",
    "types": {
        "nimbus:index:Size": {"type": "string", "enum": [{"value": "S"}, {"value": "L"}]},
        "nimbus:index:Disk": {
            "type": "object",
            "properties": {"gib": {"type": "integer"}, "next": {"$ref": "#/types/nimbus:index:Disk"}},
            "required": ["gib"],
        },
    },
    "resources": {
        "nimbus:index:Server": {
            "inputProperties": {
                "size": {"$ref": "#/types/nimbus:index:Size"},
                "disks": {"type": "array", "items": {"$ref": "#/types/nimbus:index:Disk"}},
                "image": {"type": "string", "willReplaceOnChanges": True},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                "count": {"oneOf": [{"type": "integer"}, {"type": "string"}]},
                "script": {"$ref": "pulumi.json#/Asset"},
            },
            "requiredInputs": ["image"],
            "properties": {
                "image": {"type": "string"},
                "ipAddress": {"type": "string"},
                "disks": {"type": "array", "items": {"$ref": "#/types/nimbus:index:Disk"}},
            },
        }
    },
    "functions": {
        "nimbus:index:getImage": {"outputs": {"properties": {"id": {"type": "string"}, "name": {"type": "string"}}}}
    },
}


@pytest.fixture
def cumulus(monkeypatch):
    """The SDK of a cloud that does not exist."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "sdks"))
    import pulumi_cumulus  # noqa: PLC0415

    return pulumi_cumulus


@pytest.fixture
def pulumi_providers(cumulus):
    return [generated("pulumi_cumulus"), generated(schema=SCHEMA)]


class Server(pulumi.CustomResource):
    ipAddress: pulumi.Output[str]  # noqa: N815  (no SDK translates)

    def __init__(self, name, opts=None, **inputs):
        super().__init__("nimbus:index:Server", name, {"ipAddress": None, **inputs}, opts)


def server(image="debian", **inputs):
    def program():
        options = pulumi.ResourceOptions(provider=pulumi.ProviderResource("nimbus", "main", {}))
        pulumi.export("ip", Server("web", options, image=image, **inputs).ipAddress)

    return program


def test_outputs_of_an_sdk_have_its_types(pulumi_run, cumulus):
    def program():
        options = pulumi.ResourceOptions(provider=cumulus.Provider("main"))
        vault = cumulus.Vault("v", options, location="north")
        pulumi.export("port", vault.endpoints[0].port)
        pulumi.export("dns", vault.endpoints[0].dns_name)
        pulumi.export("link", vault.self_link)
        pulumi.export("versioned", vault.versioned)

    outputs = pulumi_run(program).outputs
    assert outputs["port"] == 443
    assert outputs["versioned"] is False
    assert outputs["dns"].endswith(".example")
    assert outputs["link"].startswith("https://")
    assert outputs == pulumi_run(program).outputs


def test_functions_of_an_sdk_are_answered(pulumi_run, cumulus):
    def program():
        provider = cumulus.Provider("main")
        zones = cumulus.get_zones_output("north", pulumi.InvokeOptions(provider=provider))
        pulumi.export("location", zones.location)
        pulumi.export("zones", zones.names.apply(len))

    assert pulumi_run(program).outputs == {"location": "north", "zones": 3}


def test_function_that_an_sdk_lacks_is_refused(pulumi_run, cumulus):
    def program():
        options = pulumi.InvokeOptions(provider=cumulus.Provider("main"))
        pulumi.runtime.invoke("cumulus:index/getRegions:getRegions", {}, options)

    with pytest.raises((RefusedError, UnknownInvokeError), match="pulumi_cumulus has no function cumulus:index/getReg"):
        pulumi_run(program)


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ({"location": 3}, "expected a string"),
        ({}, "missing required property 'location'"),
        ({"location": "a", "rules": [{"maxAge": 3}]}, "missing required property 'maxAgeDays'"),
        ({"location": "a", "tag": {}}, "did you mean tags"),
    ],
)
def test_inputs_are_checked_against_an_sdk(cumulus, inputs, reason):
    provider = generated("pulumi_cumulus")
    problems = provider.check(Planned("urn:pulumi:s::p::cumulus:storage/vault:Vault::v", inputs))
    assert reason in str(problems)


def test_documented_replacement_of_an_sdk_is_known(cumulus):
    planned = Planned("urn:pulumi:s::p::cumulus:storage/vault:Vault::v", {"location": "a"})
    assert list(generated("pulumi_cumulus").replaces(planned)) == ["location"]


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ({"image": "a", "size": 4}, "expected a string"),
        ({"image": "a", "disks": [{"gib": "many"}]}, "expected a whole number"),
        ({"image": "a", "disks": [{"gib": 1, "next": {}}]}, "missing required property 'gib'"),
        ({"image": "a", "labels": {"a": 1}}, "expected a string"),
        ({"image": "a", "count": True}, "expected"),
        ({"image": "a", "script": "text"}, "expected an asset"),
        ({"imag": "a"}, "did you mean image"),
    ],
)
def test_inputs_are_checked_against_a_schema(inputs, reason):
    problems = generated(schema=SCHEMA).check(Planned("urn:pulumi:s::p::nimbus:index:Server::web", inputs))
    assert reason in str(problems)


def test_valid_inputs_of_a_schema_pass():
    inputs = {"image": "a", "size": "S", "count": 2, "disks": [{"gib": 1, "next": {"gib": 2}}], "labels": {"a": "b"}}
    assert generated(schema=SCHEMA).check(Planned("urn:pulumi:s::p::nimbus:index:Server::web", inputs)) == []


def test_type_that_a_schema_lacks_is_refused():
    (problem,) = generated(schema=SCHEMA).check(Planned("urn:pulumi:s::p::nimbus:index:Disk::d", {}))
    assert problem.reason == "the schema of nimbus has no resource type nimbus:index:Disk"


def test_schema_is_read_from_a_file_and_answers_functions(tmp_path):
    file = tmp_path / "schema.json"
    file.write_text(json.dumps(SCHEMA), encoding="utf-8")
    provider = generated(schema=file)
    assert (provider.package, provider.version) == ("nimbus", "2.0.0")
    answer = provider.call("nimbus:index:getImage", {"name": "debian"})
    assert answer == {"id": answer["id"], "name": "debian"}
    assert answer["id"].startswith("id-")


def test_program_of_a_schema_gets_plausible_outputs(pulumi_run):
    assert pulumi_run(server()).outputs == {"ip": "192.0.2.1"}


@pytest.mark.pulumi_allow("lost_export")  # the schema knows no `image`
def test_remote_component_gives_its_outputs_alone(pulumi_run):
    class Servers(pulumi.ComponentResource):
        image: pulumi.Output[str]
        ipAddress: pulumi.Output[str]  # noqa: N815

        def __init__(self, name, opts, **inputs):
            super().__init__("nimbus:index:Server", name, {"ipAddress": None, **inputs}, opts, remote=True)

    def program():
        provider = pulumi.ProviderResource("nimbus", "main", {})
        servers = Servers("s", pulumi.ResourceOptions(providers=[provider]), image={"strategy": "newest"})
        pulumi.export("ip", servers.ipAddress)
        pulumi.export("image", servers.image)

    assert pulumi_run(program).outputs == {"ip": "192.0.2.1"}


def test_sdk_or_schema_must_be_given():
    with pytest.raises(TypeError, match="either the name of an SDK"):
        generated()
    with pytest.raises(ImportError, match="pip install pulumi-nowhere"):
        generated("pulumi_nowhere")


@pytest.mark.engine
def test_schema_decides_on_the_engine_what_replaces(pulumi_stack):
    stack = pulumi_stack(server(), providers=[generated(schema=SCHEMA)])
    stack.up()
    stack.assert_no_changes()
    stack.program = server(labels={"a": "b"})
    stack.assert_only_updates("web")
    stack.program = server(image="alpine")
    assert stack.preview().step("web").replaced_by == ("image",)
    stack.program = server(disks=[{"size": 1}])
    with pytest.raises(OperationError, match="missing required property 'gib'"):
        stack.preview()


@pytest.mark.skipif(find_spec("pulumi_aws") is None, reason="pulumi-aws is not installed")
def test_generated_provider_does_not_import_its_sdk(monkeypatch):
    monkeypatch.delitem(sys.modules, "pulumi_aws", raising=False)
    assert generated("pulumi_aws").package == "aws"
    assert "pulumi_aws" not in sys.modules
