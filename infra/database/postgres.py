"""A database and a role of its own on any Postgres server that a cluster reaches."""

from dataclasses import dataclass

import pulumi
import pulumi_random

from infra.base.resources import Resources
from infra.kube.once import Once, OnceArgs
from infra.kube.pod import Files
from infra.kube.substrate import Kubernetes

TIMEOUT_SECONDS = 300
FOLDER, FILE = "/sql", "database.sql"
SQL = r"""
\set ON_ERROR_STOP on
\getenv role NEW_ROLE
\getenv password NEW_PASSWORD
SELECT format('CREATE ROLE %I LOGIN', :'role') WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role') \gexec
ALTER ROLE :"role" PASSWORD :'password';
GRANT :"role" TO CURRENT_USER;
SELECT format('CREATE DATABASE %I OWNER %I', :'role', :'role')
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'role') \gexec
REVOKE ALL ON DATABASE :"role" FROM PUBLIC;
"""
"""Makes what is missing and sets the password; `GRANT … TO CURRENT_USER` because managed servers have no superuser.

Source: https://www.postgresql.org/docs/current/app-psql.html
"""


@dataclass(frozen=True, kw_only=True)
class PostgresServer:
    """Where a server is, and who may make databases there."""

    substrate: Kubernetes
    """Namespace from which databases are made."""

    image: str
    """One that has `psql`, 15 or later."""

    host: pulumi.Output[str]

    port: int

    user: pulumi.Input[str]

    password: pulumi.Input[str]

    tls: bool = False
    """Whether the server insists on encrypted connections."""

    ready: pulumi.Resource


class PostgresDatabase(pulumi.ComponentResource):
    """A database whose name is its role's; only that role may connect to it.

    It is not dropped with its component: data go with their server, or by hand.
    """

    url: pulumi.Output[str]
    """Secret: SQLAlchemy's URL, with the driver of the `workload` image and the password."""

    def __init__(self, name: str, server: PostgresServer, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:PostgresDatabase", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)

        role = name.replace("-", "_")
        password = pulumi_random.RandomPassword(f"{name}-password", length=40, special=False, opts=child).result
        made = Once(
            f"{name}-creation",
            OnceArgs(
                substrate=server.substrate,
                image=server.image,
                command=["psql", "--no-psqlrc", "--quiet", f"--file={FOLDER}/{FILE}"],
                files=[Files(folder=FOLDER, contents={FILE: SQL})],
                environment={
                    "PGHOST": server.host,
                    "PGPORT": str(server.port),
                    "PGUSER": server.user,
                    "PGDATABASE": "postgres",
                    "PGSSLMODE": "require" if server.tls else "prefer",
                    "NEW_ROLE": role,
                },
                secrets={"PGPASSWORD": server.password, "NEW_PASSWORD": password},
                calls=["database"],
                resources=Resources(cpu_millicores=50, memory_mib=64),
                timeout_seconds=TIMEOUT_SECONDS,
                needs=[server.ready],
            ),
            child,
        )

        self.url = pulumi.Output.all(password=password, host=server.host, made=made.done.urn).apply(
            lambda known: (
                f"postgresql+psycopg://{role}:{known['password']}@{known['host']}:{server.port}/{role}"
                + ("?sslmode=require" if server.tls else "")
            )
        )
        self.register_outputs({"url": self.url})
