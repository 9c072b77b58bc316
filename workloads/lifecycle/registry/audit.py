"""The audit log of a workload in the artifact store: one object an entry, each with the hashes of those before it.

An event is kept in `WORK_DIR` first and delivered from there, so that a store that is away blocks nobody. Leaves out
the form of an entry and the check of a log: `audit_entry`.
"""

import json
import logging
import re
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from workloads.lifecycle.base import identity
from workloads.lifecycle.base.environment import Environment
from workloads.lifecycle.base.errors import WorkloadError
from workloads.lifecycle.base.store import Store
from workloads.lifecycle.registry import chain
from workloads.lifecycle.registry.audit_entry import PREFIX, Action, Entry, Event, name_of

_RECENT = 16
"""Newest entries among which a writer looks for those that nobody follows yet."""

_OLDER_IN_A_ROW = 16
"""Entries before a day, from the newest back, after which the rest is older too: clocks differ, numbers do not."""

_NAME = re.compile(r"\d{8,}-[0-9a-f]{64}\.json")
_LONGEST = 500
"""Characters of a field."""

_log = logging.getLogger(__name__)


class Journal:
    """Where a process notes what is done, and from where that is delivered."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    def note(self, action: Action, what: str, outcome: str, reason: str = "", *, actor: str = "") -> None:
        """Keep what is done to the workload; `actor`: who, where it is not this process."""
        event = Event(
            id=uuid.uuid4().hex,
            time=datetime.now(UTC),
            actor=(actor or identity.acting())[:_LONGEST],
            action=action,
            stack=self._environment.stack,
            workload=self._environment.definition.name,
            object=what[:_LONGEST],
            outcome=outcome[:_LONGEST],
            reason=reason[:_LONGEST],
        )
        self.keep(event)

    def keep(self, event: Event) -> None:
        """Keep an event on this machine until it is delivered; never fails, and says in the log what it cannot keep."""
        try:
            folder = self._folder()
            folder.mkdir(exist_ok=True)
            partial = folder / f".{event.id}"
            partial.write_text(event.model_dump_json())
            partial.rename(folder / f"{event.time:%Y%m%dT%H%M%S%f}-{event.id}.json")
        except (OSError, WorkloadError):
            _log.exception("not in the audit log: %s", event.model_dump_json())

    def record(self, action: Action, what: str, outcome: str, reason: str = "") -> None:
        """Note and deliver; a store that is away gets the event with the next one."""
        self.note(action, what, outcome, reason)
        try:
            self.deliver()
        except WorkloadError as error:
            _log.warning("the audit log waits in %s: %s", self._environment.work_dir, error)

    def deliver(self) -> None:
        """Write to the store what is kept here; raises WorkloadError when the store is away."""
        folder = self._folder()
        waiting = sorted(folder.glob("*.json")) if folder.exists() else []
        store = Store.open(self._environment) if waiting else None
        for file in waiting:
            try:
                event = Event.model_validate_json(file.read_bytes())
            except FileNotFoundError:  # another process delivered it
                continue
            except ValidationError:
                _log.exception("not in the audit log: %s is no event", file)
                file.replace(file.with_suffix(".refused"))
                continue
            if store is not None:
                append(store, event)
            file.unlink(missing_ok=True)

    def _folder(self) -> Path:
        return self._environment.work / "audit-waiting"


def append(store: Store, event: Event) -> str:
    """Write an entry that follows all that nobody follows yet; returns its name."""
    names = _names(store)
    recent = names[-_RECENT:]
    followed = {each for name in recent for each in _before(store, name)}
    heads = [name for name in recent if chain.hash_in(name) not in followed]
    entry = Entry(
        **event.model_dump(),
        number=1 + max(map(chain.number_in, heads), default=0),
        before=tuple(sorted(map(chain.hash_in, heads))),
    )
    name = name_of(entry)
    store.write_json(f"{PREFIX}/{name}", entry.model_dump(mode="json"))
    return name


def read(environment: Environment, since: datetime | None) -> dict[str, Any]:
    """The log: `entries`, content by name, and `older`, names of those before `since`."""
    store = Store.open(environment)
    names = _names(store)
    entries: dict[str, Any] = {}
    older_in_a_row = 0
    while names and older_in_a_row < _OLDER_IN_A_ROW:
        name = names.pop()
        entries[name] = _content(store, name)
        older_in_a_row = older_in_a_row + 1 if _is_before(entries[name], since) else 0
    return {"entries": entries, "older": names}


def _names(store: Store) -> list[str]:
    """Names of entries; a folder also shows what another writer has not finished."""
    return [name for name in store.names(PREFIX) if _NAME.fullmatch(name)]


def _is_before(record: Any, since: datetime | None) -> bool:
    if since is None or not isinstance(record, dict):
        return False
    try:
        return datetime.fromisoformat(str(record.get("time"))) < since
    except ValueError:
        return False


def _content(store: Store, name: str) -> Any:
    """What an object holds; None when it is no JSON object, which is a trouble of the log and not of its reader."""
    try:
        return store.read_json(f"{PREFIX}/{name}")
    except (json.JSONDecodeError, UnicodeDecodeError, TypeError, ValueError):
        return None


def _before(store: Store, name: str) -> tuple[str, ...]:
    found = _content(store, name)
    return tuple(found.get("before", ())) if isinstance(found, dict) else ()
