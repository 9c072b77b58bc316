"""The bearer token that the retraining service asks for, as its own process and whoever calls it read it."""

from workloads.loan_default.errors import WorkloadError
from workloads.loan_default.settings import Environment

MIN_TOKEN = 16
"""Characters below which a token can be guessed."""


def token(environment: Environment) -> str:
    """The bearer token; raises WorkloadError when there is none, or it is short."""
    found = environment.retrain_token
    path = environment.retrain_token_file
    if not found and path is not None:
        try:
            found = path.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise WorkloadError(f"RETRAIN_TOKEN_FILE={path} cannot be read: {error.strerror}") from error
    if len(found) < MIN_TOKEN:
        raise WorkloadError(
            f"RETRAIN_TOKEN (or the file RETRAIN_TOKEN_FILE) must hold at least {MIN_TOKEN} characters, "
            f"it holds {len(found)}"
        )
    return found
