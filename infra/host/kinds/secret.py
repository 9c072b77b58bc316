"""A random value, made once and kept in the engine's encrypted state only."""

import secrets
import string

from infra.host.kinds import Host, Outputs, Request
from infra.host.models import SecretInputs

ALPHABET = string.ascii_letters + string.digits


class SecretKind:
    """Realizes `Kind` from the operating system's randomness."""

    model = SecretInputs
    replace_on = frozenset({"length"})

    def create(self, host: Host, request: Request[SecretInputs]) -> Outputs:
        """Draw it."""
        del host
        return {"value": "".join(secrets.choice(ALPHABET) for _ in range(request.inputs.length))}

    def read(self, host: Host, request: Request[SecretInputs], outputs: Outputs) -> Outputs | None:
        """It is nowhere but in the state."""
        del host, request
        return outputs

    def drift(self, host: Host, inputs: SecretInputs, outputs: Outputs) -> list[str]:
        """It cannot drift."""
        del host, inputs, outputs
        return []

    def update(self, host: Host, request: Request[SecretInputs], outputs: Outputs) -> Outputs:
        """Nothing can be updated in place."""
        del host, request
        return outputs

    def delete(self, host: Host, request: Request[SecretInputs], outputs: Outputs) -> None:
        """Nothing to remove."""
        del host, request, outputs
