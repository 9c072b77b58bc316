"""What the commands of several stages share: quiet libraries, and the address that a server listens on."""

import argparse
import logging
import os

from workloads.lifecycle.base.environment import Environment


def quiet_libraries() -> None:
    """Keep the progress bars, links and advice of MLflow and Feast off the log."""
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("TQDM_DISABLE", "1")
    for name in ("mlflow", "feast", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)


def add_address(parser: argparse.ArgumentParser, environment: Environment) -> None:
    """Add `--port` and `--host` of a server, by default what the environment says."""
    parser.add_argument(
        "--port",
        type=int,
        default=environment.port,
        required=environment.port is None,
        help="TCP port (default: $PORT)",
    )
    parser.add_argument("--host", default=environment.listen_address, help="address to bind (default: %(default)s)")
