"""A provider that the real engine loads over gRPC and that keeps its cloud in memory.

A subclass says its package and, as far as wanted, how it names, identifies and computes; the rest is here: checks
against the SDK's types, diffs with replacements, previews with unknowns, secrets, lookups, faults, and the refusal to
change anything outside of a temporary backend. Resource methods of the protocol (`Call`) are left out.
"""

from __future__ import annotations

import fnmatch
import hashlib
import importlib.metadata
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from simulated_pulumi import values
from simulated_pulumi.providers import schema
from simulated_pulumi.providers.faults import Faults, Operation

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from google.protobuf.struct_pb2 import Struct

    from simulated_pulumi.backend import TemporaryBackend
    from simulated_pulumi.values import Answer


class RefusedError(Exception):
    """The simulated cloud says no; the message is what the engine shows."""


class NotReadyError(RefusedError):
    """An object was made or changed but does not become ready: the engine keeps it, with its reasons."""


@dataclass
class Planned:
    """One resource that a provider is asked about."""

    urn: str
    inputs: dict[str, Any]
    id: str = ""
    """Empty before it is created."""

    preview: bool = False
    generation: int = 0
    """How many objects this resource had before."""

    old_inputs: dict[str, Any] = field(default_factory=dict)
    """The inputs of the last successful operation, as far as the engine sends them."""

    old_outputs: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    """The configuration of the provider resource that this resource belongs to."""

    timeout_seconds: float = 0
    """The resource option `custom_timeouts`; 0 if it is not given."""

    ignored: tuple[str, ...] = ()
    """The resource option `ignore_changes`."""

    secrets: frozenset[str] = frozenset()
    """Paths of the inputs that are secret."""

    seed: bytes = b""
    """What the engine gives to draw generated names from."""

    @property
    def type(self) -> str:
        """The type token."""
        return self.urn.split("::")[2].rsplit("$", 1)[-1]

    @property
    def name(self) -> str:
        """The logical name."""
        return self.urn.split("::", 3)[3]

    def digest(self, length: int, salt: str = "") -> str:
        """Give hexadecimal digits that are always the same for this object, and others for its replacement."""
        return hashlib.sha256(f"{self.urn} {self.id or self.generation} {salt}".encode()).hexdigest()[:length]


@dataclass
class Item:
    """One object in the simulated cloud."""

    urn: str
    type: str
    id: str
    inputs: Struct
    outputs: Struct
    claim: str = ""
    """The physical name that no other object may have; empty where names may repeat."""

    @property
    def values(self) -> dict[str, Any]:
        """The outputs as plain values."""
        return values.decode(self.outputs).value

    def change(self, **changed: Any) -> None:
        """Change the object behind Pulumi's back, as a person on a console would."""
        for key, value in changed.items():
            for bag in (self.outputs, self.inputs):
                if bag is self.outputs or key in bag.fields:
                    bag.fields[key].CopyFrom(values.encode(value))


@dataclass
class SimulatedProvider:
    """Base of the simulated providers."""

    package: ClassVar[str] = ""
    """The first segment of its tokens."""

    sdk: ClassVar[str | None] = None
    """The Python package whose classes say what is allowed; None checks nothing."""

    immutable: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Type pattern to input paths whose change replaces the resource."""

    ignored_config: ClassVar[tuple[str, ...]] = ()
    """Settings of the provider itself whose change is none, such as a path on the machine at hand."""

    replacing_config: ClassVar[tuple[str, ...]] = ()
    """Settings of the provider itself whose change replaces it, and with it whatever it made."""

    answers: Mapping[str, Answer] = field(default_factory=dict)
    """Functions by token: a dictionary, or a function of the arguments."""

    faults: Faults = field(default_factory=Faults)
    items: dict[tuple[str, str], Item] = field(default_factory=dict)
    """The cloud: objects by type and id."""

    log: list[Operation] = field(default_factory=list)
    """Every operation, in order."""

    config: dict[str, Any] = field(default_factory=dict)
    """The configuration of the provider resource that was configured last."""

    backend: TemporaryBackend | None = None
    _births: dict[str, int] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def version(self) -> str:
        """The SDK's version, which is what its programs ask for; 1.0.0 where nothing says it."""
        try:
            return "1.0.0" if self.sdk is None else importlib.metadata.version(self.sdk.replace("_", "-"))
        except importlib.metadata.PackageNotFoundError:  # an SDK in a folder of the program
            return "1.0.0"

    def item(self, type_: str = "*", name: str = "*") -> Item:
        """Give the only object of a type (pattern) with a logical name.

        Raises: LookupError.
        """
        found = [
            item
            for item in self.items.values()
            if fnmatch.fnmatchcase(item.type, type_) and fnmatch.fnmatchcase(item.urn.rsplit("::", 1)[-1], name)
        ]
        if len(found) != 1:
            there = ", ".join(sorted(item.urn.split("::", 2)[2] for item in self.items.values())) or "nothing"
            raise LookupError(f"{len(found)} objects match {type_} {name}; there is: {there}")
        return found[0]

    def births(self, urn: str) -> int:
        """Count the objects that a resource has had."""
        return self._births.get(urn, 0)

    def lose(self, item: Item) -> None:
        """Delete an object behind Pulumi's back."""
        del self.items[item.type, item.id]

    # What a subclass may say.

    def shape(self, token: str) -> schema.Shape | None:
        """Give the inputs and outputs of a type; None where nothing says what they are.

        Raises: schema.UnknownTypeError.
        """
        return None if self.sdk is None else schema.shape_of(self.sdk, token)

    def check(self, planned: Planned) -> list[schema.Problem]:
        """List what is wrong with the inputs; the SDK's types say so here."""
        try:
            shape = self.shape(planned.type)
        except schema.UnknownTypeError as error:
            return [schema.Problem("", str(error))]
        return [] if shape is None else schema.check_fields(planned.inputs, shape.inputs, shape.required, "")

    def defaults(self, planned: Planned, old: dict[str, Any]) -> dict[str, Any]:
        """Give inputs that the provider adds, such as generated names; `old` holds the last checked inputs."""
        del planned, old
        return {}

    def claim(self, planned: Planned) -> str:
        """Give the physical name that no second object of this type may have; empty for none."""
        del planned
        return ""

    def named_by_user(self, planned: Planned) -> bool:
        """Say whether the physical name is fixed, so that a replacement must delete first."""
        return self.claim(planned) != "" and not planned.inputs.get("__defaults")

    def identify(self, planned: Planned) -> str:
        """Give the id of a new object."""
        return f"{planned.name}-{planned.digest(8)}"

    def compute(self, planned: Planned) -> dict[str, Any]:
        """Give the outputs beyond the inputs; in a preview of a creation their values are hidden, not their names."""
        del planned
        return {}

    def replaces(self, planned: Planned) -> Iterable[str]:
        """Give the paths of inputs whose change replaces this resource."""
        paths = [path for pattern, some in self.immutable.items() if _matches(planned.type, pattern) for path in some]
        try:
            shape = self.shape(planned.type)
        except schema.UnknownTypeError:
            return paths
        return paths if shape is None else [*paths, *shape.replaces]

    def kept(self, planned: Planned) -> dict[str, Any]:
        """Give what the cloud kept of the last inputs, which new inputs are compared with."""
        return planned.old_inputs

    def known_at_preview(self, planned: Planned) -> Iterable[str]:
        """Give the outputs that are known before the creation."""
        del planned
        return ()

    def settle(self, planned: Planned, item: Item) -> None:
        """Wait until a created or changed object is ready, and renew its outputs.

        Raises: NotReadyError if it does not become ready.
        """
        del planned, item

    def call(self, token: str, args: dict[str, Any]) -> dict[str, Any]:
        """Answer a function.

        Raises: RefusedError.
        """
        if token not in self.answers:
            known = ", ".join(sorted(self.answers)) or "none"
            raise RefusedError(f"{token} has no simulated answer; pass answers={{{token!r}: {{…}}}} (known: {known})")
        answer = self.answers[token]
        return dict(answer(args) if callable(answer) else answer)

    def close(self) -> None:
        """Let go of what is open; the engine asks nothing any more."""

    def construct(self, planned: Planned, request: Any) -> Any:
        """Make a component of the provider's own with what is in it; `request` is the protocol's, for the engine.

        Raises: RefusedError.
        """
        del request
        raise RefusedError(f"the simulated provider {self.package!r} makes no components: {planned.type}")

    # What the server asks.

    def guard(self, urn: str) -> None:
        """Refuse to change anything unless an update of this stack runs on the temporary backend."""
        if self.backend is None or not self.backend.is_updating(urn):
            raise RefusedError(
                f"the simulated provider {self.package!r} changes nothing outside of a temporary backend of "
                "simulated-pulumi; this update runs elsewhere"
            )

    def create(self, planned: Planned, inputs: Struct) -> Item:
        """Make an object, or say what it would be."""
        with self.lock:
            planned.generation = self.births(planned.urn)
            planned.id = "" if planned.preview else self.identify(planned)
            item = Item(
                planned.urn, planned.type, planned.id, inputs, self.outputs(planned, inputs), self.claim(planned)
            )
            if not planned.preview:
                self.remember(item)
        return item

    def remember(self, item: Item) -> None:
        """Put a new object into the cloud.

        Raises: RefusedError if its name is taken.
        """
        for other in self.items.values():
            if other.type == item.type and (other.id == item.id or (item.claim and other.claim == item.claim)):
                raise RefusedError(f"{item.type} {item.claim or item.id!r} already exists")
        self._births[item.urn] = self.births(item.urn) + 1
        self.items[item.type, item.id] = item

    def read(self, planned: Planned, inputs: Struct) -> Item | None:
        """Give an object as it is now; None if there is none. `inputs` are those of the last update, with secrets."""
        del inputs
        return self.items.get((planned.type, planned.id))

    def delete(self, planned: Planned) -> None:
        """Take an object out of the cloud; that it is gone already is fine."""
        self.items.pop((planned.type, planned.id), None)

    def update(self, planned: Planned, inputs: Struct) -> Item:
        """Change an object, or say what it would become."""
        item = Item(planned.urn, planned.type, planned.id, inputs, self.outputs(planned, inputs), self.claim(planned))
        if not planned.preview:
            with self.lock:
                if (planned.type, planned.id) not in self.items:
                    raise RefusedError(f"{planned.type} {planned.id!r} does not exist any more")
                self.items[planned.type, planned.id] = item
        return item

    def outputs(self, planned: Planned, inputs: Struct) -> Struct:
        """Put the computed values to the inputs; secrets in the inputs stay secret."""
        outputs = type(inputs)()
        for key, value in inputs.fields.items():
            if not key.startswith("__"):
                outputs.fields[key].CopyFrom(value)
        creating = planned.preview and planned.id == ""
        known = set(self.known_at_preview(planned))
        for key, value in self.compute(planned).items():
            hidden = creating and key not in known
            outputs.fields[key].CopyFrom(values.encode(values.UNKNOWN if hidden else value))
        return outputs


def _matches(token: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(token, pattern)
