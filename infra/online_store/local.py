"""Online store on this machine: one Redis with a generated password, durable by its append-only file."""

from dataclasses import dataclass

import pulumi

from infra.host import File, Folder, Port, Process, Secret
from infra.host.substrate import LOOPBACK, Local
from infra.online_store.acl import Access
from infra.online_store.login import Login
from infra.online_store.settings import RedisOnHostSettings

CONFIGURATION = """\
bind {host}
port {port}
dir {folder}
requirepass {password}
appendonly yes
appendfsync everysec
save ""
maxmemory {maxmemory_mib}mb
maxmemory-policy noeviction
daemonize no
"""
"""See https://redis.io/docs/latest/operate/oss_and_stack/management/config/"""
RUNBOOK = "docs/runbooks/online-store.md"


def quoted(text: str) -> str:
    """A value of the configuration, which Redis splits at blanks and quotes."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


@dataclass(frozen=True, kw_only=True)
class RedisOnHostArgs:
    """The settings, and what other components hand over."""

    settings: RedisOnHostSettings

    substrate: Local


class RedisOnHost(pulumi.ComponentResource):
    """A Redis that keeps every acknowledged write over the death of its process.

    Realizes `infra.online_store.OnlineStore`.
    Source: https://redis.io/docs/latest/operate/oss_and_stack/management/persistence/
    """

    url: pulumi.Output[str]
    """`redis://127.0.0.1:<port>`, without the password."""

    address: pulumi.Output[str]
    """`127.0.0.1:<port>`."""

    tls = False
    """Nothing leaves this machine."""

    ready: pulumi.Resource
    """The process, once it answers."""

    def __init__(self, name: str, args: RedisOnHostArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:RedisOnHost", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)

        self._password = Secret(f"{name}-password", opts=child).value
        port = Port(f"{name}-port", number=args.settings.port, opts=child)
        folder = Folder(f"{name}-data", path=f"data/{name}", keep=args.substrate.keep_data, opts=child)
        configuration = File(
            f"{name}-configuration",
            path=f"config/{name}/redis.conf",
            content=pulumi.Output.format(
                CONFIGURATION,
                host=LOOPBACK,
                port=port.chosen,
                folder=folder.absolute_path.apply(quoted),
                password=self._password,
                maxmemory_mib=args.settings.maxmemory_mib,
            ),
            opts=child,
        )
        self.ready = Process(
            f"{name}-server",
            command=["redis-server", configuration.absolute_path],
            environment={"REDISCLI_AUTH": self._password},
            ports=[port.chosen],
            health={"command": ["redis-cli", "-e", "-h", LOOPBACK, "-p", port.chosen.apply(str), "ping"]},
            triggers={"configuration": configuration.sha256},
            folders=[folder.absolute_path],
            runbook=RUNBOOK,
            opts=args.substrate.child(self),
        )

        self.address = pulumi.Output.format("{0}:{1}", LOOPBACK, port.chosen)
        self.url = pulumi.Output.concat("redis://", self.address)
        self.register_outputs({"url": self.url, "address": self.address, "password": self._password})

    def login(self, project: str, access: Access) -> Login:
        """The one password: on one machine each process can read every other one's."""
        del project, access
        return Login(user=None, password=self._password)
