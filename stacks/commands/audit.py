"""`python -m stacks.commands.audit show|note --stack NAME`: who did what on a stack, and what commands did to it.

Reads the stack's outputs as JSON from standard input (`pulumi stack output --json --show-secrets`); without any, the
stack is down, and the copies that `make down` kept are shown. What `note` cannot deliver waits in the state folder for
the next `make up`, `down` or `audit`, and blocks nothing.
"""

import argparse
import datetime as dt
import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

from infra.base import paths
from policies import exemptions
from stacks.commands.forward import ForwardError, led, of_workload
from workloads.lifecycle.base import identity
from workloads.lifecycle.registry.audit_entry import Action, Event, troubles

TIMEOUT_SECONDS = 60
NOTE_SECONDS = 5
"""What a command waits for the service to take a note."""

_FIELDS = ("time", "actor", "action", "stack", "workload", "object", "outcome", "reason")


class AuditError(Exception):
    """The log cannot be shown; one line that says why, and the fix."""


def since(text: str, now: dt.datetime) -> dt.datetime | None:
    """The beginning of a day, in UTC; raises AuditError for a text that is no date, or a day in the future."""
    if not text:
        return None
    try:
        day = dt.datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=dt.UTC)
    except ValueError:
        raise AuditError(f"SINCE={text} is no date: write year, month and day, e.g. SINCE={now:%Y-%m-%d}") from None
    if day > now:
        raise AuditError(f"SINCE={text} is in the future: today is {now:%Y-%m-%d}, in UTC; give a day up to it")
    return day


class Log:
    """The log of one stack: at its retraining services, in the copy, and what waits here."""

    def __init__(self, stack: str, outputs: Mapping[str, Any]) -> None:
        self._stack = stack
        self._outputs = led(outputs) if outputs else {}
        self.is_up = bool(outputs)
        self._folder = paths.state_dir() / "audit"
        self._waiting = self._folder / f"{stack}-waiting"

    def note(self, events: Sequence[Event]) -> None:
        """Keep events here, then deliver what waits; what the service does not take stays."""
        for folder in (self._folder, self._waiting):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for number, event in enumerate(events):
            partial = self._waiting / f".{event.id}"
            partial.write_text(event.model_dump_json())
            partial.rename(self._waiting / f"{event.time:%Y%m%dT%H%M%S%f}-{number:03d}-{event.id}.json")
        self.deliver()

    def deliver(self) -> str:
        """Give the default workload's service what waits; returns why it could not."""
        if not self._outputs:
            return "the stack is down"
        for file in sorted(self._waiting.glob("*.json")):
            event = Event.model_validate_json(file.read_bytes())
            told = event.model_dump(mode="json", include={"id", "time", "action", "object", "outcome", "reason"})
            try:
                _ask(self._outputs, "/audit", NOTE_SECONDS, told, actor=event.actor)
            except AuditError as error:
                return str(error)
            file.unlink()
        return ""

    def waiting(self) -> list[dict[str, Any]]:
        """What was not delivered yet."""
        return [json.loads(file.read_bytes()) for file in sorted(self._waiting.glob("*.json"))]

    def ends_with_down(self) -> bool:
        """Whether the last note of a stack that is down says so."""
        last = self.waiting()[-1:]
        return [(each["action"], each["outcome"]) for each in last] == [(Action.DOWN, "done")]

    def copies(self) -> list[Path]:
        """The log as it was before each `make down`, oldest first: what each workload's service answered."""
        return sorted(self._folder.glob(f"{self._stack}-down-*.json"))

    def keep(self, now: dt.datetime) -> None:
        """Copy the log to where it stays when the stack is gone; raises AuditError."""
        copy = self._folder / f"{self._stack}-down-{now:%Y%m%dT%H%M%S}.json"
        partial = copy.with_suffix(f".{os.getpid()}")
        partial.touch(mode=0o600)
        partial.write_text(json.dumps(self._live("", None), indent=1))
        partial.replace(copy)

    def read(self, workload: str, begin: dt.datetime | None) -> dict[str, Any]:
        """Entries by name, and names of older ones, by workload, also of stacks of this name that are gone.

        Raises: AuditError.
        """
        found = self._live(workload, begin) if self.is_up else {}
        name = workload.replace("_", "-")
        known: set[str] = set()
        for copy in self.copies():
            logs: dict[str, Any] = json.loads(copy.read_bytes())
            known |= logs.keys()
            found |= {f"{each} in {copy.name}": log for each, log in logs.items() if name in ("", each)}
        if not found and not known:
            raise AuditError(
                f"the stack {self._stack} is not up, and no copy of its log is kept: `make up` brings it up"
            )
        if not found:
            raise AuditError(f"the log has no workload {name!r} (it has {', '.join(sorted(known))}): correct WORKLOAD")
        return found

    def _live(self, workload: str, begin: dt.datetime | None) -> dict[str, Any]:
        query = f"?{urllib.parse.urlencode({'since': begin.isoformat()})}" if begin else ""
        names = [workload] if workload else sorted(self._outputs.get("endpoints", {"": None}))
        try:
            chosen = {name: of_workload(self._outputs, name) for name in names}
        except ForwardError as error:
            raise AuditError(str(error)) from None
        return {name: _ask(each, f"/audit{query}", TIMEOUT_SECONDS) for name, each in chosen.items()}


def _ask(
    outputs: Mapping[str, Any], path: str, seconds: float, body: Mapping[str, Any] | None = None, actor: str = ""
) -> dict[str, Any]:
    """Answer of a workload's retraining service; raises AuditError."""
    url, token = outputs.get("retrain_url"), outputs.get("retrain_token")
    if not url or not token:
        raise AuditError("the stack's outputs name no retraining service: run `make up` to its end")
    request = urllib.request.Request(  # noqa: S310  an output of the stack
        str(url).removesuffix("/retrain") + path,
        data=None if body is None else json.dumps(body).encode(),
        headers={"authorization": f"Bearer {token}", "x-actor": actor or identity.actor()},
    )
    try:
        with urllib.request.urlopen(request, timeout=seconds) as answer:  # noqa: S310
            return dict(json.load(answer))
    except urllib.error.HTTPError as error:
        told = error.read(300).decode(errors="replace")
        raise AuditError(f"{url}: {HTTPStatus(error.code).phrase}: {told}") from None
    except (OSError, ValueError) as error:
        raise AuditError(f"the retraining service at {url} does not answer ({error}): run `make doctor`") from None


def events(stack: str, action: Action, outcome: str, now: dt.datetime, about: str = "") -> list[Event]:
    """What a command did to a stack, or to a part of it; a finished `up` has an entry for each exemption that held."""
    actor = identity.actor()

    def event(action: Action, what: str, outcome: str, reason: str) -> Event:
        return Event(
            id=uuid.uuid4().hex,
            time=now,
            actor=actor,
            action=action,
            stack=stack,
            workload="",
            object=what[:500],
            outcome=outcome,
            reason=reason[:500],
        )

    is_up = action is Action.UP and outcome == "done"
    held = [each for each in exemptions.load() if is_up and each.is_about(stack)]
    return [
        event(action, about or f"stack {stack}", outcome, ""),
        *(
            event(
                Action.EXEMPTION,
                f"{each.rule} on {each.resource}",
                "held",
                f"{each.owner}, until {each.expiry}: {each.reason}",
            )
            for each in held
            if now.date() <= each.expiry
        ),
    ]


def shown(
    logs: Mapping[str, Any], waiting: Sequence[dict[str, Any]], begin: dt.datetime | None
) -> list[dict[str, Any]]:
    """Every entry since a day, once, by time."""
    found = [record for log in logs.values() for record in log["entries"].values() if isinstance(record, dict)]
    by_id = {str(record.get("id")): record for record in (*waiting, *found)}
    entries = [record for record in by_id.values() if begin is None or _time(record) >= begin]
    return sorted(entries, key=lambda record: (_time(record), record.get("number", 0)))


def _time(record: Mapping[str, Any]) -> dt.datetime:
    try:
        return dt.datetime.fromisoformat(str(record.get("time")))
    except ValueError:
        return dt.datetime.max.replace(tzinfo=dt.UTC)


def table(entries: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Lines for people."""
    rows = [_FIELDS, *(tuple(_cell(name, entry) for name in _FIELDS) for entry in entries)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(_FIELDS))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _cell(name: str, entry: Mapping[str, Any]) -> str:
    text = str(entry.get(name, ""))
    if name == "time":
        text = text[:19]
    return "".join(each if each.isprintable() else "?" for each in text) or "-"


def main(arguments: Sequence[str] | None = None) -> int:
    """Show the log, or note what a command did."""
    parser = argparse.ArgumentParser(prog="python -m stacks.commands.audit", description=__doc__)
    parser.add_argument("do", choices=["show", "note"])
    parser.add_argument("--stack", required=True)
    parser.add_argument("--since", default="", help="day from which on entries are shown, e.g. 2026-11-01")
    parser.add_argument("--workload", default="", help="whose entries are shown (default: every workload's)")
    parser.add_argument("--json", action="store_true", help="a line of JSON an entry")
    parser.add_argument("--action", type=Action, default=Action.UP, help="what is noted")
    parser.add_argument("--about", default="", help="what it was done to (default: the stack)")
    parser.add_argument("--outcome", default="done")
    parser.add_argument("--keep", action="store_true", help="keep a copy of the log, too")
    given = parser.parse_args(arguments)
    now = dt.datetime.now(dt.UTC)
    text = "" if sys.stdin.isatty() else sys.stdin.read()
    log = Log(given.stack, json.loads(text) if text else {})
    try:
        if given.do == "note":
            return _note(log, given, now)
        return _show(log, given, since(given.since, now))
    except AuditError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1


def _note(log: Log, given: argparse.Namespace, now: dt.datetime) -> int:
    """A command is not held up by its note: what goes wrong is a warning."""
    if given.action is Action.DOWN and not log.is_up and (not log.copies() or log.ends_with_down()):
        return 0  # there is nothing to take down
    try:
        log.note(events(given.stack, given.action, given.outcome, now, given.about))
        if given.keep and log.is_up:
            log.keep(now)
    except (AuditError, OSError) as error:
        sys.stderr.write(f"warning: the audit log: {error}\n")
    return 0


def _show(log: Log, given: argparse.Namespace, begin: dt.datetime | None) -> int:
    late = log.deliver()
    logs = log.read(given.workload, begin)
    waiting = log.waiting()
    entries = shown(logs, waiting, begin)
    lines = (json.dumps(each, sort_keys=True) for each in entries) if given.json else table(entries)
    for line in lines:
        sys.stdout.write(f"{line}\n")
    broken = [
        f"{name or 'log'}: {each}"
        for name, found in logs.items()
        for each in troubles(found["entries"], found["older"])
    ]
    for each in broken:
        sys.stderr.write(f"BROKEN {each}\n")
    if waiting:
        sys.stderr.write(f"{len(waiting)} entries wait on this machine: {late}\n")
    if not broken:
        sys.stderr.write(f"{len(entries) - len(waiting)} entries verified\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
