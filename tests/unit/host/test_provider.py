"""The host provider's answers to the engine, without an engine."""

import pytest
from google.protobuf import struct_pb2
from pulumi.runtime import rpc
from pulumi.runtime.proto import provider_pb2

from infra.host.provider import HostProvider

UNKNOWN = rpc.UNKNOWN


class AbortedError(Exception):
    """What a gRPC context raises."""


class Context:
    def abort(self, _code, message):
        raise AbortedError(message)


def struct(**values):
    message = struct_pb2.Struct()
    message.update(values)
    return message


def urn(kind, name="thing"):
    return f"urn:pulumi:dev::mlplatform::mlplatform:index:RedisOnHost$host:index:{kind}::{name}"


@pytest.fixture
def provider(root):
    provider = HostProvider("")
    provider.Configure(provider_pb2.ConfigureRequest(args=struct(root=str(root))), Context())
    return provider


def check(provider, kind, **values):
    request = provider_pb2.CheckRequest(urn=urn(kind), news=struct(**values))
    return {failure.property: failure.reason for failure in provider.Check(request, Context()).failures}


def diff(provider, kind, old, new, outputs=None):
    request = provider_pb2.DiffRequest(
        urn=urn(kind), old_inputs=struct(**old), news=struct(**new), olds=struct(**(outputs or {}))
    )
    return provider.Diff(request, Context())


def test_an_unknown_property_is_named(provider):
    assert check(provider, "Folder", path="data", colour="blue") == {"colour": "Extra inputs are not permitted"}


def test_a_value_out_of_range_is_named_with_the_range(provider):
    assert check(provider, "Port", number=80) == {"number": "Input should be greater than or equal to 1024"}


def test_a_missing_property_is_named(provider):
    assert check(provider, "Folder") == {"path": "Field required"}


def test_what_is_not_known_yet_is_not_judged(provider):
    assert check(provider, "File", path="a", content=UNKNOWN) == {}
    assert set(check(provider, "File", path="../a", content=UNKNOWN)) == {"path"}


def test_health_checks_need_exactly_one_way(provider):
    failures = check(provider, "Process", command=["x"], health={"http_url": "http://x", "command": ["y"]})
    assert failures == {"health": "Value error, give either http_url or command"}


def test_a_secret_is_checked_by_its_value(provider):
    secret = {rpc._special_sig_key: rpc._special_secret_sig, "value": 5}
    assert set(check(provider, "File", path="a", content=secret)) == {"content"}


def test_equal_inputs_with_a_default_spelled_out_are_no_difference(provider):
    answer = diff(provider, "Folder", {"path": "a"}, {"path": "a", "keep": False})
    assert answer.changes == provider_pb2.DiffResponse.DIFF_NONE


def test_another_path_needs_another_folder(provider):
    answer = diff(provider, "Folder", {"path": "a"}, {"path": "b"})
    assert (list(answer.diffs), list(answer.replaces)) == (["path"], ["path"])


def test_a_value_that_becomes_unknown_is_a_difference(provider):
    answer = diff(provider, "File", {"path": "a", "content": "x"}, {"path": "a", "content": UNKNOWN})
    assert list(answer.diffs) == ["content"]


def test_a_dead_process_is_a_difference_without_any_change_of_inputs(provider):
    inputs = {"command": ["x"], "health": {"http_url": "http://127.0.0.1:1/"}}
    assert "state" in diff(provider, "Process", inputs, inputs, {"state": "dead"}).diffs


def test_a_preview_of_a_creation_touches_nothing(provider, root):
    request = provider_pb2.CreateRequest(urn=urn("Folder"), properties=struct(path="a"), preview=True)
    provider.Create(request, Context())
    assert list(root.iterdir()) == []


def test_secrets_leave_the_provider_as_secrets(provider):
    request = provider_pb2.CreateRequest(urn=urn("Secret"), properties=struct(length=32))
    value = provider.Create(request, Context()).properties["value"]
    assert value[rpc._special_sig_key] == rpc._special_secret_sig


def test_a_kind_that_does_not_exist_is_named_with_those_that_do(provider):
    with pytest.raises(AbortedError, match="the host provider has no host:index:Disk; it has host:index:File"):
        check(provider, "Disk")


def test_importing_is_refused_with_the_reason(provider):
    with pytest.raises(AbortedError, match="cannot be imported: host resources are made by the stack only"):
        provider.Read(provider_pb2.ReadRequest(id="x", urn=urn("Folder")), Context())


@pytest.mark.parametrize("root", [None, "relative", 5])
def test_a_root_that_is_no_absolute_path_is_refused(root):
    values = {} if root is None else {"root": root}
    with pytest.raises(AbortedError, match="needs `root`, the absolute path of the stack's folder"):
        HostProvider("").Configure(provider_pb2.ConfigureRequest(args=struct(**values)), Context())
