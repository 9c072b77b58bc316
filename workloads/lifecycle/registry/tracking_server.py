"""MLflow's server behind a login, for a machine with several accounts; on clusters the network decides who asks.

An application in the sense of MLflow's entry points `mlflow.app`, which `mlflow server --app-name` starts. That of
MLflow, `basic-auth`, needs packages that MLflow does not bring, and keeps its users in a database.
Source: https://mlflow.org/docs/latest/ml/plugins/
"""

from typing import TYPE_CHECKING

from workloads.lifecycle.base.environment import load
from workloads.lifecycle.base.login import LoginOnly
from workloads.lifecycle.base.pages import OwnPagesOnly, names_of

if TYPE_CHECKING:
    from starlette.types import ASGIApp

HEALTH = "/health"


def app() -> "ASGIApp":
    """The application; the login is the one that clients of this machine show.

    Raises: WorkloadError without a user or password: nothing is served to everybody by mistake.
    """
    environment = load()
    user, password = environment.need("mlflow_tracking_username"), environment.need("mlflow_tracking_password")

    from mlflow.server.fastapi_app import app as served  # noqa: PLC0415  three seconds of imports

    return OwnPagesOnly(LoginOnly(served, user, password, [HEALTH]), names_of(environment.listen_address))
