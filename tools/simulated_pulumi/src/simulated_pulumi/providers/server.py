"""The gRPC side of a simulated provider, and the way it is handed to the engine.

The engine attaches to a running server that `PULUMI_DEBUG_PROVIDERS` names, so nothing is ever put on PATH.
"""

from __future__ import annotations

import contextlib
from concurrent import futures
from typing import TYPE_CHECKING, Any, NoReturn

import grpc
from google.protobuf import empty_pb2
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.struct_pb2 import Struct
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc, status_pb2

from simulated_pulumi import values
from simulated_pulumi.providers.base import NotReadyError, Planned, RefusedError
from simulated_pulumi.providers.diff import compare, touches
from simulated_pulumi.providers.faults import CHANGES, Operation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from simulated_pulumi.backend import TemporaryBackend
    from simulated_pulumi.providers.base import Item, SimulatedProvider

_WORKERS = 32
"""More than the engine's usual parallelism, so that hanging operations do not block others."""


class _Service(provider_pb2_grpc.ResourceProviderServicer):
    """Answers the engine for one provider; each method is one call of the protocol."""

    def __init__(self, provider: SimulatedProvider, crash: Callable[[], None]) -> None:
        self._provider = provider
        self._crash = crash
        self._configs: dict[str, dict[str, Any]] = {}

    def Handshake(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True, accept_resources=True, accept_outputs=False)

    def Attach(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        return empty_pb2.Empty()

    def Cancel(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        self._provider.faults.release()
        return empty_pb2.Empty()

    def GetPluginInfo(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        return plugin_pb2.PluginInfo(version=self._provider.version)

    def CheckConfig(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        changed = compare(values.decode(request.olds).value, values.decode(request.news).value)
        for name in ("version", *self._provider.ignored_config):
            changed.pop(name, None)
        return provider_pb2.DiffResponse(
            changes=provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE,
            diffs=sorted(changed),
            replaces=sorted(set(changed) & set(self._provider.replacing_config)),
        )

    def Configure(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._provider.config = self._configs[context.peer()] = values.decode(request.args).value
        return provider_pb2.ConfigureResponse(
            acceptSecrets=True, supportsPreview=True, acceptResources=True, acceptOutputs=False
        )

    def Check(self, request: Any, context: Any) -> Any:  # noqa: N802
        planned = self._planned(request, context, request.news, seed=request.randomSeed)
        with self._operation("check", planned, context):
            problems = self._provider.check(planned)
            inputs = Struct()
            inputs.CopyFrom(request.news)
            for key, value in self._provider.defaults(planned, values.decode(request.olds).value).items():
                inputs.fields[key].CopyFrom(values.encode(value))
            failures = [provider_pb2.CheckFailure(property=p.path, reason=p.reason) for p in problems]
            return provider_pb2.CheckResponse(inputs=inputs, failures=failures)

    def Diff(self, request: Any, context: Any) -> Any:  # noqa: N802
        planned = self._planned(request, context, request.news, ignored=tuple(request.ignoreChanges))
        with self._operation("diff", planned, context):
            old = self._provider.kept(planned)
            changed = compare(old, planned.inputs, planned.ignored)
            immutable = list(self._provider.replaces(planned)) if changed else []
            replaces = sorted(path for path in changed if any(touches(rule, path) for rule in immutable))
            before = Planned(request.urn, old, request.id, config=planned.config)
            return provider_pb2.DiffResponse(
                changes=provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE,
                diffs=sorted({path.split(".", 1)[0].split("[", 1)[0] for path in changed}),
                replaces=replaces,
                detailedDiff={
                    path: provider_pb2.PropertyDiff(kind=_kind(word, replace=path in replaces), inputDiff=True)
                    for path, word in changed.items()
                },
                hasDetailedDiff=True,
                deleteBeforeReplace=bool(replaces)
                and self._provider.named_by_user(planned)
                and self._provider.claim(before) == self._provider.claim(planned),
            )

    def Create(self, request: Any, context: Any) -> Any:  # noqa: N802
        planned = self._planned(request, context, request.properties, preview=request.preview)
        with self._operation("create", planned, context):
            item = self._provider.create(planned, request.properties)
            self._settle(planned, item, context)
            return provider_pb2.CreateResponse(id=item.id, properties=item.outputs)

    def Read(self, request: Any, context: Any) -> Any:  # noqa: N802
        planned = self._planned(request, context, request.inputs, old_outputs=values.decode(request.properties).value)
        with self._operation("read", planned, context):
            item = self._provider.read(planned, request.inputs)
            if item is None:
                return provider_pb2.ReadResponse()
            return provider_pb2.ReadResponse(id=item.id, properties=item.outputs, inputs=item.inputs)

    def Update(self, request: Any, context: Any) -> Any:  # noqa: N802
        planned = self._planned(
            request, context, request.news, preview=request.preview, ignored=tuple(request.ignoreChanges)
        )
        with self._operation("update", planned, context):
            item = self._provider.update(planned, request.news)
            self._settle(planned, item, context)
            return provider_pb2.UpdateResponse(properties=item.outputs)

    def Delete(self, request: Any, context: Any) -> Any:  # noqa: N802
        outputs = values.decode(request.properties).value
        planned = self._planned(request, context, request.old_inputs, old_outputs=outputs)
        with self._operation("delete", planned, context):
            self._provider.delete(planned)
            return empty_pb2.Empty()

    def Construct(self, request: Any, context: Any) -> Any:  # noqa: N802
        planned = Planned(
            f"::::{request.type}::{request.name}",
            values.decode(request.inputs).value,
            preview=request.dryRun,
            config=self._configs.get(context.peer(), self._provider.config),
        )
        with self._operation("construct", planned, context):
            return self._provider.construct(planned, request)

    def Invoke(self, request: Any, context: Any) -> Any:  # noqa: N802
        planned = Planned(f"::::{request.tok}::", {})
        with self._operation("invoke", planned, context):
            args = values.decode(request.args).value
            result = values.encode_bag(self._provider.call(request.tok, args))
            return provider_pb2.InvokeResponse(**{"return": result})

    def _planned(self, request: Any, context: Any, inputs: Struct, **known: Any) -> Planned:
        """Gather what one request says about a resource."""
        given = values.decode(inputs)
        for field, attribute in (("old_inputs", "old_inputs"), ("olds", "old_outputs")):
            if field in request.DESCRIPTOR.fields_by_name:
                known.setdefault(attribute, values.decode(getattr(request, field)).value)
        return Planned(
            request.urn,
            given.value,
            getattr(request, "id", ""),
            generation=self._provider.births(request.urn),
            config=self._configs.get(context.peer(), self._provider.config),
            timeout_seconds=getattr(request, "timeout", 0),
            secrets=given.secrets,
            **known,
        )

    @contextlib.contextmanager
    def _operation(self, kind: str, planned: Planned, context: Any) -> Iterator[None]:
        """Guard, log and spoil one operation, and turn a refusal into the protocol's error."""
        provider = self._provider
        operation = Operation(kind, planned.type, planned.name, planned.preview)
        try:
            if kind in CHANGES and not planned.preview:
                provider.guard(planned.urn)
            fault = provider.faults.strike(operation)
            provider.log.append(operation)
            if fault is not None and fault[0] != "lose_answer":
                self._spoil(*fault, context)
            yield
        except RefusedError as error:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
        if fault is not None and fault[0] == "lose_answer":
            context.abort(grpc.StatusCode.UNKNOWN, f"{fault[1]} (the answer was lost after the operation took effect)")

    def _spoil(self, how: str, message: str, context: Any) -> None:
        if how == "hang":
            self._provider.faults.released.wait()
            return
        if how == "crash":
            self._crash()
            context.abort(grpc.StatusCode.UNAVAILABLE, "the provider crashed")
        raise RefusedError(message)

    def _settle(self, planned: Planned, item: Item, context: Any) -> None:
        """Report an object that exists but is not ready as the protocol wants it: with the object."""
        if planned.preview:
            return
        try:
            self._provider.settle(planned, item)
        except NotReadyError as error:
            _abort_unready(str(error), item, context)


def _abort_unready(reason: str, item: Item, context: Any) -> NoReturn:
    detail = AnyMessage()
    detail.Pack(
        provider_pb2.ErrorResourceInitFailed(id=item.id, properties=item.outputs, inputs=item.inputs, reasons=[reason])
    )
    code = grpc.StatusCode.UNKNOWN
    status = status_pb2.Status(code=code.value[0], message=reason, details=[detail])
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(code, reason)
    raise AssertionError("abort never returns")


def _kind(word: str, *, replace: bool) -> Any:
    return provider_pb2.PropertyDiff.Kind.Value(f"{word}_REPLACE" if replace else word)


class Server:
    """One running provider."""

    def __init__(self, provider: SimulatedProvider) -> None:
        self.provider = provider
        self.port = 0
        self._server: Any = None
        self.revive()

    def revive(self) -> None:
        """Run (again, after a crash), on the port that the engine was told."""
        if self._server is None:
            server = grpc.server(futures.ThreadPoolExecutor(_WORKERS))
            service = _Service(self.provider, self.crash)
            provider_pb2_grpc.add_ResourceProviderServicer_to_server(service, server)
            self.port = server.add_insecure_port(f"127.0.0.1:{self.port}")
            server.start()
            self._server = server

    def crash(self) -> None:
        """Die without answering anybody; what the cloud holds survives."""
        server, self._server = self._server, None
        if server is not None:
            server.stop(grace=None)

    def stop(self) -> None:
        """Release what hangs and end."""
        self.provider.faults.release()
        if self._server is not None:
            self._server.stop(grace=1).wait()
        self.provider.close()


@contextlib.contextmanager
def serving(backend: TemporaryBackend, providers: Iterable[SimulatedProvider]) -> Iterator[list[Server]]:
    """Run providers for the time of a block."""
    servers: list[Server] = []
    try:
        for provider in providers:
            provider.backend = backend
            servers.append(Server(provider))
        yield servers
    finally:
        for server in servers:
            server.stop()


def attached(servers: list[Server]) -> dict[str, str]:
    """Give the variable that makes the engine use these servers."""
    pairs = ",".join(f"{server.provider.package}:{server.port}" for server in servers)
    return {"PULUMI_DEBUG_PROVIDERS": pairs} if servers else {}


@contextlib.contextmanager
def simulate(backend: TemporaryBackend, *providers: SimulatedProvider) -> Iterator[dict[str, str]]:
    """Start providers for the time of a block; give the variables that bind the CLI to them and to the backend.

    For previews without credentials, outside of pytest: run `pulumi` with `os.environ | variables`.
    """
    with serving(backend, providers) as servers:
        yield backend.environment() | attached(servers)
