"""What the tools say: progress on standard error, and errors that are one line with a way out."""

import errno
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TextIO

HEARTBEAT_SECONDS = 20.0
"""A command that says nothing is reported to be running this often."""


class ToolError(Exception):
    """Something cannot be had; the text says what, why, and how to get it."""


class Screen:
    """Where people read: a terminal gets colours and a line that is renewed, everything else plain lines."""

    def __init__(self, stream: TextIO, environ: Mapping[str, str] = os.environ) -> None:
        """Colours are off where `environ` has `NO_COLOR` or `TERM=dumb`.

        Source: https://no-color.org
        """
        self._stream = stream
        self.is_terminal = stream.isatty() and environ.get("TERM") != "dumb"
        """Whether a line can be renewed in place."""

        self.has_colours = self.is_terminal and not environ.get("NO_COLOR")
        self._status = ""

    @property
    def width(self) -> int:
        """Columns of the terminal; 120 for a file or a pipe."""
        return shutil.get_terminal_size((WIDTH, 24)).columns if self.is_terminal else WIDTH

    def bold(self, text: str) -> str:
        """Emphasized text."""
        return f"\x1b[1m{text}\x1b[0m" if self.has_colours else text

    def line(self, text: str) -> None:
        """Print one line above the status."""
        status, self._status = self._status, ""
        self._stream.write(f"{_CLEARED if status else ''}{text}\n")
        if status:
            self.status(status)

    def status(self, text: str) -> None:
        """Renew the last line of a terminal, cut to its width; empty removes it. Elsewhere nothing is printed."""
        if not self.is_terminal:
            return
        self._stream.write(f"{_CLEARED}{text[: self.width - 1]}")
        self._stream.flush()
        self._status = text


WIDTH = 120
_CLEARED = "\r\x1b[K"
_TIMES = "\N{MULTIPLICATION SIGN}"
_LINK = re.compile(r"^(?:Caused by: |[├╰]─▶ )")
"""Of a chain of causes, as uv and other programs print it."""


def line_buffered(stream: TextIO) -> TextIO:
    """The stream, which prints each line at once also where it is a pipe."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(line_buffering=True)
    return stream


def say(text: str) -> None:
    """One progress line; standard error, because standard output is for results."""
    sys.stderr.write(f"==> {text}\n")
    sys.stderr.flush()


def exit_with_errors_in_one_line(main: Callable[[], int]) -> None:
    """Run a command line; a `ToolError` becomes one line and exit code 1, an interrupt exit code 130."""
    try:
        code = main()
    except ToolError as error:
        sys.stderr.write(f"error: {error}\n")
        code = 1
    except BrokenPipeError:  # the reader, such as `head`, has what it wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        where = f" at {error.filename}" if error.filename else ""
        sys.stderr.write(f"error: {error.strerror}{where}: free some space, then run the same command again\n")
        code = 1
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; run the same command again to continue\n")
        code = 130
    sys.exit(code)


def run(
    command: Sequence[str | Path],
    otherwise: str = "",
    *,
    name: str | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout_seconds: float | None = None,
) -> str:
    """Run a command without input and give what it wrote to standard output; its silence is filled with a heartbeat.

    Raises: ToolError with the command's `name`, its last line and `otherwise`, the way out.
    """
    started = time.monotonic()
    name = name or Path(command[0]).name
    way_out = f"; {otherwise}" if otherwise else ""
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        try:
            process = subprocess.Popen(
                list(map(str, command)),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                cwd=cwd,
                env=env,
                close_fds=False,  # what is marked inheritable, as `stamps.only_one` marks its lock
            )
        except OSError as error:
            raise ToolError(f"{name} cannot be started: {error.strerror}{way_out}") from error
        try:
            code = _wait(process, started, timeout_seconds)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        output.seek(0)
        errors.seek(0)
        written, complaint = output.read(), errors.read()
    if code is None:
        raise ToolError(f"{name} did not end within {timeout_seconds:.0f} s{way_out}")
    if code != 0:
        raise ToolError(f"{name} failed ({_cause(complaint + written) or f'exit code {code}'}){way_out}")
    return written


def _wait(process: subprocess.Popen[bytes], started: float, timeout_seconds: float | None) -> int | None:
    while True:
        taken = time.monotonic() - started
        if timeout_seconds is not None and taken >= timeout_seconds:
            return None
        left = HEARTBEAT_SECONDS if timeout_seconds is None else min(HEARTBEAT_SECONDS, timeout_seconds - taken)
        try:
            return process.wait(left)
        except subprocess.TimeoutExpired:
            sys.stderr.write(f"    ... {time.monotonic() - started:.0f} s\n")


def _cause(text: str) -> str:
    """What a command said last, but hints; with the first error where a chain of causes leads from it, as uv's does."""
    lines = [found for line in text.splitlines() if (found := line.strip(" \t│"))]
    lines = [line for line in lines if not line.lower().startswith(("hint:", "help:"))]
    first = next((line for line in lines if line.startswith(("error:", f"{_TIMES} "))), "")
    if not first or not _LINK.match(lines[-1]):
        return lines[-1] if lines else ""
    begun = first.removeprefix("error:").strip(f" {_TIMES}")
    return f"{begun}: {_LINK.sub('', lines[-1])}"
