"""A MySQL server for a program that makes its databases itself, on a cluster or on RDS.

Left out: databases and roles for several users, which the role `database` offers on Postgres.
"""

from dataclasses import dataclass

import pulumi
import pulumi_random

from infra.base.ports import MYSQL
from infra.base.resources import Resources
from infra.database.settings import MysqlOnKubernetesSettings
from infra.kube.pod import Serving, command_health
from infra.kube.server import Data, Server, ServerArgs
from infra.kube.substrate import Kubernetes

USER = 999
"""`mysql` in the official image. Source: https://github.com/docker-library/mysql"""
DATA = "/var/lib/mysql"
SOCKETS = "/var/run/mysqld"


@dataclass(frozen=True, kw_only=True)
class MysqlServer:
    """Where a server is, and who may make databases there; it takes encrypted connections."""

    host: pulumi.Output[str]

    user: str

    password: pulumi.Output[str]

    ready: pulumi.Resource

    port: int = MYSQL


@dataclass(frozen=True, kw_only=True)
class MysqlOnKubernetesArgs:
    """The settings, and what other components hand over."""

    settings: MysqlOnKubernetesSettings

    substrate: Kubernetes

    role: str
    """What its callers say they call."""

    database: str
    """The one database that its user owns."""


class MysqlOnKubernetes(pulumi.ComponentResource):
    """One MySQL server on a volume, that only pods that call its role reach; nobody knows its root's password.

    Source: https://hub.docker.com/_/mysql
    """

    server: MysqlServer

    def __init__(self, name: str, args: MysqlOnKubernetesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:MysqlOnKubernetes", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)

        password = pulumi_random.RandomPassword(f"{name}-password", length=40, special=False, opts=child).result
        made = Server(name, _server(args, password), child)
        self.server = MysqlServer(host=made.host, user=args.database, password=password, ready=made.ready)

        self.register_outputs({})


def _server(args: MysqlOnKubernetesArgs, password: pulumi.Output[str]) -> ServerArgs:
    settings = args.settings
    return ServerArgs(
        substrate=args.substrate,
        image=args.substrate.supply.image(settings.image),
        user=USER,
        arguments=[
            # A volume's root is not empty, as MySQL wants its folder.
            f"--datadir={DATA}/data",
            f"--innodb-buffer-pool-size={settings.memory_mib // 2}M",
            "--disable-log-bin",
            "--secure-file-priv=NULL",
        ],
        environment={"MYSQL_DATABASE": args.database, "MYSQL_USER": args.database},
        # The second says that root's is to be drawn and forgotten; policies go by the name.
        secrets={"MYSQL_PASSWORD": password, "MYSQL_RANDOM_ROOT_PASSWORD": "yes"},
        scratch=["/tmp", SOCKETS],  # noqa: S108  folders inside the container
        data=Data(folder=DATA, volume=settings.volume),
        resources=Resources(memory_mib=settings.memory_mib),
        serving=Serving(
            role=args.role,
            port=MYSQL,
            # Says whether it takes connections; who asks needs no account.
            health=command_health("mysqladmin", "ping", "--host=127.0.0.1"),
            start_seconds=600,
        ),
    )
