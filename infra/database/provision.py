"""Makes a database and the role that owns it; runs inside the cluster, in the image `workload`, as often as one likes.

Everything comes from the environment: `HOST`, `PORT`, `SSLMODE`, `SSLROOTCERT`, `AWS_REGION`, `MASTER_SECRET_ARN` (ARN
of the server's own secret, read as the pod's role), `ROLE` (name of both) and `ROLE_PASSWORD`. Nothing of the platform
is imported.
"""

import json
import os

import boto3
import psycopg
from psycopg import sql


def master() -> tuple[str, str]:
    """User and password of the server's master, as Secrets Manager rotated them last."""
    secret = boto3.client("secretsmanager", region_name=os.environ["AWS_REGION"]).get_secret_value(
        SecretId=os.environ["MASTER_SECRET_ARN"]
    )
    content = json.loads(secret["SecretString"])
    return content["username"], content["password"]


def provision(connection: psycopg.Connection, name: str, password: str) -> None:
    """Make what is missing; the password is hashed here, so that no log of the server ever holds it."""
    hashed = connection.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256").decode()
    role = sql.Identifier(name)
    if not connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [name]).fetchall():
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(role))
    connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(role, sql.Literal(hashed)))
    # A managed server's master is no superuser: to give a database to a role, it must be a member of the role.
    connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(role))
    if not connection.execute("SELECT FROM pg_database WHERE datname = %s", [name]).fetchall():
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(role, role))
    connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(role))


def main() -> None:
    """Connect as the master and provide."""
    user, password = master()
    with psycopg.connect(
        host=os.environ["HOST"],
        port=os.environ["PORT"],
        dbname="postgres",
        user=user,
        password=password,
        sslmode=os.environ["SSLMODE"],
        sslrootcert=os.environ.get("SSLROOTCERT"),
        autocommit=True,
    ) as connection:
        provision(connection, os.environ["ROLE"], os.environ["ROLE_PASSWORD"])


if __name__ == "__main__":
    main()
