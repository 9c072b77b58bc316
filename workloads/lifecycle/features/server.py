"""`python -m workloads.lifecycle.features.server`: serves the features of one Feast project for reading.

Feast's own server also writes the online store, materializes and chats, for everybody who reaches its port. Of its
routes only those that read are kept.
"""

import argparse
from typing import TYPE_CHECKING, Any

from workloads.lifecycle.base.command import add_address, quiet_libraries
from workloads.lifecycle.base.environment import load
from workloads.lifecycle.base.errors import run_command
from workloads.lifecycle.base.pages import OwnPagesOnly, names_of
from workloads.lifecycle.features.publication import REPOSITORY

if TYPE_CHECKING:
    from feast import FeatureStore

READING = frozenset({"/get-online-features", "/health"})
"""Paths of the routes that are kept."""
REGISTRY_TTL_SECONDS = 5
"""Seconds after which a feature that was registered just now is served."""
_KEEP_ALIVE_SECONDS = 30


def app(store: "FeatureStore", host: str) -> OwnPagesOnly:
    """The ASGI application; `host`: address that it will listen on."""
    from feast.feature_server import get_app  # noqa: PLC0415  ten seconds of imports
    from feast.permissions.server import utils  # noqa: PLC0415

    kind = utils.str_to_auth_manager_type(store.config.auth_config.type)
    utils.init_security_manager(auth_type=kind, fs=store)
    utils.init_auth_manager(auth_type=kind, server_type=utils.ServerType.REST, auth_config=store.config.auth_config)
    made = get_app(store, REGISTRY_TTL_SECONDS)
    made.router.routes[:] = [route for route in made.router.routes if _path(route) in READING]
    return OwnPagesOnly(made, names_of(host))


def _path(route: Any) -> str | None:
    return getattr(route, "path", None)


def main() -> None:
    """Command: serve until SIGTERM or SIGINT."""
    quiet_libraries()
    parser = argparse.ArgumentParser(prog="python -m workloads.lifecycle.features.server", description=__doc__)
    add_address(parser, load())
    arguments = parser.parse_args()

    import uvicorn  # noqa: PLC0415
    from feast import FeatureStore  # noqa: PLC0415  ten seconds of imports

    uvicorn.run(
        app(FeatureStore(repo_path=str(REPOSITORY)), arguments.host),
        host=arguments.host,
        port=arguments.port,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        log_level="warning",
        access_log=False,
    )


if __name__ == "__main__":
    run_command(main)
