"""A real Postgres server for tests; it refuses to run as root, so root gives it the user that its package makes."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from .servers import free_port

START_SECONDS = 60
USER = "postgres"


def program(name):
    """Path of one of its programs; Debian keeps them off PATH. Skips the test when there is none."""
    found = shutil.which(name) or next(iter(Path("/usr/lib/postgresql").glob(f"*/bin/{name}")), None)
    if found is None:
        pytest.skip("postgresql is not installed; `python3 -m tools.install test-system` brings it")
    return found


@contextmanager
def server():
    """Start it; gives a function that makes an empty place for tables and returns its SQLAlchemy URL."""
    initdb, postgres = program("initdb"), program("postgres")
    folder = Path(tempfile.mkdtemp(prefix="mlp-postgres-"))
    password = folder / "password"
    password.write_text("a-password-of-this-test\n")
    as_user = {}
    if os.geteuid() == 0:
        shutil.chown(folder, USER)
        shutil.chown(password, USER)
        as_user = {"user": USER, "group": USER, "extra_groups": []}
    port = free_port()
    data = folder / "data"
    command = [initdb, "-D", data, "-U", "test", "-A", "scram-sha-256", f"--pwfile={password}", "--no-sync"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=folder, **as_user)
    options = ["-p", str(port), "-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={folder}"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [postgres, "-D", data, *options, "-c", "fsync=off"], stdout=log, stderr=log, cwd=folder, **as_user
        )
        address = f"test:a-password-of-this-test@127.0.0.1:{port}"
        try:
            await_answer(f"postgresql://{address}/postgres", process, folder / "log")
            yield lambda: new_schema(address)
        finally:
            process.send_signal(signal.SIGQUIT)  # waits for no client and writes nothing more: nobody needs the data
            process.wait(timeout=START_SECONDS)
            shutil.rmtree(folder)


def new_schema(address):
    """A schema instead of a database: a thousandth of the time and of the files."""
    name = f"ledger_{time.time_ns()}"
    with psycopg.connect(f"postgresql://{address}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}")
    return f"postgresql+psycopg://{address}/postgres?options=-csearch_path%3D{name}"


def await_answer(url, process, log):
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        else:
            return
