"""Online store on a cluster: one Redis, durable by its append-only file, with two users for each Feast project."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_random

from infra.base.ports import REDIS
from infra.base.resources import Resources
from infra.kube.pod import Files, Mount, Serving, command_health
from infra.kube.server import Data, Server, ServerArgs
from infra.kube.substrate import Kubernetes
from infra.online_store import acl
from infra.online_store.acl import ROLES, Access
from infra.online_store.login import Login
from infra.online_store.settings import RedisOnKubernetesSettings

DATA = "/data"
CONFIGURATION = "/etc/redis"
CERTIFICATE = "/etc/redis-tls"
REDIS_CONF = """\
{listen}
dir {folder}
requirepass {password}
appendonly yes
appendfsync everysec
save ""
maxmemory {maxmemory_mib}mb
maxmemory-policy noeviction
daemonize no
{users}
"""
"""See https://redis.io/docs/latest/operate/oss_and_stack/management/config/"""
PLAIN = f"port {REDIS}"
ENCRYPTED = f"""\
port 0
tls-port {REDIS}
tls-cert-file {CERTIFICATE}/tls.crt
tls-key-file {CERTIFICATE}/tls.key
tls-auth-clients no"""
"""See https://redis.io/docs/latest/operate/oss_and_stack/management/security/encryption/"""


@dataclass(frozen=True, kw_only=True)
class RedisOnKubernetesArgs:
    """The settings, and what other components hand over."""

    settings: RedisOnKubernetesSettings

    substrate: Kubernetes

    projects: Sequence[str] = ()
    """Feast projects; another one restarts the server, as its users are part of the configuration."""


class RedisOnKubernetes(pulumi.ComponentResource):
    """One Redis that keeps every acknowledged write but the last second's over the death of its pod.

    Realizes `infra.online_store.OnlineStore`.
    Source: https://redis.io/docs/latest/operate/oss_and_stack/management/persistence/
    """

    url: pulumi.Output[str]
    """`redis://<service>:6379`, or `rediss://…`, without the password."""

    address: pulumi.Output[str]

    tls: bool

    ready: pulumi.Resource
    """The pod, once it answers."""

    def __init__(self, name: str, args: RedisOnKubernetesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:RedisOnKubernetes", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)

        self._password = pulumi_random.RandomPassword(f"{name}-password", length=40, special=False, opts=child).result
        self._passwords: Mapping[tuple[str, Access], pulumi.Output[str]] = {
            (project, access): pulumi_random.RandomPassword(
                f"{name}-{project.replace('_', '-')}-{role}-password", length=40, special=False, opts=child
            ).result
            for project in args.projects
            for access, role in ROLES.items()
        }
        server = Server(name, self._server(args), child)

        self.ready = server.ready
        self.address = pulumi.Output.format("{0}:{1}", server.host, REDIS)
        self.tls = args.settings.tls_secret is not None
        self.url = pulumi.Output.concat("rediss://" if self.tls else "redis://", self.address)
        self.register_outputs({"url": self.url, "address": self.address, "password": self._password, "tls": self.tls})

    def login(self, project: str, access: Access) -> Login:
        """A user of the project, known once the server knows it too."""
        password = pulumi.Output.all(self._passwords[project, access], self.ready.urn).apply(lambda known: known[0])
        return Login(user=acl.user(project, access), password=password)

    def _server(self, args: RedisOnKubernetesArgs) -> ServerArgs:
        settings = args.settings
        secret = settings.tls_secret
        configuration = pulumi.Output.format(
            REDIS_CONF,
            listen=ENCRYPTED if secret else PLAIN,
            folder=DATA,
            password=self._password,
            maxmemory_mib=settings.maxmemory_mib,
            users=self._users(),
        )
        return ServerArgs(
            substrate=args.substrate,
            image=args.substrate.supply.image(settings.image),
            command=["redis-server", f"{CONFIGURATION}/redis.conf"],
            secrets={"REDISCLI_AUTH": self._password},
            files=[Files(folder=CONFIGURATION, contents={"redis.conf": configuration}, secret=True)],
            mounted_secrets=[Mount(folder=CERTIFICATE, source=secret)] if secret else [],
            data=Data(folder=DATA, volume=settings.volume),
            # A rewrite of the append-only file forks: pages that change meanwhile are held twice.
            resources=Resources(memory_mib=settings.maxmemory_mib * 2),
            serving=Serving(
                role="online-store",
                port=REDIS,
                health=command_health(
                    # The probe asks its own pod, by an address that no certificate names.
                    *["redis-cli", "-e", "-p", str(REDIS), *(["--tls", "--insecure"] if secret else []), "ping"]
                ),
                start_seconds=120,
            ),
        )

    def _users(self) -> pulumi.Output[str]:
        """Lines of the configuration, with hashes: a reader of them can log in as nobody but `default`."""
        lines = [
            password.apply(
                lambda known, project=project, access=access: acl.line(project, access, known)  # type: ignore[misc]
            )
            for (project, access), password in self._passwords.items()
        ]
        return pulumi.Output.all(*lines).apply("\n".join)
