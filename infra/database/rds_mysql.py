"""A MySQL server on RDS for a program that makes its databases itself."""

from dataclasses import dataclass

import pulumi
import pulumi_random
from pulumi_aws import rds

from infra.aws.substrate import Aws
from infra.base.ports import MYSQL
from infra.database.mysql import MysqlServer
from infra.database.rds_instance import RdsInstanceArgs, rds_instance
from infra.database.settings import RdsMysqlSettings

VERSION = "8.4"
"""Major version; the newest minor one is installed, and kept up in the maintenance window."""


@dataclass(frozen=True, kw_only=True)
class RdsMysqlArgs:
    """The settings, and what other components hand over."""

    settings: RdsMysqlSettings

    substrate: Aws

    user: str
    """Name of the master, who is the only one that connects."""


class RdsMysql(pulumi.ComponentResource):
    """An encrypted MySQL that only the cluster reaches, over TLS.

    Its master's password is drawn here: the program that connects can read no secret of AWS'.
    Source: https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/CHAP_MySQL.html
    """

    server: MysqlServer

    def __init__(self, name: str, args: RdsMysqlArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:RdsMysql", name, None, opts)
        settings = args.settings

        password = pulumi_random.RandomPassword(
            f"{name}-password",
            length=40,
            special=False,
            keepers={"generation": str(settings.password_generation)},
            opts=pulumi.ResourceOptions(parent=self),
        ).result
        instance, _ = rds_instance(
            name,
            RdsInstanceArgs(
                settings=settings,
                substrate=args.substrate,
                engine="mysql",
                version=VERSION,
                families={VERSION: f"mysql{VERSION}"},
                port=MYSQL,
                parameters=[
                    rds.ParameterGroupParameterArgs(name="require_secure_transport", value="1"),
                    rds.ParameterGroupParameterArgs(name="slow_query_log", value="1"),
                    rds.ParameterGroupParameterArgs(
                        name="long_query_time", value=str(settings.slow_statement_ms / 1000)
                    ),
                    rds.ParameterGroupParameterArgs(name="log_output", value="FILE"),
                ],
                logs=["error", "slowquery"],
                purpose="A program's own database, and its logs",
                user=args.user,
                password=password,
            ),
            self,
        )
        self.server = MysqlServer(host=instance.address, user=args.user, password=password, ready=instance)

        self.register_outputs({})
