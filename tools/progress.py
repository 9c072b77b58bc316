"""`python3 -m tools.progress --stack NAME -- pulumi up ...`: runs an update and prints what a person waits for.

Every line of the engine goes to a log. Printed are servers and jobs as they become ready, the stages of a job, what is
under way, and at the end one summary; after a failure also the engine's diagnostics. `-v` among the flags prints
everything, as the engine does by itself.
"""

import argparse
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from infra.base import paths
from tools.console import Screen, ToolError, exit_with_errors_in_one_line, line_buffered

VERBOSE = ("-v", "--verbose")
QUIET_SECONDS = 15.0
"""How long nothing is printed before what is under way is named, where the output is no terminal."""

SHOWN_UNDER_WAY = 3
SERVERS = ("host:index:Process", "host:index:Job", "host:index:KindCluster")
"""Kinds that take a while and that people know by name; the others are files, folders and ports."""

GROUPS = ("mlplatform:index:", "pulumi:pulumi:")
"""Kinds that only group other resources."""

SLOW_SECONDS = 5.0
"""From which duration on any other resource has a line of its own."""

_EVENT = re.compile(
    r"^ *(?P<mark>[-+~<>=@ ]{0,3}) +(?P<type>[\w:./-]+:[\w:./-]+) (?P<name>\S+) (?P<verb>[a-z ]+?)"
    r"(?: \((?P<seconds>[\d.]+)s\))?(?: (?P<status>\S.*))?$"
)
_UNDER_WAY = {"creating", "updating", "deleting", "replacing", "refreshing", "reading", "importing"}
_DONE = {"created": "ready", "updated": "changed", "deleted": "ended", "replaced": "replaced"}
_BLOCKS = ("Diagnostics:", "Policies:", "Outputs:", "Resources:", "Duration:")
_STAGE = re.compile(r"^\[\d+/\d+\] ")
_VIOLATION = re.compile(r"\[(mandatory|advisory|remediate)\]|warning:|error:")


@dataclass
class Update:
    """What the engine's lines said so far."""

    done: int = 0
    """Resources that were made, changed or deleted."""

    under_way: dict[str, float] = field(default_factory=dict)
    """Name -> the moment at which it began, by the monotonic clock."""

    blocks: dict[str, list[str]] = field(default_factory=dict)
    """Heading of a block at the end -> its lines."""

    _block: str | None = None
    _told: set[str] = field(default_factory=set)

    def read(self, line: str) -> Iterator[str]:
        """Take one line of the engine; gives what people are shown of it."""
        text = line.rstrip()
        heading = next((each for each in _BLOCKS if text.startswith(each)), None)
        if heading is not None:
            self._block = heading
            text = text.removeprefix(heading).strip()
        if self._block is not None:
            self.blocks.setdefault(self._block, []).append(text)
            return
        found = _EVENT.match(text)
        if found is not None:
            yield from self._event(found)

    def _event(self, found: re.Match[str]) -> Iterator[str]:
        name, verb, status = found["name"], found["verb"], found["status"] or ""
        if _STAGE.match(status) and status not in self._told:
            self._told.add(status)
            yield f"  {status}"
        if verb in _UNDER_WAY:
            if not found["type"].startswith(GROUPS):
                self.under_way.setdefault(name, time.monotonic())
            return
        self.under_way.pop(name, None)
        seconds = float(found["seconds"] or 0)
        if verb in _DONE and not found["type"].startswith(GROUPS):
            self.done += 1
            if found["type"] in SERVERS or seconds >= SLOW_SECONDS:
                yield f"  {_DONE[verb]:<9}{name} ({seconds:.0f} s)"
        elif verb.endswith("failed"):
            yield f"  failed   {name} ({seconds:.0f} s)"

    def waiting(self) -> str:
        """What is under way, the oldest first, in one line."""
        now = time.monotonic()
        oldest = sorted(self.under_way.items(), key=lambda each: each[1])
        shown = ", ".join(f"{name} {now - begun:.0f} s" for name, begun in oldest[:SHOWN_UNDER_WAY])
        more = f" and {left} more" if (left := len(oldest) - SHOWN_UNDER_WAY) > 0 else ""
        return f"  {self.done} resources done" + (f"; under way: {shown}{more}" if shown else "")

    def summary(self) -> str:
        """How many resources got which change, and how long it took."""
        counts = ", ".join(part for line in self.blocks.get("Resources:", []) if (part := line.strip(" +-~=")))
        duration = next(iter(self.blocks.get("Duration:", [])), "")
        return f"{counts or 'nothing was done'}{f' in {duration}' if duration else ''}"

    def complaints(self, *, failed: bool) -> list[str]:
        """Lines of diagnostics and policies: all after a failure, else those that warn."""
        told = [line for heading in ("Diagnostics:", "Policies:") for line in self.blocks.get(heading, [])]
        return [line for line in told if line.strip()] if failed else [line for line in told if _VIOLATION.search(line)]


def follow(lines: Iterable[str], log: TextIO, screen: Screen) -> Update:
    """Read an update to its end; the log gets every line, the screen what `Update` makes of them."""
    update, last = Update(), time.monotonic()
    for line in lines:
        log.write(line)
        shown = list(update.read(line))
        for text in shown:
            screen.line(text)
        if screen.is_terminal:
            screen.status(update.waiting())
        elif shown:
            last = time.monotonic()
        elif time.monotonic() - last >= QUIET_SECONDS and update.under_way:
            screen.line(update.waiting())
            last = time.monotonic()
    screen.status("")
    return update


def run(command: Sequence[str], log_file: Path, screen: Screen) -> int:
    """Run the update; returns its exit status."""
    signal.signal(signal.SIGINT, lambda *_: None)  # the engine ends by itself, and is followed until then
    log_file.parent.mkdir(parents=True, exist_ok=True)
    log_file.touch(mode=0o600)
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
    except OSError as error:
        raise ToolError(f"{command[0]} cannot be started: {error.strerror}") from error
    with process, log_file.open("w", encoding="utf-8") as log:
        update = follow(process.stdout or (), log, screen)
    status = process.returncode
    for line in update.complaints(failed=status != 0):
        screen.line(line)
    if status == 0:
        screen.line(screen.bold(f"Up: {update.summary()}") + f"; log: {log_file}")
    else:
        sys.stderr.write(f"error: the update failed; the lines above say why, and {log_file} has all of them\n")
    return status


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command of the engine with progress."""
    parser = argparse.ArgumentParser(prog="python3 -m tools.progress", description=__doc__)
    parser.add_argument("--stack", required=True)
    parser.add_argument("command", nargs="+", metavar="-- COMMAND")
    given = parser.parse_args(arguments)
    command = [word for word in given.command if word not in VERBOSE]
    if len(command) < len(given.command):
        return subprocess.run(command, check=False).returncode
    return run(command, paths.state_dir() / f"up.{given.stack}.log", Screen(line_buffered(sys.stdout)))


if __name__ == "__main__":
    exit_with_errors_in_one_line(main)
