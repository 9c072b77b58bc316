"""Loads the bearer tokens of the retraining service, for the service and its clients."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from workloads.lifecycle.base.environment import Environment
from workloads.lifecycle.base.errors import WorkloadError

MIN_TOKEN = 16
"""Characters below which a token can be guessed."""

Scope = Literal["operator", "alerts", "outcomes", "schedule", "release", "viewer"]
"""What a token is for: a person's commands, Alertmanager's deliveries, the outcomes that another system learns, a
timer's retrain, a version's signature, and reading alone, as the start page does."""


class Former(BaseModel):
    """Tokens before a rotation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    until: AwareDatetime = datetime.min.replace(tzinfo=UTC)
    tokens: Mapping[Scope, str] = {}

    def counting(self, now: datetime) -> dict[str, Scope]:
        """Token -> its scope, of those that count at a time."""
        return {text: scope for scope, text in self.tokens.items()} if now < self.until else {}


def former(environment: Environment) -> Former:
    """What FORMER_TOKENS says; raises WorkloadError."""
    try:
        return Former.model_validate_json(environment.former_tokens or "{}")
    except ValidationError as error:
        raise WorkloadError(f"FORMER_TOKENS cannot be read: {error.errors(include_input=False)[0]['msg']}") from None


def tokens(environment: Environment) -> dict[str, Scope]:
    """Token -> its scope, of all that the service is told; raises WorkloadError as `token` does, or for two alike."""
    given: dict[Scope, str] = {
        "operator": token(environment),
        "alerts": environment.alert_token,
        "outcomes": environment.outcomes_token,
        "schedule": environment.schedule_token,
        "release": environment.sign_token,
        "viewer": environment.view_token,
    }
    known = {scope: text for scope, text in given.items() if text}
    if short := [scope for scope, text in known.items() if len(text) < MIN_TOKEN]:
        raise WorkloadError(f"the token of scope {short[0]} must hold at least {MIN_TOKEN} characters")
    if len(set(known.values())) < len(known):
        raise WorkloadError(f"the tokens of the scopes {', '.join(known)} must differ: two are the same")
    return {text: scope for scope, text in known.items()}


def token(environment: Environment) -> str:
    """An operator's token, or the one that its process was given; raises WorkloadError when it is missing or short."""
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
