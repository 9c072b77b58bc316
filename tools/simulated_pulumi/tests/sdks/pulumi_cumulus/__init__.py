"""An SDK in the form that Pulumi generates, of a cloud that does not exist."""

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
from pulumi.runtime import rpc


@pulumi.input_type
class VaultRuleArgs:
    def __init__(__self__, *, max_age_days: pulumi.Input[int], prefix: pulumi.Input[str] | None = None) -> None:
        pulumi.set(__self__, "max_age_days", max_age_days)
        if prefix is not None:
            pulumi.set(__self__, "prefix", prefix)

    @property
    @pulumi.getter(name="maxAgeDays")
    def max_age_days(self) -> pulumi.Input[int]:
        return pulumi.get(self, "max_age_days")

    @property
    @pulumi.getter
    def prefix(self) -> pulumi.Input[str] | None:
        return pulumi.get(self, "prefix")


@pulumi.output_type
class VaultEndpoint(dict):
    def __init__(__self__, *, dns_name: str, port: int) -> None:
        pulumi.set(__self__, "dns_name", dns_name)
        pulumi.set(__self__, "port", port)

    @property
    @pulumi.getter(name="dnsName")
    def dns_name(self) -> str:
        return pulumi.get(self, "dns_name")

    @property
    @pulumi.getter
    def port(self) -> int:
        return pulumi.get(self, "port")


@pulumi.input_type
class VaultArgs:
    def __init__(
        __self__,
        *,
        location: pulumi.Input[str],
        rules: pulumi.Input[Sequence[pulumi.Input[VaultRuleArgs]]] | None = None,
        tags: pulumi.Input[Mapping[str, pulumi.Input[str]]] | None = None,
    ) -> None:
        """
        :param pulumi.Input[str] location: Where it is. Changing this forces a new resource to be created.
        :param pulumi.Input[Mapping[str, pulumi.Input[str]]] tags: Labels.
        """
        pulumi.set(__self__, "location", location)
        if rules is not None:
            pulumi.set(__self__, "rules", rules)
        if tags is not None:
            pulumi.set(__self__, "tags", tags)

    @property
    @pulumi.getter
    def location(self) -> pulumi.Input[str]:
        return pulumi.get(self, "location")

    @property
    @pulumi.getter
    def rules(self) -> pulumi.Input[Sequence[pulumi.Input[VaultRuleArgs]]] | None:
        return pulumi.get(self, "rules")

    @property
    @pulumi.getter
    def tags(self) -> pulumi.Input[Mapping[str, pulumi.Input[str]]] | None:
        return pulumi.get(self, "tags")


class Vault(pulumi.CustomResource):
    def __init__(__self__, resource_name: str, opts: pulumi.ResourceOptions | None = None, **inputs: Any) -> None:
        props = VaultArgs.__new__(VaultArgs)
        props.__dict__.update({"endpoints": None, "self_link": None, "versioned": None, **inputs})
        super().__init__("cumulus:storage/vault:Vault", resource_name, props, opts)

    @property
    @pulumi.getter
    def endpoints(self) -> pulumi.Output[Sequence[VaultEndpoint]]:
        return pulumi.get(self, "endpoints")

    @property
    @pulumi.getter(name="selfLink")
    def self_link(self) -> pulumi.Output[str]:
        return pulumi.get(self, "self_link")

    @property
    @pulumi.getter
    def versioned(self) -> pulumi.Output[bool | None]:
        return pulumi.get(self, "versioned")


class Provider(pulumi.ProviderResource):
    def __init__(__self__, resource_name: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("cumulus", resource_name, {}, opts)


@pulumi.output_type
class GetZonesResult:
    def __init__(__self__, names: Sequence[str], location: str, total: int) -> None:
        pulumi.set(__self__, "names", names)
        pulumi.set(__self__, "location", location)
        pulumi.set(__self__, "total", total)

    @property
    @pulumi.getter
    def names(self) -> Sequence[str]:
        return pulumi.get(self, "names")

    @property
    @pulumi.getter
    def location(self) -> str:
        return pulumi.get(self, "location")

    @property
    @pulumi.getter
    def total(self) -> int:
        return pulumi.get(self, "total")


def get_zones_output(location: str, opts: pulumi.InvokeOptions | None = None) -> pulumi.Output[GetZonesResult]:
    return pulumi.runtime.invoke_output(
        "cumulus:index/getZones:getZones", {"location": location}, opts=opts, typ=GetZonesResult
    )


class _Module(rpc.ResourceModule):
    mod_info = {"fqn": "pulumi_cumulus", "classes": {"cumulus:storage/vault:Vault": "Vault"}}  # noqa: RUF012

    def version(self) -> None:
        return None

    def construct(self, name: str, typ: str, urn: str) -> pulumi.Resource:
        return Vault(name, pulumi.ResourceOptions(urn=urn))


rpc.register_resource_module("cumulus", "storage/vault", _Module())
