"""The simulated Kubernetes provider that applies to a real API server: the test control plane.

The API server's answers are real: admission, defaults, quotas, schemas of custom resources, conflicts of managers. What
stands around them follows the behaviour of the official provider: names, previews, waits, drift, deletions.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import http.client
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from simulated_pulumi import values
from simulated_pulumi.providers import kubernetes_components
from simulated_pulumi.providers.base import Item, NotReadyError, Planned, RefusedError
from simulated_pulumi.providers.kubernetes import RELEASE, Kubernetes, is_cluster_scoped

from pytest_pulumi_kubernetes import kubeconfig, manifests, objects, releases
from pytest_pulumi_kubernetes.awaiting import FailedError, circumstances, waiting_for
from pytest_pulumi_kubernetes.client import ApiError, Client, Object, UnreachableError
from pytest_pulumi_kubernetes.drift import live_inputs
from pytest_pulumi_kubernetes.tools import KubeTools

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.struct_pb2 import Struct
    from simulated_pulumi.providers import schema

_POLL_SECONDS = 0.2
_RETRY_SECONDS = (0.5, 1, 2, 4)
"""Pauses before a creation is tried again whose namespace or definition is not there yet."""

_MANAGER = "__fieldManager"
_MEMBERS = "__members"
"""Outputs that the plugin adds: who owns an object's fields, and what a release consists of."""

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_CONFLICTS = (
    "https://www.pulumi.com/registry/packages/kubernetes/how-to-guides/managing-resources-with-server-side-apply/"
    "#handle-field-conflicts-on-existing-resources"
)


@dataclass
class KubernetesApi(Kubernetes):
    """Stands in for the provider `kubernetes` before an API server on loopback.

    The provider resource says which: `kubeconfig` (text or path), `context`, `namespace`. While the kubeconfig is not
    known (before the cluster exists), previews show the inputs only.
    """

    tools: KubeTools = field(default_factory=KubeTools)
    """Where Helm and kubectl are, to render charts and overlays with."""

    unproven: list[str] = field(default_factory=list)
    """Releases that were only recorded, because their chart is not on this machine: `Release namespace/name`."""

    _clients: dict[tuple[str, str], Client] = field(default_factory=dict)
    _applied: dict[str, list[Object]] = field(default_factory=dict)

    def suffix(self, planned: Planned) -> str:
        """Draw the digits of a generated name from the engine's seed."""
        return hashlib.sha256(planned.seed + planned.urn.encode()).hexdigest()[:8]

    def defaults(self, planned: Planned, old: dict[str, Any]) -> dict[str, Any]:
        """Give name and namespace; what belongs to no namespace is looked up on the server."""
        self.config = planned.config
        given = super().defaults(planned, old)
        metadata = given.get("metadata")
        if metadata is not None and (planned.inputs.get("metadata") or {}).get("namespace") is None:
            client = self._client(planned)
            namespaced = self._namespaced(client, planned)
            if namespaced is False:
                metadata.pop("namespace", None)
            elif client is not None and not planned.config.get("namespace") and "namespace" in metadata:
                metadata["namespace"] = client.connection.namespace
        return given

    def check(self, planned: Planned) -> list[schema.Problem]:
        """Leave the types to the API server, which knows them better, unless none can be asked yet."""
        return super().check(planned) if self._client(planned) is None or planned.type == RELEASE else []

    def call(self, token: str, args: dict[str, Any]) -> dict[str, Any]:
        """Decode YAML and render kustomize overlays, for the components of the SDK's first generation."""
        match token.removeprefix("kubernetes:"):
            case "yaml:decode":
                return {"result": manifests.decode(args["text"], "the manifest")}
            case "kustomize:directory":
                return {"result": manifests.render(args["directory"], self.tools)}
            case _:
                return super().call(token, args)

    def construct(self, planned: Planned, request: Any) -> Any:
        """Make resources out of YAML files, texts or a kustomize overlay."""
        if planned.type not in kubernetes_components.COMPONENTS:
            return super().construct(planned, request)
        known = not objects.unknown(planned.inputs)
        items = manifests.read(planned.type, planned.inputs, self.tools) if known else []
        client = self._client(planned)
        space = planned.inputs.get("namespace") or planned.config.get("namespace")
        for item in items:
            if self._namespaced(client, Planned("", item)) is not False and not is_cluster_scoped(item["kind"]):
                default = space or ("default" if client is None else client.connection.namespace)
                item["metadata"].setdefault("namespace", default)
        return kubernetes_components.Construction(request, self.version).run(items)

    def create(self, planned: Planned, inputs: Struct) -> Item:
        """Create an object that must not be there yet, or patch one that must (`…Patch` resources)."""
        client = self._client(planned)
        if planned.type == RELEASE:
            return self._release(planned, inputs, client)
        if planned.preview:
            return self._preview_creation(planned, inputs, client)
        client = self._required(client)
        wanted, manager = objects.wanted(planned.inputs), self._manager(planned)
        with _said(planned, "created"):
            live = self._create(client, planned, wanted, manager)
        return self._item(planned, inputs, live, manager)

    def update(self, planned: Planned, inputs: Struct) -> Item:
        """Apply the new inputs to an object that is there."""
        client = self._client(planned)
        if planned.type == RELEASE:
            return self._release(planned, inputs, client)
        if planned.preview and (client is None or objects.unknown(planned.inputs)):
            outputs = objects.merged(planned.old_outputs, planned.inputs)
            return self._item(planned, inputs, outputs, self._manager(planned))
        client = self._required(client)
        wanted, manager = objects.wanted(planned.inputs), self._manager(planned)
        with _said(planned, "updated"):
            live = self._find(client, wanted)
            if live is None:
                raise RefusedError(
                    f"{objects.title(wanted)} does not exist any more: `pulumi refresh` makes the state say so"
                )
            objects.take_ignored(wanted, live, planned.ignored)
            force = planned.preview or objects.forces(planned)
            live = client.apply(wanted, manager, force=force, dry_run=planned.preview)
        return self._item(planned, inputs, live, manager)

    def read(self, planned: Planned, inputs: Struct) -> Item | None:
        """Give an object as it is now; fields that we own and somebody changed show in its inputs."""
        client = self._required(self._client(planned))
        if planned.type == RELEASE:
            return self._read_release(planned, inputs, client)
        target = objects.identity(planned)
        with _said(planned, "read"):
            live = self._find(client, target)
        if live is None:
            return None
        manager = planned.old_outputs.get(_MANAGER) or self._manager(planned)
        new_inputs = live_inputs(planned.inputs, live, str(manager))
        bag = values.encode_bag(objects.secret(new_inputs, planned))
        if new_inputs == planned.inputs:
            bag = inputs
        return self._item(planned, bag, live, str(manager))

    def delete(self, planned: Planned) -> None:
        """Delete an object and wait until it is gone; a `…Patch` only gives up what it owns."""
        client = self._required(self._client(planned))
        if planned.type == RELEASE:
            with _said(planned, "deleted"):
                releases.uninstall(client, planned.old_outputs.get(_MEMBERS) or (), objects.timeout_seconds(planned))
            return
        target = objects.identity(planned)
        with _said(planned, "deleted"):
            live = self._find(client, target)
            if live is None:
                return
            if objects.is_patch(planned):
                bare = {"apiVersion": live["apiVersion"], "kind": live["kind"], "metadata": objects.names(live)}
                client.apply(bare, str(planned.old_outputs.get(_MANAGER) or self._manager(planned)))
                return
            metadata = live["metadata"]
            client.delete(
                live["apiVersion"],
                live["kind"],
                metadata["name"],
                metadata.get("namespace"),
                objects.propagation(planned),
            )
            self._await_deletion(client, planned, live)

    def settle(self, planned: Planned, item: Item) -> None:
        """Wait for what the official provider waits for."""
        super().settle(planned, item)
        skips = objects.annotated(planned, "skipAwait") == "true"
        if planned.preview or skips or objects.is_patch(planned):
            return
        client = self._required(self._client(planned))
        if planned.type == RELEASE:
            releases.await_ready(client, self._applied.pop(item.id, ()), releases.timeout_seconds(planned.inputs))
            return
        deadline = time.monotonic() + objects.timeout_seconds(planned)
        identity = objects.identity(planned, item.id)
        title, manager = objects.title(identity), str(item.values.get(_MANAGER) or "")
        while True:
            live, reason = self._look(client, identity)
            if live is not None:
                item.outputs.CopyFrom(self._outputs(planned, live, manager))
            if reason is None:
                return
            if time.monotonic() > deadline:
                more = "" if live is None else circumstances(live, client)
                raise NotReadyError(
                    f"{title} did not become ready in {objects.timeout_seconds(planned):g} s: {reason}{more}"
                )
            if self.faults.released.wait(_POLL_SECONDS):
                raise NotReadyError(f"{title} is not ready, and the update was cancelled: {reason}")

    def close(self) -> None:
        """Close the connections to API servers."""
        for client in self._clients.values():
            client.close()

    # How it is done.

    def _client(self, planned: Planned) -> Client | None:
        """Give the client of a provider resource; None while its kubeconfig is unknown.

        Raises: RefusedError.
        """
        config = planned.config
        text, context = config.get("kubeconfig"), config.get("context") or ""
        if text is values.UNKNOWN or context is values.UNKNOWN:
            return None
        if not text:
            raise RefusedError("the provider resource has no `kubeconfig`: pass the one of a test control plane")
        if (text, context) not in self._clients:
            try:
                connection = kubeconfig.connect(str(text), str(context))
            except kubeconfig.KubeconfigError as error:
                raise RefusedError(str(error)) from error
            if urlsplit(connection.server).hostname not in _LOOPBACK:
                raise RefusedError(
                    f"the simulated provider applies only to an API server on loopback, not to {connection.server}"
                )
            self._clients[text, context] = Client(connection)
        return self._clients[text, context]

    @staticmethod
    def _required(client: Client | None) -> Client:
        if client is None:
            raise RefusedError("the provider resource's kubeconfig is not known: its cluster does not exist yet")
        return client

    @staticmethod
    def _namespaced(client: Client | None, planned: Planned) -> bool | None:
        """Say whether the server keeps this kind in namespaces; None if it does not know the kind, or cannot say."""
        version, kind = planned.inputs.get("apiVersion"), planned.inputs.get("kind")
        if client is None or not isinstance(version, str) or not isinstance(kind, str):
            return None
        try:
            return client.resource(version, kind).namespaced
        except (ApiError, UnreachableError):
            return None

    def _find(self, client: Client, wanted: Object) -> Object | None:
        metadata = wanted["metadata"]
        namespace = metadata.get("namespace")
        return client.find(wanted["apiVersion"], wanted["kind"], metadata["name"], namespace)

    def _look(self, client: Client, identity: Object) -> tuple[Object | None, str | None]:
        """Give an object and what it still lacks.

        Raises: NotReadyError if it will never have it.
        """
        try:
            live = self._find(client, identity)
            return live, "it is not there" if live is None else waiting_for(live, client)
        except UnreachableError as error:
            return None, str(error)
        except (FailedError, ApiError) as error:
            raise NotReadyError(f"{objects.title(identity)} does not become ready: {error}") from error

    def _create(self, client: Client, planned: Planned, wanted: Object, manager: str) -> Object:
        upserts = objects.is_patch(planned) or objects.truth(planned.config.get("upsertExistingObjects"))
        for pause in (*_RETRY_SECONDS, None):
            try:
                if not upserts and self._find(client, wanted) is not None:
                    raise RefusedError(
                        f"{objects.title(wanted)} already exists: use an alias if the resource was renamed, a Patch "
                        "resource to manage some of its fields, or `pulumi import`"
                    )
                return client.apply(wanted, manager, force=objects.forces(planned))
            except ApiError as error:
                if error.code != http.client.NOT_FOUND or pause is None or self.faults.released.wait(pause):
                    raise
        raise AssertionError("the last attempt returns or raises")

    def _preview_creation(self, planned: Planned, inputs: Struct, client: Client | None) -> Item:
        """Let the server judge a creation, where everything about it is known and what it needs is there."""
        if client is not None and not objects.unknown(planned.inputs):
            try:
                with _said(planned, "created"):
                    client.apply(objects.wanted(planned.inputs), self._manager(planned), force=True, dry_run=True)
            except RefusedError as error:
                if not _passes_at_preview(error.__cause__, planned):
                    raise
        outputs = planned.inputs | {"status": values.UNKNOWN}
        if planned.inputs.get("kind") == "Service":
            outputs["spec"] = {"clusterIP": values.UNKNOWN, "clusterIPs": values.UNKNOWN} | (outputs.get("spec") or {})
        return self._item(planned, inputs, outputs, self._manager(planned))

    def _await_deletion(self, client: Client, planned: Planned, live: Object) -> None:
        uid, deadline = live["metadata"].get("uid"), time.monotonic() + objects.timeout_seconds(planned)
        while True:
            found = self._find(client, live)
            if found is None or found["metadata"].get("uid") != uid:
                return
            if time.monotonic() > deadline:
                left = ", ".join(found["metadata"].get("finalizers") or ()) or "none"
                waited = f"{objects.timeout_seconds(planned):g} s"
                raise RefusedError(f"{objects.title(live)} is not gone after {waited}; finalizers left: {left}")
            if self.faults.released.wait(_POLL_SECONDS):
                raise RefusedError(f"{objects.title(live)} is not gone yet, and the update was cancelled")

    def _release(self, planned: Planned, inputs: Struct, client: Client | None) -> Item:
        """Install or upgrade a release, or note that it was only recorded."""
        title = f"Release {self.claim(planned)}"
        members = list(planned.old_outputs.get(_MEMBERS) or ())
        applied: list[Object] = []
        if planned.preview and releases.has_chart(planned.inputs) and not objects.unknown(planned.inputs):
            releases.render(planned.inputs, self.tools)
        elif not planned.preview and releases.has_chart(planned.inputs):
            with _said(planned, "installed"):
                client = self._required(client)
                items = releases.render(planned.inputs, self.tools)
                releases.ensure_namespace(client, planned.inputs)
                applied = releases.install(client, planned.inputs, items)
                kept = [releases.member(item) for item in applied]
                gone = [item for item in members if item not in kept]
                releases.uninstall(client, gone, releases.timeout_seconds(planned.inputs))
                members = kept
        elif not planned.preview:
            with _said(planned, "installed"):
                releases.ensure_namespace(self._required(client), planned.inputs)
            self.unproven.append(title)
        item = self._release_item(planned, inputs, members)
        if applied and not planned.inputs.get("skipAwait"):
            self._applied[item.id] = applied
        return item

    def _release_item(self, planned: Planned, inputs: Struct, members: list[Object]) -> Item:
        item = Item(
            planned.urn, planned.type, planned.id or self.identify(planned), inputs, self.outputs(planned, inputs)
        )
        if planned.preview:
            return item
        named: dict[str, list[str]] = {}
        for one in members:
            named.setdefault(f"{one['kind']}/{one['apiVersion']}", []).append("/".join(objects.names(one).values()))
        item.outputs.MergeFrom(values.encode_bag({"resourceNames": named, _MEMBERS: members}))
        return item

    def _read_release(self, planned: Planned, inputs: Struct, client: Client) -> Item | None:
        """Give a release as it was recorded; none if everything that was applied for it is gone."""
        members = planned.old_outputs.get(_MEMBERS) or []
        with _said(planned, "read"):
            if members and all(self._find(client, member) is None for member in members):
                return None
        return self._release_item(planned, inputs, members)

    @staticmethod
    def _manager(planned: Planned) -> str:
        given = objects.annotated(planned, "patchFieldManager") or planned.old_outputs.get(_MANAGER)
        return str(given or f"pulumi-kubernetes-{hashlib.sha256(planned.urn.encode()).hexdigest()[:8]}")

    def _item(self, planned: Planned, inputs: Struct, live: Object, manager: str) -> Item:
        identity = planned.id or ("" if planned.preview else self.claim(planned))
        return Item(planned.urn, planned.type, identity, inputs, self._outputs(planned, live, manager))

    @staticmethod
    def _outputs(planned: Planned, live: Object, manager: str) -> Struct:
        shown = copy.deepcopy(live)
        if isinstance(shown.get("metadata"), dict):
            shown["metadata"].pop("managedFields", None)
        return values.encode_bag(objects.secret(shown, planned) | {_MANAGER: manager})


@contextlib.contextmanager
def _said(planned: Planned, what: str) -> Iterator[None]:
    """Turn what the server says into the provider's error, with the object's name."""
    title = objects.title(objects.identity(planned))
    try:
        yield
    except UnreachableError as error:
        raise RefusedError(f"{title} was not {what}: {error}") from error
    except ApiError as error:
        reason = f"{title} was not {what} by the Kubernetes API server: {error}"
        if error.code == http.client.CONFLICT and error.reason == "Conflict":
            reason = f"{reason}\nserver-side apply field conflict detected, see {_CONFLICTS}"
        raise RefusedError(reason) from error


def _passes_at_preview(cause: BaseException | None, planned: Planned) -> bool:
    """Tell a refusal that the update may not meet: what it misses may be made by then, or replaced."""
    if not isinstance(cause, ApiError):
        return False
    replaced = cause.code == http.client.UNPROCESSABLE_ENTITY and "immutable" in str(cause)
    account = planned.inputs.get("kind") == "Pod" and "service account" in str(cause)
    return cause.code == http.client.NOT_FOUND or replaced or account
