"""`python -m workloads.lifecycle.operations.recovery`: makes anew what was lost of a finished release.

Two results of a release can vanish while its inputs stay the same: the champion, when its version, the registry's
database or its bundle is deleted or damaged, and the rows of the online store. With `--check` nothing is changed: exit
status 3 names what is lost, 1 says that a server could not be asked. `make up` runs the check at each refresh, and this
command when the check fails.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from workloads.lifecycle.base.command import quiet_libraries
from workloads.lifecycle.base.environment import Environment, load
from workloads.lifecycle.base.errors import DataError, WorkloadError, run_command
from workloads.lifecycle.base.mlflow_api import RegistryDownError
from workloads.lifecycle.base.store import Store
from workloads.lifecycle.ingestion.ingest import current
from workloads.lifecycle.registry.signature import Trust
from workloads.lifecycle.serving.source import RegistrySource
from workloads.lifecycle.training import reference
from workloads.lifecycle.training.bundle import BundleError

LOST = 3
"""Exit status of a check that found something lost."""

_SECONDS = 5.0
_KEYS_AT_ONCE = 10_000


def lost_champion(environment: Environment) -> str | None:
    """Why the registry has no champion that a model server would serve; None when it has one.

    Raises WorkloadError when the registry cannot be asked.
    """
    try:
        champion = reference.champion(environment)
    except DataError as error:
        return str(error)
    uri = environment.need("mlflow_tracking_uri")
    environment.work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=environment.work) as folder:
        try:
            trust, login = Trust.of(environment), environment.mlflow_login
            RegistrySource(uri, Path(folder), environment.definition, trust, login).fetch(champion.version)
        except BundleError as error:
            model = environment.definition.model_name
            return f"the champion of {model}, version {champion.version}, cannot be served: {error}"
        except RegistryDownError as error:
            raise WorkloadError(f"MLflow at {uri} does not give version {champion.version}: {error}") from error
    return None


def lost_features(environment: Environment) -> str | None:
    """Why the online store cannot hold the published features; None when it may.

    Counts the workload's keys: a store that came back empty is found, a changed value is not. Raises WorkloadError when
    a store cannot be asked.
    """
    online = environment.need("feast_online_store")
    if online.startswith("sqlite:"):
        return None
    try:
        published = current(Store.open(environment))
    except DataError:
        return None  # a release publishes them
    keys = _keys(online, environment.definition.module_name)
    wanted = published.entities or published.rows
    if keys >= wanted:
        return None
    return f"the online store has {keys} keys, but run {published.run} published {wanted} rows"


def repair(environment: Environment, *, champion: bool) -> None:
    """Fill an online store that lost rows and, with `champion`, release a model when there is none to serve."""
    from workloads.lifecycle.base.servers import wait_for_mlflow, wait_for_online_store  # noqa: PLC0415
    from workloads.lifecycle.features.publication import refresh  # noqa: PLC0415
    from workloads.lifecycle.retraining import release  # noqa: PLC0415  seconds of imports that a check does not need

    quiet_libraries()
    if champion:
        wait_for_mlflow(environment)
        if reason := lost_champion(environment):
            print(f"[recovery] {reason}: releasing", flush=True)
            release.main()  # fills the online store as well
            return
    wait_for_online_store(environment)
    if reason := lost_features(environment):
        print(f"[recovery] {reason}: materializing", flush=True)
        done = refresh(environment)
        print(f"[recovery] {done.rows} rows online, {done.parity_checked} compared", flush=True)


def _keys(online: str, project: str) -> int:
    """Keys of a Feast project, whose name each of them ends in; other workloads may share the store."""
    import redis  # noqa: PLC0415  comes with Feast
    from redis.backoff import NoBackoff  # noqa: PLC0415
    from redis.retry import Retry  # noqa: PLC0415

    address, *options = online.split(",")
    host, _, port = address.rpartition(":")
    given = dict(option.split("=", maxsplit=1) for option in options)
    client = redis.Redis(
        host=host,
        port=int(port),
        username=given.get("username"),
        password=given.get("password"),
        ssl=given.get("ssl", "").lower() == "true",
        socket_timeout=_SECONDS,
        socket_connect_timeout=_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
    try:
        return sum(1 for _ in client.scan_iter(match=f"*{project}", count=_KEYS_AT_ONCE))
    except redis.RedisError as error:
        raise WorkloadError(f"the online store at {address} does not answer: {error}") from error
    finally:
        client.close()


def main() -> None:
    """Command: check, or make anew."""
    parser = argparse.ArgumentParser(prog="python -m workloads.lifecycle.operations.recovery", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit status 3 when something is lost")
    parser.add_argument("--features-only", action="store_true", help="leave the champion alone: a version is pinned")
    given = parser.parse_args()
    del sys.argv[1:]  # the release's command reads its own
    environment = load()
    if not given.check:
        repair(environment, champion=not given.features_only)
        return
    lost = None if given.features_only else lost_champion(environment)
    lost = lost or lost_features(environment)
    if lost:
        print(lost)
        sys.exit(LOST)


if __name__ == "__main__":
    run_command(main)
