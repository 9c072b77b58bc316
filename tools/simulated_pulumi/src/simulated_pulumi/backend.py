"""A Pulumi backend in a folder that is thrown away, and the proof that an update runs on it.

Simulated providers change nothing unless the stack of the request is locked in such a backend: the CLI holds that lock
for as long as an update runs. So an update of a user's own stack that reaches one by accident is refused.
"""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pathlib import Path

MARK: Final = ".pytest-pulumi"


class TemporaryBackend:
    """State, CLI home and passphrase of one test, below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.state = self.folder / "state"
        self.home = self.folder / "home"
        self._passphrase = self.folder / "passphrase"
        for part in (self.state, self.home):
            part.mkdir(parents=True, exist_ok=True)
        (self.folder / MARK).touch()
        if not self._passphrase.exists():
            self._passphrase.touch(mode=0o600)
            self.passphrase = secrets.token_hex(16)

    @classmethod
    def opened(cls, folder: Path) -> TemporaryBackend:
        """Open a backend that was made before.

        Raises: ValueError for a folder that this class has not made.
        """
        if not (folder / MARK).exists():
            raise ValueError(
                f"{folder} is no temporary backend of simulated-pulumi; make one with TemporaryBackend(folder)"
            )
        return cls(folder)

    @property
    def passphrase(self) -> str:
        """What the keys of secrets are derived from."""
        return self._passphrase.read_text(encoding="utf-8")

    @passphrase.setter
    def passphrase(self, value: str) -> None:
        self._passphrase.write_text(value, encoding="utf-8")

    @property
    def url(self) -> str:
        """The backend as `pulumi login` takes it."""
        return f"file://{self.state}"

    def environment(self) -> dict[str, str]:
        """Give the variables that bind the CLI to this backend and nothing else."""
        return {
            "PULUMI_BACKEND_URL": self.url,
            "PULUMI_HOME": str(self.home),
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(self._passphrase),
            "PULUMI_ACCESS_TOKEN": "",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        }

    def stored(self, stack: str) -> Any:
        """Give the newest deployment of a stack; None where there is none, or no plain file with it."""
        for file in self.state.glob(f".pulumi/stacks/*/{stack}.json"):
            return json.loads(file.read_text(encoding="utf-8"))["checkpoint"]["latest"]
        return None

    def is_updating(self, urn: str) -> bool:
        """Say whether an update of this URN's stack runs on this backend now."""
        stack, project = urn.removeprefix("urn:pulumi:").split("::")[:2]
        locks = self.state / ".pulumi" / "locks" / "organization" / project / stack
        return locks.is_dir() and any(locks.iterdir())
