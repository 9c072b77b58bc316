"""The host provider: serves the engine's `ResourceProvider` protocol for what a stack keeps on this machine.

A plugin of its own process, loaded through `plugins.providers` in Pulumi.yaml; its code is never pickled into state.
It holds no state: what it knows comes with each request or stands in the stack's folder.
"""

import signal
import sys
import threading
from collections.abc import Callable
from concurrent import futures
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import grpc
import pydantic
from google.protobuf import empty_pb2, json_format, struct_pb2
from pulumi.runtime import rpc
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, plugin_pb2, provider_pb2, provider_pb2_grpc

from infra.host.errors import HostError
from infra.host.kinds import Host, Kind, Outputs, Request
from infra.host.kinds.file import FileKind
from infra.host.kinds.folder import FolderKind
from infra.host.kinds.job import JobKind
from infra.host.kinds.kind_cluster import KindClusterKind
from infra.host.kinds.port import PortKind
from infra.host.kinds.process import ProcessKind
from infra.host.kinds.secret import SecretKind
from infra.host.kinds.supervisor import SupervisorKind
from infra.host.supervision import Supervision

VERSION = "0.1.0"
WORKERS = 64
"""Requests served at once: each process and job that starts holds one until it is ready."""
MAX_MESSAGE_BYTES = 400 * 1024 * 1024
"""The engine's own limit, see `sdk/go/common/util/rpcutil` in pulumi/pulumi."""

KINDS: dict[str, Kind[Any]] = {
    "host:index:File": FileKind(),
    "host:index:Folder": FolderKind(),
    "host:index:Job": JobKind(),
    "host:index:KindCluster": KindClusterKind(),
    "host:index:Port": PortKind(),
    "host:index:Process": ProcessKind(),
    "host:index:Secret": SecretKind(),
    "host:index:Supervisor": SupervisorKind(),
}
SECRET_OUTPUTS = {"host:index:KindCluster": {"kubeconfig"}, "host:index:Secret": {"value"}}

AnswerT = TypeVar("AnswerT")


class HostProvider(provider_pb2_grpc.ResourceProviderServicer):
    """Translates between the engine's messages and the kinds."""

    def __init__(self, engine_address: str) -> None:
        self._engine = engine_pb2_grpc.EngineStub(grpc.insecure_channel(engine_address)) if engine_address else None
        self._cancelled = threading.Event()
        self._host: Host | None = None

    def Handshake(self, request: Any, context: grpc.ServicerContext) -> provider_pb2.ProviderHandshakeResponse:  # noqa: D102, N802
        del request, context
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True, accept_resources=False, accept_outputs=False)

    def GetPluginInfo(self, request: Any, context: grpc.ServicerContext) -> plugin_pb2.PluginInfo:  # noqa: D102, N802
        del request, context
        return plugin_pb2.PluginInfo(version=VERSION)

    def Attach(self, request: Any, context: grpc.ServicerContext) -> empty_pb2.Empty:  # noqa: D102, N802
        del context
        self._engine = engine_pb2_grpc.EngineStub(grpc.insecure_channel(request.address))
        return empty_pb2.Empty()

    def CheckConfig(self, request: Any, context: grpc.ServicerContext) -> provider_pb2.CheckResponse:  # noqa: D102, N802
        del context
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: Any, context: grpc.ServicerContext) -> provider_pb2.DiffResponse:  # noqa: D102, N802
        del context
        old, new = (_plain(message)[0].get("root") for message in (request.old_inputs, request.news))
        return _diff_response(["root"] if old != new else [], frozenset({"root"}))

    def Configure(self, request: Any, context: grpc.ServicerContext) -> provider_pb2.ConfigureResponse:  # noqa: D102, N802
        root = _plain(request.args)[0].get("root")
        if not isinstance(root, str) or not Path(root).is_absolute():
            _refuse(context, f"the host provider needs `root`, the absolute path of the stack's folder, not {root!r}")
        path = Path(root)
        self._host = Host(path, Supervision(path), self._cancelled)
        return provider_pb2.ConfigureResponse(
            acceptSecrets=True, supportsPreview=True, acceptResources=False, acceptOutputs=False
        )

    def Check(self, request: Any, context: grpc.ServicerContext) -> provider_pb2.CheckResponse:  # noqa: D102, N802
        kind = _kind(request.urn, context)
        values, _, unknown = _plain(request.news)
        failures = []
        try:
            kind.model.model_validate(values)
        except pydantic.ValidationError as error:
            failures = [
                provider_pb2.CheckFailure(property=".".join(map(str, each["loc"])), reason=each["msg"])
                for each in error.errors(include_input=False)
                if not each["loc"] or each["loc"][0] not in unknown
            ]
        return provider_pb2.CheckResponse(inputs=request.news, failures=failures)

    def Diff(self, request: Any, context: grpc.ServicerContext) -> provider_pb2.DiffResponse:  # noqa: D102, N802
        kind = _kind(request.urn, context)
        old_values, _, _ = _plain(request.old_inputs)
        new_values, _, unknown = _plain(request.news)
        changed = set(unknown)
        if unknown:
            changed |= {key for key in {*old_values, *new_values} if old_values.get(key) != new_values.get(key)}
        else:
            inputs = kind.model.model_validate(new_values)
            olds = kind.model.model_validate(old_values)
            changed |= {key for key in kind.model.model_fields if getattr(inputs, key) != getattr(olds, key)}
            changed.update(kind.drift(self._configured(context), inputs, _plain(request.olds)[0]))
        return _diff_response(sorted(changed), kind.replace_on)

    def Create(self, request: Any, context: grpc.ServicerContext) -> provider_pb2.CreateResponse:  # noqa: D102, N802
        if request.preview:
            return provider_pb2.CreateResponse(id="", properties=struct_pb2.Struct())
        kind = _kind(request.urn, context)
        asked = self._request(kind, request.urn, request.properties)
        outputs = _answer(context, lambda: kind.create(self._configured(context), asked))
        return provider_pb2.CreateResponse(id=asked.name, properties=_struct(request.urn, outputs))

    def Read(self, request: Any, context: grpc.ServicerContext) -> provider_pb2.ReadResponse:  # noqa: D102, N802
        kind = _kind(request.urn, context)
        if not request.inputs.fields and not request.properties.fields:
            _refuse(context, f"{_name(request.urn)!r} cannot be imported: host resources are made by the stack only")
        asked = self._request(kind, request.urn, request.inputs)
        olds = _plain(request.properties)[0]
        outputs = _answer(context, lambda: kind.read(self._configured(context), asked, olds))
        if outputs is None:
            return provider_pb2.ReadResponse()
        return provider_pb2.ReadResponse(id=request.id, inputs=request.inputs, properties=_struct(request.urn, outputs))

    def Update(self, request: Any, context: grpc.ServicerContext) -> provider_pb2.UpdateResponse:  # noqa: D102, N802
        if request.preview:
            return provider_pb2.UpdateResponse(properties=request.olds)
        kind = _kind(request.urn, context)
        asked = self._request(kind, request.urn, request.news)
        olds = _plain(request.olds)[0]
        outputs = _answer(context, lambda: kind.update(self._configured(context), asked, olds))
        return provider_pb2.UpdateResponse(properties=_struct(request.urn, outputs))

    def Delete(self, request: Any, context: grpc.ServicerContext) -> empty_pb2.Empty:  # noqa: D102, N802
        kind = _kind(request.urn, context)
        asked = self._request(kind, request.urn, request.old_inputs)
        olds = _plain(request.properties)[0]
        _answer(context, lambda: kind.delete(self._configured(context), asked, olds))
        return empty_pb2.Empty()

    def Cancel(self, request: Any, context: grpc.ServicerContext) -> empty_pb2.Empty:  # noqa: D102, N802
        del request, context
        self._cancelled.set()
        return empty_pb2.Empty()

    def _configured(self, context: grpc.ServicerContext) -> Host:
        if self._host is None:
            _refuse(context, "the host provider was not configured: pass `provider=` or `providers=` of the stack")
        return self._host

    def _request(self, kind: Kind[Any], urn: str, properties: struct_pb2.Struct) -> Request[Any]:
        values, secrets, _ = _plain(properties)
        return Request(_name(urn), kind.model.model_validate(values), secrets, lambda line: self._report(urn, line))

    def _report(self, urn: str, line: str) -> None:
        if self._engine is not None:
            self._engine.Log(
                engine_pb2.LogRequest(severity=engine_pb2.LogSeverity.INFO, message=line, urn=urn, ephemeral=True)
            )


def _name(urn: str) -> str:
    return urn.rsplit("::", 1)[-1]


def _kind(urn: str, context: grpc.ServicerContext) -> Kind[Any]:
    token = urn.split("::")[2].rsplit("$", 1)[-1]
    if token not in KINDS:
        _refuse(context, f"the host provider has no {token}; it has {', '.join(sorted(KINDS))}")
    return KINDS[token]


def _refuse(context: grpc.ServicerContext, message: str) -> NoReturn:
    context.abort(grpc.StatusCode.UNKNOWN, message)
    raise AssertionError("abort raises")


def _answer(context: grpc.ServicerContext, act: Callable[[], AnswerT]) -> AnswerT:
    try:
        return act()
    except HostError as error:
        _refuse(context, str(error))


def _plain(message: struct_pb2.Struct) -> tuple[dict[str, Any], frozenset[str], frozenset[str]]:
    """Properties as plain values, the secret texts among them, and the keys whose value is not known yet.

    The SDK's own deserialization makes a whole dictionary secret when one of its values is; here each counts alone.
    """
    secrets: set[str] = set()
    unknown: set[str] = set()
    properties = json_format.MessageToDict(message)
    plain = {key: _strip(value, key, secrets, unknown) for key, value in properties.items()}
    return plain, frozenset(secrets), frozenset(unknown)


def _strip(value: Any, key: str, secrets: set[str], unknown: set[str], *, secret: bool = False) -> Any:
    if rpc.is_rpc_secret(value):
        return _strip(value["value"], key, secrets, unknown, secret=True)
    if isinstance(value, dict):
        return {each: _strip(part, key, secrets, unknown, secret=secret) for each, part in value.items()}
    if isinstance(value, list):
        return [_strip(part, key, secrets, unknown, secret=secret) for part in value]
    if value == rpc.UNKNOWN:
        unknown.add(key)
        return None
    if secret and isinstance(value, str) and value:
        secrets.add(value)
    return value


def _struct(urn: str, outputs: Outputs) -> struct_pb2.Struct:
    token = urn.split("::")[2].rsplit("$", 1)[-1]
    secret = SECRET_OUTPUTS.get(token, set())
    struct = struct_pb2.Struct()
    struct.update({key: rpc.wrap_rpc_secret(value) if key in secret else value for key, value in outputs.items()})
    return struct


def _diff_response(changed: list[str], replace_on: frozenset[str]) -> provider_pb2.DiffResponse:
    changes = provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE
    replaces = [key for key in changed if key in replace_on]
    return provider_pb2.DiffResponse(changes=changes, diffs=changed, replaces=replaces, deleteBeforeReplace=True)


def main() -> None:
    """Serve until the engine ends this process; the engine reads the port from the first line of output."""
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=WORKERS),
        options=[("grpc.max_receive_message_length", MAX_MESSAGE_BYTES)],
    )
    engine_address = sys.argv[1] if len(sys.argv) > 1 else ""
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(HostProvider(engine_address), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)  # noqa: T201
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    stopped.wait()
    server.stop(grace=0)


if __name__ == "__main__":
    main()
