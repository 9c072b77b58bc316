"""The script that makes databases on RDS, on a real Postgres whose master is no superuser, as RDS' is not.

Secrets Manager is simulated: a server that answers boto3's one request.
"""

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import make_url

from tests.unit.workloads.postgres import server

SCRIPT = Path(__file__).parents[3] / "infra" / "database" / "provision.py"
MASTER_PASSWORD = "the-masters-password"


@pytest.fixture(scope="module")
def instance():
    """A server's URL parts, with a master who may make roles and databases and nothing more."""
    with server() as new_database:
        url = make_url(new_database())
        with admin(url) as connection:
            connection.execute(f"CREATE ROLE master LOGIN CREATEROLE CREATEDB PASSWORD '{MASTER_PASSWORD}'")
        yield url


def admin(url):
    return psycopg.connect(
        host=url.host, port=url.port, user=url.username, password=url.password, dbname="postgres", autocommit=True
    )


@pytest.fixture
def secrets_manager():
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            assert self.headers["X-Amz-Target"] == "secretsmanager.GetSecretValue"
            secret = json.dumps({"username": "master", "password": MASTER_PASSWORD})
            body = json.dumps({"ARN": asked["SecretId"], "SecretString": secret}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()


@pytest.fixture
def provision(instance, secrets_manager):
    """Runs the script as the job does: its text as an argument of Python."""

    def run(role, password):
        environment = {
            "PATH": os.environ["PATH"],
            "HOST": instance.host,
            "PORT": str(instance.port),
            "SSLMODE": "prefer",
            "MASTER_SECRET_ARN": "arn:aws:secretsmanager:eu-west-1:111122223333:secret:rds",
            "AWS_REGION": "eu-west-1",
            "AWS_ENDPOINT_URL_SECRETS_MANAGER": secrets_manager,
            "AWS_ACCESS_KEY_ID": "simulated",
            "AWS_SECRET_ACCESS_KEY": "simulated",
            "ROLE": role,
            "ROLE_PASSWORD": password,
        }
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT.read_text()], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    return run


def connect(instance, role, password, database=None):
    return psycopg.connect(
        host=instance.host, port=instance.port, user=role, password=password, dbname=database or role
    )


def test_the_owner_can_make_tables_in_its_database(instance, provision):
    provision("tracking_database", "one")
    with connect(instance, "tracking_database", "one") as connection:
        connection.execute("CREATE TABLE runs (id int)")


def test_a_second_run_changes_nothing_but_the_password(instance, provision):
    provision("registry", "one")
    with connect(instance, "registry", "one") as connection:
        connection.execute("CREATE TABLE kept (id int)")
    provision("registry", "two")
    with connect(instance, "registry", "two") as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        connect(instance, "registry", "one")


def test_nobody_connects_to_the_database_of_another(instance, provision):
    provision("mine", "one")
    provision("yours", "two")
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        connect(instance, "yours", "two", database="mine")


def test_a_name_and_a_password_are_never_taken_for_sql(instance, provision):
    provision('odd"; DROP ROLE master; --', "o'dd")
    with connect(instance, 'odd"; DROP ROLE master; --', "o'dd") as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    provision("after", "one")


def test_the_server_is_never_sent_a_roles_password(instance, provision):
    """Its log may hold every statement, as here."""
    with admin(instance) as connection:
        connection.execute("ALTER ROLE master SET log_statement = 'all'")
        log = Path(connection.execute("SHOW data_directory").fetchone()[0]).parent / "log"
    provision("logged", "never-written-down")
    text = log.read_text()
    assert 'ALTER ROLE "logged" PASSWORD \'SCRAM-SHA-256$' in text
    assert "never-written-down" not in text
