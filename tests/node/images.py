"""Stand-ins for the images of others' servers, which no registry that can be reached here has.

Each has the name that the stack files give and a program of this machine: Debian's Redis and Postgres, OPA and
versitygw as the installer builds them. What the official images contain is not proved by them.
"""

from collections.abc import Mapping
from pathlib import Path

import pytest
from pytest_pulumi_kubernetes import KubeTools, MissingToolError
from pytest_pulumi_kubernetes.real_node import REGISTRY
from pytest_pulumi_kubernetes.stand_ins import PATH, Image

from infra.base import pins
from infra.database.kubernetes import USER as POSTGRES_USER

NAMED = pytest.StashKey[list[str]]()
"""What the summary of a session says of the images that it used."""

SYSTEM = (Path("/usr/sbin"), Path("/usr/bin"), Path("/bin"))
POSTGRES = Path("/usr/lib/postgresql")
CLIENT = f"{REGISTRY}/mlplatform/client:1"
"""An image of our own with a shell, `wget`, `nc` and `nslookup`, by which tests look at a cluster from within."""


def own(digests: Mapping[str, str]) -> str:
    """The client's image as a stack pulls its own images: by its digest, from the registry on loopback."""
    return f"{CLIENT.rpartition(':')[0]}@{digests[CLIENT]}"


POSTGRES_START = """\
#!/bin/sh
# What the official image's entry point does with the variables that the platform sets.
set -e
case "$1" in -*) set -- postgres "$@" ;; esac
if [ "$1" = postgres ] && [ ! -s "$PGDATA/PG_VERSION" ]; then
  mkdir -p "$PGDATA"
  printf '%s' "$POSTGRES_PASSWORD" > /tmp/password
  initdb --username="$POSTGRES_USER" --pwfile=/tmp/password --encoding=UTF8 --locale=C $POSTGRES_INITDB_ARGS
  rm /tmp/password
  echo 'host all all all scram-sha-256' >> "$PGDATA/pg_hba.conf"
  echo "listen_addresses = '*'" >> "$PGDATA/postgresql.conf"
fi
exec "$@"
"""


def stand_ins(tools: KubeTools) -> list[Image]:
    """Every image that the tests of the node name; raises MissingToolError."""
    return [
        Image(reference=CLIENT),
        Image(
            reference=pins.VERSITYGW_IMAGE,
            stands_for="versitygw built from its Go module, with busybox",
            files={"/usr/local/bin/versitygw": tools.find("versitygw")},
        ),
        Image(
            reference=pins.OPA_IMAGE,
            stands_for="OPA built from its Go module, with busybox",
            files={"/opa": tools.find("opa")},
            entrypoint=["/opa"],
        ),
        Image(
            reference=pins.REDIS_IMAGE,
            stands_for="Debian's Redis, an older one than the image's",
            files={f"/usr/local/bin/{name}": tools.find(name) for name in ("redis-server", "redis-cli")},
        ),
        _postgres(),
    ]


def _postgres() -> Image:
    """Postgres as Debian has it, at the paths that are compiled into it."""
    found = sorted(POSTGRES.glob("*/bin/postgres"))
    if not found:
        raise MissingToolError(f"there is no {POSTGRES}/*/bin/postgres: run `python3 -m tools.install node-system`")
    home = found[-1].parents[1]
    share = Path("/usr/share/postgresql") / home.name
    programs = {f"{home}/bin/{name}": home / "bin" / name for name in ("initdb", "pg_isready", "postgres", "psql")}
    libraries = {f"{home}/lib/{path.name}": path for path in (home / "lib").glob("*.so") if "llvm" not in path.name}
    return Image(
        reference=pins.POSTGRES_IMAGE,
        stands_for=f"Debian's Postgres {home.name}, an older one than the image's",
        files={**programs, **libraries, str(share): share, "/usr/local/bin/docker-entrypoint.sh": POSTGRES_START},
        entrypoint=["docker-entrypoint.sh"],
        environment={"PATH": f"{home}/bin:{PATH}"},
        users={"postgres": POSTGRES_USER},
    )
