"""What is exposed, and a server's address on a cluster, taken apart."""

from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

import pulumi

from infra.base.phases import Collected
from infra.base.ports import HTTP, HTTPS
from infra.exposure.settings import OidcSettings


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server that people, or programs outside of the cluster, reach."""

    name: str
    """The same for all its URLs; first label of its host."""

    path: str
    """The open path that ends at its pods, see `infra.kube.network_policies.open_to_callers`."""

    pod_port: int | None = None
    """TCP port of its pods; None: the URL's."""

    http: bool = True
    """Whether it speaks HTTP; gateways lead to no other."""

    model: bool = False
    """Whether it is the model server, to which the stack file may let programs in that cannot log in."""


class LoginError(ValueError):
    """A login is asked for that cannot be made; the text is one line that names the fix."""


@dataclass(frozen=True, kw_only=True)
class Login:
    """The provider, and the client's secret."""

    settings: OidcSettings

    secret: pulumi.Input[str]

    @classmethod
    def of(cls, settings: OidcSettings, secret: str | None) -> "Login":
        """Raises: LoginError without a secret."""
        if secret is None:
            raise LoginError(
                "mlplatform:exposure.login.kind oidc needs the client's secret: "
                "`pulumi config set --secret mlplatform:login_client_secret`"
            )
        return cls(settings=settings, secret=pulumi.Output.secret(secret))


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


class Forwards:
    """Loopback ports of a stack's servers, in the order in which they are first exposed."""

    def __init__(self, first_port: int) -> None:
        """`first_port`: of the first one; each further one has the next."""
        self._first_port = first_port
        self._by_name: dict[str, Forward] = {}
        self._collected = Collected[Forward]("a server of the outputs", "the list of ports that `make forward` opens")

    def __contains__(self, server: Server) -> bool:
        return server.name in self._by_name

    def of(self, server: Server, url: pulumi.Output[str]) -> Forward:
        """A server's own, the same for all its URLs; raises LateRegistrationError for a new one after `all`."""
        if server not in self:
            port = self._first_port + len(self._by_name)
            self._by_name[server.name] = Forward(name=server.name, url=url, local_port=port)
            self._collected.add(self._by_name[server.name])
        return self._by_name[server.name]

    def all(self) -> list[Forward]:
        """Those of every server; no further one can be exposed."""
        return list(self._collected.close())


def rebased(url: str, base: str) -> str:
    """A URL with another scheme, host and port in front of its path."""
    parts, new = urlsplit(url), urlsplit(base)
    return urlunsplit((new.scheme or parts.scheme, new.netloc, parts.path, parts.query, parts.fragment))


def _default_port(scheme: str) -> int:
    return {"http": HTTP, "https": HTTPS}[scheme]
