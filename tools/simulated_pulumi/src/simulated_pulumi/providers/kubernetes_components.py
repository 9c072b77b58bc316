"""Components of the Kubernetes provider: registers what YAML files and kustomize overlays hold with the engine."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import grpc
from pulumi.runtime.proto import provider_pb2, resource_pb2, resource_pb2_grpc

from simulated_pulumi import values

if TYPE_CHECKING:
    from collections.abc import Iterable

Object = dict[str, Any]

FILE: Final = "kubernetes:yaml/v2:ConfigFile"
GROUP: Final = "kubernetes:yaml/v2:ConfigGroup"
DIRECTORY: Final = "kubernetes:kustomize/v2:Directory"
COMPONENTS: Final = (FILE, GROUP, DIRECTORY)

_AT_ONCE = 16
_NEEDED = ("Namespace", "CustomResourceDefinition")
"""Kinds that the others of a set wait for."""


def token_of(item: Object) -> str:
    """Give the resource type of an object, as the SDK names it."""
    version = item["apiVersion"] if "/" in item["apiVersion"] else f"core/{item['apiVersion']}"
    return f"kubernetes:{version}:{item['kind']}"


@dataclass
class Construction:
    """Registers one component and the resources in it with the engine."""

    request: Any
    version: str
    """Version of the provider, which the resources ask for."""

    def run(self, items: Iterable[Object]) -> Any:
        """Register everything and give the answer to the engine."""
        with grpc.insecure_channel(self.request.monitorEndpoint) as channel, ThreadPoolExecutor(_AT_ONCE) as pool:
            monitor = resource_pb2_grpc.ResourceMonitorStub(channel)
            component = monitor.RegisterResource(self._component())
            inputs = values.decode(self.request.inputs).value
            prefix = inputs.get("resourcePrefix") or self.request.name
            made: list[Any] = []
            pending = list(items)
            for kinds in (_NEEDED, None):
                wave = [item for item in pending if kinds is None or item["kind"] in kinds]
                pending = [item for item in pending if item not in wave]
                needs = [one.urn for one in made]
                registrations = [self._child(component.urn, prefix, item, needs, inputs) for item in wave]
                made += pool.map(monitor.RegisterResource, registrations)
            resources = [values.Reference(one.urn, one.id or None) for one in made]
            state = values.encode_bag({"resources": resources})
            monitor.RegisterResourceOutputs(
                resource_pb2.RegisterResourceOutputsRequest(urn=component.urn, outputs=state)
            )
        return provider_pb2.ConstructResponse(urn=component.urn, state=state)

    def _component(self) -> Any:
        request = self.request
        return resource_pb2.RegisterResourceRequest(
            type=request.type,
            name=request.name,
            parent=request.parent,
            dependencies=request.dependencies,
            providers=request.providers,
            aliases=request.aliases,
            aliasSpecs=True,
            acceptSecrets=True,
            acceptResources=True,
            supportsPartialValues=True,
        )

    def _child(self, parent: str, prefix: str, item: Object, needs: list[str], inputs: Object) -> Any:
        metadata = item["metadata"]
        name = "/".join(str(metadata[key]) for key in ("namespace", "name") if metadata.get(key))
        shown = dict(item)
        if inputs.get("skipAwait"):
            annotations = (metadata.get("annotations") or {}) | {"pulumi.com/skipAwait": "true"}
            shown["metadata"] = metadata | {"annotations": annotations}
        if shown["kind"] == "Secret":
            shown |= {key: values.SecretValue(shown[key]) for key in ("data", "stringData") if key in shown}
        return resource_pb2.RegisterResourceRequest(
            type=token_of(item),
            name=f"{prefix}:{name}",
            parent=parent,
            custom=True,
            object=values.encode_bag(shown),
            dependencies=[*self.request.dependencies, *needs],
            provider=self.request.providers.get("kubernetes", ""),
            version=self.version,
            aliasSpecs=True,
            acceptSecrets=True,
            acceptResources=True,
            supportsPartialValues=True,
        )
