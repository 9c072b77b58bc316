"""What is run to make a database, on a real Postgres server."""

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from infra.database.postgres import SQL

ADMINISTRATOR = {"PGUSER": "administrator", "PGPASSWORD": "of-the-administrator"}


def program(name):
    """Path of one of its programs; Debian keeps them off PATH."""
    found = shutil.which(name) or next(iter(Path("/usr/lib/postgresql").glob(f"*/bin/{name}")), None)
    if found is None:
        pytest.skip("postgresql is not installed; `apt-get install postgresql` brings it")
    return found


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Variables by which `psql` reaches a server whose administrator may make roles and databases, and no more."""
    folder, port = tmp_path_factory.mktemp("postgres"), free_port()
    data = folder / "data"
    # It refuses to run as root.
    user = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
    if user:
        for place in (folder, *folder.parents[:2]):
            place.chmod(0o755)
        shutil.chown(folder, "postgres")

    def run(*command):
        subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL, **user)

    run(program("initdb"), "-D", data, "-U", "super", "-A", "trust", "--no-sync")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
    control = [program("pg_ctl"), "-D", data, "-l", folder / "log", "-w"]
    run(*control, "-o", options, "start")
    reach = {"PATH": os.environ["PATH"], "PGHOST": "127.0.0.1", "PGPORT": str(port), "PGDATABASE": "postgres"}
    try:
        psql(
            "CREATE ROLE administrator LOGIN CREATEROLE CREATEDB PASSWORD 'of-the-administrator';",
            reach | {"PGUSER": "super"},
        )
        (data / "pg_hba.conf").write_text("host all all 127.0.0.1/32 scram-sha-256\n")
        run(*control, "reload")
        yield reach
    finally:
        run(*control, "-m", "immediate", "stop")


def psql(script, environment):
    """Output of a script; raises CalledProcessError."""
    command = [program("psql"), "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--file=-"]
    return subprocess.run(
        [*command, "--set=ON_ERROR_STOP=1"], input=script, env=environment, text=True, check=True, capture_output=True
    ).stdout.strip()


def make(server, role, password):
    psql(SQL, server | ADMINISTRATOR | {"NEW_ROLE": role, "NEW_PASSWORD": password})


def connected(server, user, password, database):
    answer = psql("SELECT current_user;", server | {"PGUSER": user, "PGPASSWORD": password, "PGDATABASE": database})
    return answer == user


def test_a_role_owns_its_database(server):
    make(server, "first", 'it\'s \\ "quoted"')
    as_first = server | {"PGUSER": "first", "PGPASSWORD": 'it\'s \\ "quoted"', "PGDATABASE": "first"}
    psql("CREATE TABLE x (y int); INSERT INTO x VALUES (1);", as_first)
    assert psql("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'first';", as_first) == "first"


def test_making_it_again_changes_the_password_and_keeps_the_data(server):
    make(server, "second", "old")
    psql("CREATE TABLE x (y int);", server | {"PGUSER": "second", "PGPASSWORD": "old", "PGDATABASE": "second"})
    make(server, "second", "new")
    assert psql("SELECT count(*) FROM x;", server | {"PGUSER": "second", "PGPASSWORD": "new", "PGDATABASE": "second"})
    with pytest.raises(subprocess.CalledProcessError):
        connected(server, "second", "old", "second")


def test_a_role_cannot_connect_to_anothers_database(server):
    make(server, "third", "a")
    make(server, "fourth", "b")
    assert connected(server, "third", "a", "third")
    with pytest.raises(subprocess.CalledProcessError) as refused:
        connected(server, "third", "a", "fourth")
    assert "permission denied for database" in refused.value.stderr


def test_a_role_may_not_make_others(server):
    make(server, "fifth", "a")
    with pytest.raises(subprocess.CalledProcessError, match="non-zero exit status"):
        psql("CREATE ROLE sixth;", server | {"PGUSER": "fifth", "PGPASSWORD": "a", "PGDATABASE": "fifth"})
