"""The file of prices: public on-demand prices of one region, where each is from, and what is assumed about use."""

import datetime as dt
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, TypeVar

import yaml
from pydantic import Field, ValidationError, model_validator

from infra.base.aws_types import Region
from infra.base.settings import Settings

FILE = Path(__file__).with_name("prices.yaml")

Usd = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Amount = Annotated[float, Field(ge=0)]


class PriceError(Exception):
    """The cost cannot be told; the text is for people and names what is missing."""


class UnpricedError(PriceError):
    """The file has no price of one thing; the text names the thing."""


class Source(Settings):
    """Where prices are from."""

    says: str

    url: str | None = None

    read: dt.date

    confirmed: bool
    """Whether somebody read the price there; else it is derived or remembered, and may be off."""


class Price(Settings):
    """One price in US dollars, without tax."""

    usd: Usd

    source: str
    """Key of a `Source`."""


class MachinePrice(Price):
    """Price of an hour of an instance or node."""

    vcpus: Annotated[int, Field(ge=1)]

    gpus: Annotated[int, Field(ge=0)] = 0


_Priced = TypeVar("_Priced", bound=Price)


class UnitPrices(Settings):
    """Prices of everything that has no type: the unit is in the name."""

    eks_cluster_hour: Price
    nat_gateway_hour: Price
    nat_gateway_gib: Price
    public_ipv4_hour: Price
    interface_endpoint_hour: Price
    interface_endpoint_gib: Price
    load_balancer_hour: Price
    kms_key_month: Price
    ebs_gp3_gib_month: Price
    detailed_monitoring_instance_month: Price
    s3_gib_month: Price
    s3_thousand_writes: Price
    region_transfer_gib: Price
    ecr_gib_month: Price
    logs_ingested_gib: Price
    logs_kept_gib_month: Price
    rds_gp3_gib_month: Price
    rds_gp3_multi_az_gib_month: Price
    rds_insights_advanced_vcpu_hour: Price
    cache_backup_gib_month: Price
    secret_month: Price
    sqs_million_requests: Price


class Usage(Settings):
    """What is assumed about use, expected and at worst alike, but for pools and for storage that grows by itself."""

    cpu_pool_share: Share
    """Mean share of the CPU pools' limits that runs; at worst all of it does, all month."""

    gpu_pool_share: Share
    """The same of the GPU pools'."""

    gib_per_vcpu: Annotated[float, Field(gt=0)]
    """GiB of memory beside each vCPU of the CPU pools' machines; by it, reserved memory counts as vCPUs."""

    spot_price_share: Share
    """Mean price of spot capacity, as a share of the on-demand price; at worst all is on-demand."""

    nat_gib_month: Amount
    """GiB through all NAT gateways together."""

    endpoint_gib_month: Amount
    """GiB through each interface endpoint."""

    bucket_gib: Amount
    """GiB in each bucket, old versions included."""

    bucket_thousand_writes_month: Amount

    replicated_gib_month: Amount
    """GiB that each replicated bucket sends to the other region."""

    images_gib: Amount
    """GiB in each image repository."""

    log_gib_month: Amount
    """GiB that each log group takes in."""

    queue_million_requests_month: Amount

    cache_backup_gib: Amount
    """GiB of each cache's snapshots."""


class Prices(Settings):
    """The whole file."""

    region: Region

    hours_per_month: Annotated[int, Field(ge=672, le=744)]

    sources: Mapping[str, Source]

    units: UnitPrices

    instances: Mapping[str, MachinePrice]

    databases: Mapping[str, MachinePrice]
    """RDS for PostgreSQL, one instance without standby."""

    caches: Mapping[str, Price]
    """ElastiCache for Valkey."""

    redis_to_valkey: Annotated[float, Field(ge=1)]
    """Price of a node with Redis, as a multiple of one with Valkey."""

    free: Mapping[str, str]
    """Pattern of types that cost nothing by themselves, to the reason."""

    usage: Usage

    @model_validator(mode="after")
    def _sourced(self) -> "Prices":
        unknown = sorted({price.source for price in self.all()} - set(self.sources))
        if unknown:
            raise ValueError(f"sources has no {', '.join(unknown)}: say where these prices are from")
        return self

    def all(self) -> Iterable[Price]:
        """Every price in the file."""
        units = (getattr(self.units, name) for name in UnitPrices.model_fields)
        return [*units, *self.instances.values(), *self.databases.values(), *self.caches.values()]

    def reason_to_be_free(self, type_: str) -> str | None:
        """Why a type costs nothing by itself; None when the file does not say that it does."""
        return next((reason for pattern, reason in self.free.items() if fnmatchcase(type_, pattern)), None)

    def instance(self, name: str) -> MachinePrice:
        """Price of an hour of a type of EC2; raises UnpricedError."""
        return self._found("instances", self.instances, name)

    def database(self, name: str) -> MachinePrice:
        """Price of an hour of a class of RDS; raises UnpricedError."""
        return self._found("databases", self.databases, name)

    def cache(self, name: str) -> Price:
        """Price of an hour of a node of ElastiCache; raises UnpricedError."""
        return self._found("caches", self.caches, name)

    def _found(self, table: str, known: Mapping[str, _Priced], name: str) -> _Priced:
        if name not in known:
            raise UnpricedError(
                f"{FILE.name}: {table} has no price of {name} in {self.region}: add it with its source, "
                "or choose a type that has one (some types are not sold in every region)"
            )
        return known[name]


def load(file: Path = FILE) -> Prices:
    """The file's prices; raises PriceError naming what is wrong in it."""
    try:
        return Prices.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError) as error:
        raise PriceError(f"{file} cannot be read: {error}") from error
    except ValidationError as error:
        lines = [f"{file.name}: {'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
        raise PriceError("\n".join(lines)) from error
