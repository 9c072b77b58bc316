"""Find and start the real Pulumi CLI, with an environment of its own and a time limit."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pulumi import automation
from pulumi.automation.errors import create_command_error
from semver import VersionInfo
from simulated_pulumi.providers.dynamic import EXECUTABLE, put_server

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from simulated_pulumi.backend import TemporaryBackend

HOST: Final = "pulumi-language-python"
_PASSED_ON: Final = ("PATH", "LANG", "LC_ALL", "TMPDIR", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "VIRTUAL_ENV")
_INTERRUPT_SECONDS: Final = 15
_VERSIONS: Final[dict[Path, VersionInfo]] = {}
"""Versions of the CLIs that this process has asked."""


class NoEngineError(Exception):
    """The CLI or the language host is not there; the message says what to install."""


@dataclass(frozen=True)
class Cli:
    """The CLI that was found."""

    command: Path
    host: Path | None
    """The Python language host; None if there is none, which is enough for programs that are functions."""


def find_cli() -> Cli:
    """Find `pulumi` on PATH, and the language host beside it or on PATH.

    Raises: NoEngineError.
    """
    found = shutil.which("pulumi")
    if found is None:
        raise NoEngineError("there is no pulumi on PATH; see https://www.pulumi.com/docs/install/")
    command = Path(found)
    beside = command.resolve().parent / HOST
    host = str(beside) if beside.exists() else shutil.which(HOST)
    return Cli(command, None if host is None else Path(host))


class TimeLimitError(Exception):
    """The CLI took too long and was ended."""


class Command(automation.PulumiCommand):
    """Starts the CLI with an environment of its own and ends it when it takes too long."""

    def __init__(self, cli: Cli, backend: TemporaryBackend, timeout_seconds: float) -> None:
        # The base class would ask for the version with the user's environment.
        self.command = str(cli.command)
        self._timeout_seconds = timeout_seconds
        kept = {key: os.environ[key] for key in _PASSED_ON if key in os.environ}
        if cli.host is not None:
            kept["PATH"] = os.pathsep.join([str(cli.host.parent), kept["PATH"]])
        if shutil.which(EXECUTABLE, path=kept.get("PATH")) is None:  # it comes with the official language host
            put_server(backend.folder / "bin")
            kept["PATH"] = os.pathsep.join([kept["PATH"], str(backend.folder / "bin")])
        self._base = kept | backend.environment() | {"HOME": str(backend.home), "PULUMI_AUTOMATION_API": "true"}
        if cli.command not in _VERSIONS:
            told = self.run(["version"], str(backend.folder), {}).stdout
            _VERSIONS[cli.command] = VersionInfo.parse(told.strip().removeprefix("v"))
        self.version = _VERSIONS[cli.command]

    def run(
        self,
        args: list[str],
        cwd: str,
        additional_env: Mapping[str, str],
        on_output: Callable[[str], Any] | None = None,
        on_error: Callable[[str], Any] | None = None,
    ) -> automation.CommandResult:
        """See the base class."""
        words = args if "--non-interactive" in args else ["--non-interactive", *args]
        with subprocess.Popen(
            [self.command, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            cwd=cwd,
            env=self._base | dict(additional_env),
            encoding="utf-8",
            start_new_session=True,
        ) as process:
            readers = [_Reader(process.stdout, on_output), _Reader(process.stderr, on_error)]
            try:
                process.wait(self._timeout_seconds)
            except subprocess.TimeoutExpired:
                _end(process)
                raise TimeLimitError(
                    f"pulumi did not end within {self._timeout_seconds:g} s: {' '.join(words)}"
                ) from None
            except BaseException:
                _end(process)
                raise
            stdout, stderr = (reader.text() for reader in readers)
        result = automation.CommandResult(stderr=stderr, stdout=stdout, code=process.returncode)
        if result.code != 0:
            raise create_command_error(result)
        return result


class _Reader:
    """Collects one stream of the CLI and passes its lines on."""

    def __init__(self, stream: Any, callback: Callable[[str], Any] | None) -> None:
        self._lines: list[str] = []
        self._thread = threading.Thread(target=self._read, args=(stream, callback), daemon=True)
        self._thread.start()

    def _read(self, stream: Any, callback: Callable[[str], Any] | None) -> None:
        for line in stream:
            self._lines.append(line.rstrip())
            if callback is not None:
                callback(line.rstrip())

    def text(self) -> str:
        self._thread.join()
        return "\n".join(self._lines)


def _end(process: subprocess.Popen[str]) -> None:
    """Ask the CLI to stop, as Ctrl-C does, then make it."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(_INTERRUPT_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
