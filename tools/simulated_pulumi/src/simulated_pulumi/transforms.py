"""Transforms of resources and invokes, run as the engine runs them, but in process.

The SDK keeps them in a callback server that the engine would call over the network. Here the same object is used
without its server, and called directly: first a resource's own transforms, then those of its parents, then the stack's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pulumi.runtime._callbacks import _CallbackServicer
from pulumi.runtime.proto import resource_pb2
from pulumi.runtime.sync_await import _sync_await

if TYPE_CHECKING:
    from collections.abc import Iterable

_FIELDS: Final = {
    "additional_secret_outputs": "additionalSecretOutputs",
    "aliases": "aliases",
    "custom_timeouts": "customTimeouts",
    "delete_before_replace": "deleteBeforeReplace",
    "deleted_with": "deletedWith",
    "depends_on": "dependencies",
    "ignore_changes": "ignoreChanges",
    "import": "importId",
    "plugin_download_url": "pluginDownloadURL",
    "protect": "protect",
    "provider": "provider",
    "providers": "providers",
    "replace_on_changes": "replaceOnChanges",
    "retain_on_delete": "retainOnDelete",
    "version": "version",
}
"""A transform's name of each option, and the registration's."""


class Transforms(_CallbackServicer):
    """The SDK's callbacks without a server."""

    def __init__(self, monitor: Any) -> None:
        # The base class would open a port and enter a list that outlives the run.
        self._callbacks = {}
        self._transforms = {}
        self._monitor = monitor
        self._target = "in process"

    def apply(self, request: Any, tokens: Iterable[str]) -> Any:
        """Give the registration that these transforms make of one; the given one stays as it is."""
        changed = resource_pb2.RegisterResourceRequest()
        changed.CopyFrom(request)
        for token in tokens:
            asked = resource_pb2.TransformRequest(
                type=changed.type,
                name=changed.name,
                custom=changed.custom,
                parent=changed.parent,
                properties=changed.object,
                options=_options_of(changed),
            )
            answer: Any = _sync_await(self._callbacks[token](asked.SerializeToString()))
            changed.object.CopyFrom(answer.properties)
            if answer.HasField("options"):
                _put_options(answer.options, changed)
        return changed

    def apply_to_invoke(self, request: Any, tokens: Iterable[str]) -> Any:
        """Give the invoke that these transforms make of one."""
        changed = resource_pb2.ResourceInvokeRequest()
        changed.CopyFrom(request)
        for token in tokens:
            asked = resource_pb2.TransformInvokeRequest(token=changed.tok, args=changed.args)
            asked.options.provider = changed.provider
            answer: Any = _sync_await(self._callbacks[token](asked.SerializeToString()))
            changed.args.CopyFrom(answer.args)
            changed.provider = answer.options.provider or changed.provider
        return changed


def _options_of(request: Any) -> Any:
    options = resource_pb2.TransformResourceOptions()
    for there, here in _FIELDS.items():
        if here != "deleteBeforeReplace" or request.deleteBeforeReplaceDefined:
            _copy(request, here, options, there)
    return options


def _put_options(options: Any, request: Any) -> None:
    for there, here in _FIELDS.items():
        request.ClearField(here)
        _copy(options, there, request, here)
    request.deleteBeforeReplaceDefined = options.HasField("delete_before_replace")


def _copy(source: Any, source_name: str, target: Any, target_name: str) -> None:
    value = getattr(source, source_name)
    if hasattr(value, "extend"):
        getattr(target, target_name).extend(value)
    elif hasattr(value, "items"):
        getattr(target, target_name).update(value)
    elif hasattr(value, "CopyFrom"):
        if source.HasField(source_name):
            getattr(target, target_name).CopyFrom(value)
    elif value or (_tells_presence(source, source_name) and source.HasField(source_name)):
        setattr(target, target_name, value)


def _tells_presence(message: Any, name: str) -> bool:
    return bool(message.DESCRIPTOR.fields_by_name[name].has_presence)
