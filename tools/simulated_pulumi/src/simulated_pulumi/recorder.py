"""The engine's side of the wire, in process: it records what a program registers and answers at once.

Three objects stand where the SDK expects its own: the monitor (resources, invokes), the engine (logs) and the RPC
manager. The last one is called while a constructor still runs, so it sees where in the program a resource is made.
Transforms run; hooks are accepted and never run, as nothing is ever created.
"""

from __future__ import annotations

import sys
from collections import deque
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pulumi
from google.protobuf import empty_pb2
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct
from pulumi.runtime.proto import engine_pb2, provider_pb2, resource_pb2
from pulumi.runtime.rpc_manager import RPCManager
from pulumi.runtime.settings import get_root_resource

from simulated_pulumi import values
from simulated_pulumi.errors import HungError, UnknownInvokeError
from simulated_pulumi.facts import Asked
from simulated_pulumi.graph import Graph, Invoke, Log, Resource
from simulated_pulumi.providers.computed import computed
from simulated_pulumi.transforms import Transforms

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import FrameType

    from simulated_pulumi.facts import Facts, Outputs
    from simulated_pulumi.providers.base import SimulatedProvider

STACK_TYPE: Final = "pulumi:pulumi:Stack"
SDK_ROOT: Final = str(Path(pulumi.__file__).parent)
OWN_ROOT: Final = str(Path(__file__).parent)
_INVOKE_RESPONSE: Final = getattr(resource_pb2, "ResourceInvokeResponse", provider_pb2.InvokeResponse)
"""SDKs since 3.260 have a type of their own for it."""

PROGRAM_CALL: Final = ("simulated_pulumi.runner", "_called")
"""Module and function that call the program: a registration below it is part of the program's straight run."""

_TASK_BOUNDARY: Final = ("_run", "events.py")
_PLAIN_OPTIONS: Final = (
    "ignoreChanges",
    "replaceOnChanges",
    "deleteBeforeReplace",
    "retainOnDelete",
    "additionalSecretOutputs",
    "importId",
    "customTimeouts",
    "pluginDownloadURL",
    "remote",
)


@dataclass(eq=False)
class Origin:
    """Where in the program a resource was made."""

    resource: Any
    type: str
    name: str
    source: str
    enclosing: Any
    """The component whose constructor was running, or None."""

    detached: bool
    """Made in a task or an apply, not by the program's straight run."""

    in_apply: bool

    def __str__(self) -> str:
        return f"{self.type} {self.name!r} ({self.source})"


@dataclass(eq=False)
class Registration:
    """One request, and what was answered."""

    request: Any
    urn: str
    id: str
    outputs: Struct
    read: bool
    origin: Origin | None
    registered: Struct | None = None


@dataclass
class Recording:
    """All that one run of a program asked for."""

    facts: Facts
    preview: bool
    root_urn: str = ""
    registrations: list[Registration] = field(default_factory=list)
    origins: list[Origin] = field(default_factory=list)
    waiting: dict[tuple[str, str], deque[Origin]] = field(default_factory=dict)
    """Origins whose request has not arrived yet, by type and name."""

    duplicates: list[tuple[Registration, Registration]] = field(default_factory=list)
    invokes: list[Invoke] = field(default_factory=list)
    logs: list[Log] = field(default_factory=list)
    exports: Struct | None = None
    lost_exports: list[str] = field(default_factory=list)
    """Names of exports whose output has no value: the SDK leaves them out."""

    failures: list[BaseException] = field(default_factory=list)
    closed: bool = False
    by_urn: dict[str, Registration] = field(default_factory=dict)

    def graph(self) -> Graph:
        """Freeze what was recorded."""
        return Graph(
            project=self.facts.project,
            stack=self.facts.stack,
            resources=tuple(_freeze(item, self.root_urn) for item in self.registrations),
            output_bag=self.exports,
            invokes=tuple(self.invokes),
            logs=tuple(self.logs),
            preview=self.preview,
        )


class RecordingRpcManager(RPCManager):
    """Notes the place of every registration before it is handed to the event loop."""

    def __init__(self, recording: Recording) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._recording = recording

    def do_rpc(self, name: str, rpc_function: Any) -> Any:
        """See the base class."""
        if name in ("register resource", "read resource"):
            frame = sys._getframe(1)  # noqa: SLF001  (the one way to see the constructor that is running)
            origin = origin_of(frame)
            self._recording.origins.append(origin)
            self._recording.waiting.setdefault((origin.type, origin.name), deque()).append(origin)
        return super().do_rpc(name, rpc_function)


class Monitor:
    """Answers the resource monitor's calls; each method is one call of the protocol, hence the names."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._facts = recording.facts
        self._stack_transforms: list[str] = []
        self._invoke_transforms: list[str] = []
        self.transforms = Transforms(self)

    def SupportsFeature(self, request: Any) -> Any:  # noqa: N802
        """Support all but output values, which would hide plain inputs of remote components."""
        return resource_pb2.SupportsFeatureResponse(hasSupport=request.id != "outputValues")

    def GetDeploymentInfo(self, request: Any) -> Any:  # noqa: N802, ARG002
        """Name what is supported, as SDKs since 3.260 ask for it: as above."""
        left_out = {"RESOURCE_MONITOR_FEATURE_OUTPUT_VALUES", "RESOURCE_MONITOR_FEATURE_INVOKE_DEPENDS_ON"}
        known = resource_pb2.ResourceMonitorFeature.items()
        return resource_pb2.DeploymentInfo(supportedFeatures=[value for name, value in known if name not in left_out])

    def ExistsResource(self, request: Any) -> Any:  # noqa: N802
        """Say whether the program itself has looked up or made an object with this id."""
        found = (item.request.type == request.type and item.id == request.id for item in self._recording.registrations)
        return resource_pb2.ExistsResourceResponse(exists=any(found))  # type: ignore[attr-defined]

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802
        """Record a resource and answer with its inputs and the outputs of `pulumi_outputs`."""
        self._refuse_when_closed()
        urn = self._urn(request)
        if request.type == STACK_TYPE:
            self._recording.root_urn = urn
            return resource_pb2.RegisterResourceResponse(urn=urn)
        tokens = [*self._own_and_inherited(request), *self._stack_transforms]
        origin = self._origin(request)
        if tokens:
            request = self.transforms.apply(request, tokens)
        given = self._given_outputs(request, None)
        identity = "" if self._recording.preview or not request.custom else request.importId or f"{request.name}-id"
        identity = str(given.pop("id", identity)) if not self._recording.preview else identity
        far = request.remote and self._provider(request.type) is not None
        # A component of a provider gives its outputs alone: an input of the same name may have another type.
        outputs = self._answer(Struct() if far else request.object, given)
        self._record(Registration(request, urn, identity, outputs, read=False, origin=origin))
        return resource_pb2.RegisterResourceResponse(urn=urn, id=identity, object=outputs)

    def ReadResource(self, request: Any) -> Any:  # noqa: N802
        """Record a lookup of something that exists already."""
        self._refuse_when_closed()
        urn = self._urn(request)
        given = self._given_outputs(request, request.id)
        given.pop("id", None)
        outputs = self._answer(request.properties, given)
        self._record(Registration(request, urn, request.id, outputs, read=True, origin=self._origin(request)))
        return resource_pb2.ReadResourceResponse(urn=urn, properties=outputs)

    def RegisterResourceOutputs(self, request: Any) -> Any:  # noqa: N802
        """Keep a component's outputs and the program's exports."""
        if request.urn == self._recording.root_urn:
            self._recording.exports = request.outputs
            exported = getattr(get_root_resource(), "outputs", {})
            awaited = {name for name, value in exported.items() if isinstance(value, pulumi.Output)}
            self._recording.lost_exports = sorted(awaited - request.outputs.fields.keys())
        elif request.urn in self._recording.by_urn:
            self._recording.by_urn[request.urn].registered = request.outputs
        return empty_pb2.Empty()

    def Invoke(self, request: Any) -> Any:  # noqa: N802
        """Answer a provider's function from `pulumi_answers`.

        Raises: UnknownInvokeError.
        """
        self._refuse_when_closed()
        if self._invoke_transforms and isinstance(request, resource_pb2.ResourceInvokeRequest):
            request = self.transforms.apply_to_invoke(request, self._invoke_transforms)
        args = values.decode(request.args).value
        if request.tok == "pulumi:pulumi:getResource":
            return _INVOKE_RESPONSE(**{"return": self._state(args["urn"])})
        source = program_line(sys._getframe(1))  # noqa: SLF001
        self._recording.invokes.append(Invoke(request.tok, args, _urn_of(request.provider), source))
        provider = self._provider(request.tok)
        if request.tok not in self._facts.answers and provider is not None:
            provider.config = self._config(request.provider)
            return _INVOKE_RESPONSE(**{"return": values.encode_bag(provider.call(request.tok, args))})
        if request.tok not in self._facts.answers:
            known = ", ".join(sorted(self._facts.answers)) or "nothing"
            raise UnknownInvokeError(
                f"the program calls {request.tok} with {args!r} (from {source}), which has no answer; "
                f"the fixture pulumi_answers knows {known}: add {{{request.tok!r}: {{…}}}} to it"
            )
        answer = self._facts.answers[request.tok]
        result = dict(answer(args) if callable(answer) else answer)
        return _INVOKE_RESPONSE(**{"return": values.encode_bag(result)})

    def Call(self, request: Any) -> Any:  # noqa: N802
        """Answer a method of a resource like a function."""
        return provider_pb2.CallResponse(**{"return": getattr(self.Invoke(request), "return")})

    def RegisterStackTransform(self, request: Any) -> Any:  # noqa: N802
        """Run this transform for every later resource."""
        self._stack_transforms.append(request.token)
        return empty_pb2.Empty()

    def RegisterStackInvokeTransform(self, request: Any) -> Any:  # noqa: N802
        """Run this transform for every later invoke."""
        self._invoke_transforms.append(request.token)
        return empty_pb2.Empty()

    def RegisterResourceHook(self, request: Any) -> Any:  # noqa: N802, ARG002
        """Accept a hook; without an engine there is nothing it could hook into."""
        return empty_pb2.Empty()

    def RegisterErrorHook(self, request: Any) -> Any:  # noqa: N802, ARG002
        """Accept a hook."""
        return empty_pb2.Empty()

    def RegisterPackage(self, request: Any) -> Any:  # noqa: N802
        """Accept a parameterized package."""
        return resource_pb2.RegisterPackageResponse(ref=f"{request.name}-{request.version}")

    def SignalAndWaitForShutdown(self, request: Any) -> Any:  # noqa: N802, ARG002
        """Let the program end."""
        return empty_pb2.Empty()

    def _refuse_when_closed(self) -> None:
        if self._recording.closed:
            raise HungError("this program was given up; it cannot register anything any more")

    def _own_and_inherited(self, request: Any) -> list[str]:
        """Give the transforms of a resource and of its parents, inner ones first."""
        tokens = [callback.token for callback in request.transforms]
        parent = self._recording.by_urn.get(request.parent)
        return tokens if parent is None else tokens + self._own_and_inherited(parent.request)

    def _urn(self, request: Any) -> str:
        """Make the URN that a real engine makes: the types of all ancestors, the stack left out."""
        parent = request.parent.split("::")[2] if request.parent else STACK_TYPE
        chain = request.type if parent == STACK_TYPE else f"{parent}${request.type}"
        return f"urn:pulumi:{self._facts.stack}::{self._facts.project}::{chain}::{request.name}"

    def _given_outputs(self, request: Any, identity: str | None) -> dict[str, Any]:
        given: Outputs | None = self._facts.outputs.get(request.type)
        if given is None and request.type == "pulumi:pulumi:StackReference":
            raise UnknownInvokeError(
                f"the program reads the stack {identity!r}, which has no answer: "
                "add {'pulumi:pulumi:StackReference': {'outputs': {…}}} to the fixture pulumi_outputs"
            )
        provider = self._provider(request.type)
        if given is None and provider is not None:
            given = partial(computed, provider)
        if given is None:
            return {}
        if callable(given):
            bag = request.properties if identity is not None else request.object
            config = self._config(request.provider)
            given = given(Asked(request.type, request.name, values.decode(bag).value, identity, config))
        return dict(given)

    def _config(self, reference: str) -> dict[str, Any]:
        """Give the inputs of an explicit provider, by its `urn::id`."""
        registration = self._recording.by_urn.get(_urn_of(reference) or "")
        return {} if registration is None else values.decode(registration.request.object).value

    def _provider(self, token: str) -> SimulatedProvider | None:
        package = token.split(":", 1)[0]
        return next((each for each in self._facts.providers if each.package == package), None)

    def _answer(self, inputs: Struct, given: Mapping[str, Any]) -> Struct:
        if not given:
            return inputs
        outputs = Struct()
        outputs.CopyFrom(inputs)
        for key, value in given.items():
            unknown = self._recording.preview and key not in inputs.fields
            outputs.fields[key].CopyFrom(values.encode(values.UNKNOWN if unknown else value))
        return outputs

    def _origin(self, request: Any) -> Origin | None:
        """Find the constructor call behind a request: the oldest one of that type and name that has not landed."""
        waiting = self._recording.waiting.get((request.type, request.name))
        return waiting.popleft() if waiting else None

    def _record(self, registration: Registration) -> None:
        recording = self._recording
        if registration.urn in recording.by_urn:
            recording.duplicates.append((recording.by_urn[registration.urn], registration))
        recording.by_urn[registration.urn] = registration
        recording.registrations.append(registration)

    def _state(self, urn: str) -> Struct:
        registration = self._recording.by_urn[urn]
        state = Struct()
        state.update({"urn": urn, "id": registration.id})
        state.fields["state"].struct_value.CopyFrom(registration.outputs)
        return state


class Engine:
    """Answers the engine's calls: it keeps the log."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording

    def Log(self, request: Any) -> Any:  # noqa: N802
        """Keep all but debug messages."""
        if request.severity != engine_pb2.DEBUG:
            severity = engine_pb2.LogSeverity.Name(request.severity).lower()
            self._recording.logs.append(Log(severity, request.message, request.urn))
        return empty_pb2.Empty()

    def RequirePulumiVersion(self, request: Any) -> Any:  # noqa: N802, ARG002
        """Accept: there is no engine whose version could be wrong."""
        return engine_pb2.RequirePulumiVersionResponse()


def origin_of(frame: FrameType) -> Origin:
    """Say where the registration that runs in this frame of the SDK comes from."""
    scope = frame.f_locals
    resource = scope["res"]
    source, enclosing, in_apply, straight = "", None, False, False
    package = _generated_package(resource)
    current: FrameType | None = frame
    while current is not None and not _is_task_boundary(current):
        module = current.f_globals.get("__name__", "")
        name = current.f_code.co_name
        if module == "pulumi.output" and name == "run":
            in_apply = True
        elif (module, name) == PROGRAM_CALL:
            straight = True
            break
        elif not module.startswith("pulumi.") and module != "pulumi":
            owner = _owner(current)
            if owner is not resource and (package is None or module.split(".", 1)[0] != package):
                source = source or f"{current.f_code.co_filename}:{current.f_lineno}"
                if enclosing is None and name == "__init__" and isinstance(owner, pulumi.ComponentResource):
                    enclosing = owner
        current = current.f_back
    return Origin(
        resource=resource,
        type=scope["ty"],
        name=scope["name"],
        source=source or "unknown line",
        enclosing=enclosing,
        detached=not straight,
        in_apply=in_apply,
    )


def program_line(frame: FrameType | None) -> str:
    """Give `path:line` of the program's innermost frame, or say that there is none."""
    while frame is not None:
        if is_program_file(frame.f_code.co_filename):
            return f"{frame.f_code.co_filename}:{frame.f_lineno}"
        frame = frame.f_back
    return "unknown line"


def is_program_file(path: str) -> bool:
    """Tell the program's own files from those of Python, the SDKs and this package."""
    if path.startswith(("<", SDK_ROOT, OWN_ROOT)):
        return False
    folder = path.replace("\\", "/")
    return not any(part in folder for part in ("/asyncio/", "/concurrent/futures/", "/site-packages/", "/threading.py"))


def _is_task_boundary(frame: FrameType) -> bool:
    name, file = _TASK_BOUNDARY
    return frame.f_code.co_name == name and frame.f_code.co_filename.endswith(file)


def _owner(frame: FrameType) -> Any:
    names = frame.f_code.co_varnames
    return frame.f_locals.get(names[0]) if names and names[0] in ("self", "__self__") else None


def _generated_package(resource: Any) -> str | None:
    root: str = type(resource).__module__.split(".", 1)[0]
    return root if root.startswith("pulumi_") and isinstance(resource, pulumi.CustomResource) else None


def _urn_of(reference: str) -> str | None:
    """Take the URN out of a provider reference, which is `urn::id`."""
    return reference.rsplit("::", 1)[0] or None if reference else None


def _freeze(item: Registration, root_urn: str) -> Resource:
    request = item.request
    custom = item.read or bool(request.custom)
    return Resource(
        urn=item.urn,
        type=request.type,
        name=request.name,
        custom=custom,
        cls=pulumi.Resource if item.origin is None else type(item.origin.resource),
        id=item.id or None,
        parent=None if request.parent in ("", root_urn) else request.parent,
        provider=_urn_of(request.provider),
        providers={} if item.read else {key: _urn_of(ref) or "" for key, ref in request.providers.items()},
        dependencies=tuple(sorted(request.dependencies)),
        property_dependencies={}
        if item.read
        else {key: tuple(sorted(dep.urns)) for key, dep in request.propertyDependencies.items()},
        protect=not item.read and bool(request.protect),
        aliases=() if item.read else tuple(_alias(alias) for alias in request.aliases),
        options=_options(request),
        source="unknown line" if item.origin is None else item.origin.source,
        read=item.read,
        input_bag=request.properties if item.read else request.object,
        output_bag=item.outputs,
        registered_bag=item.registered,
    )


def _alias(alias: Any) -> str:
    if alias.urn:
        return str(alias.urn)
    shown = MessageToDict(alias.spec)
    return ", ".join(f"{key}={value}" for key, value in sorted(shown.items()) if value)


def _options(request: Any) -> dict[str, Any]:
    """Keep the options that were set, by their name on the wire."""
    names = {name.name for name in request.DESCRIPTOR.fields}
    options: dict[str, Any] = {}
    for name in _PLAIN_OPTIONS:
        value = getattr(request, name) if name in names else None
        if name == "customTimeouts" and value is not None:
            value = MessageToDict(value)
        if value:
            options[name] = list(value) if isinstance(value, (list, tuple)) or hasattr(value, "append") else value
    hooks = MessageToDict(request.hooks) if "hooks" in names and request.HasField("hooks") else {}
    if hooks:
        options["hooks"] = hooks
    if "deletedWith" in names and request.deletedWith:
        options["deletedWith"] = request.deletedWith.rsplit("::", 1)[-1]
    return options
