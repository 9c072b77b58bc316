"""A server's address on a cluster, taken apart."""

from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

import pulumi


@dataclass(frozen=True, kw_only=True)
class Address:
    """A Service's port."""

    service: str

    namespace: str

    port: int

    @classmethod
    def of(cls, url: str) -> "Address":
        """The Service that a URL leads to; raises ValueError for a URL that leads to none."""
        parts = urlsplit(url)
        labels = (parts.hostname or "").split(".")
        if len(labels) < 3 or labels[2] != "svc":  # noqa: PLR2004  service.namespace.svc…
            raise ValueError(f"{url} is no URL of a Service")
        return cls(service=labels[0], namespace=labels[1], port=parts.port or _default_port(parts.scheme))


@dataclass(frozen=True, kw_only=True)
class Forward:
    """A loopback port of the person's machine that leads to a Service."""

    name: str

    url: pulumi.Output[str]
    """What pods reach the Service by."""

    local_port: int


def rebased(url: str, base: str) -> str:
    """A URL with another scheme, host and port in front of its path."""
    parts, new = urlsplit(url), urlsplit(base)
    return urlunsplit((new.scheme or parts.scheme, new.netloc, parts.path, parts.query, parts.fragment))


def _default_port(scheme: str) -> int:
    return {"http": 80, "https": 443}[scheme]
