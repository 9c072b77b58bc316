"""One entry of the audit log, and what makes a log whole; readable without the store's libraries.

Entries of writers that did not see each other follow the same one, and the next entry follows all of them: nothing is
lost, and each entry but the newest is held by a later one's hashes. Leaves out signatures: a writer of the store
can rewrite the whole log, or cut off its end.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from workloads.lifecycle.registry import chain

PREFIX = "audit"
_LONGEST = 500


class Action(StrEnum):
    """What can be done to a stack."""

    UP = "up"
    DOWN = "down"
    EXEMPTION = "exemption"
    RELEASE = "release"
    CHALLENGE = "challenge"
    PROMOTION = "promotion"
    ROLLBACK = "rollback"
    RETRAIN = "retrain"
    OUTCOMES_FED = "outcomes-fed"
    OUTCOMES_STRUCK = "outcomes-struck"
    ERASE = "erase"
    ROTATION = "rotation"


class Event(BaseModel):
    """Who did what."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    """Makes a delivery that is repeated the same one."""

    time: AwareDatetime
    """When, by the clock of the machine where it was done."""

    actor: Annotated[str, Field(min_length=1, max_length=_LONGEST)]
    """Who: `user:anna@laptop`, `ci:…`, `serviceaccount:…`, `token:…`."""

    action: Action

    stack: str
    """Name of the stack."""

    workload: str
    """Name of the workload; empty for what is done to the whole stack."""

    object: Annotated[str, Field(max_length=_LONGEST)]
    """To what: a version, a retrain's id, a prefix of requests, a policy and a resource."""

    outcome: Annotated[str, Field(max_length=_LONGEST)]
    """What came of it: `done`, `accepted`, `refused`, …"""

    reason: Annotated[str, Field(max_length=_LONGEST)]
    """Why, in the words of who did it or of what refused it."""


class Entry(Event):
    """An event in the log."""

    number: Annotated[int, Field(ge=1)]
    """One more than the highest number that it follows; two writers at once may use the same."""

    before: tuple[str, ...]
    """Hashes of the entries that it follows, usually one; none for the first."""


def name_of(entry: Entry) -> str:
    """Name of the entry's object."""
    return f"{entry.number:08d}-{chain.digest(entry.model_dump(mode='json'))}.json"


def troubles(records: Mapping[str, Any], older: Sequence[str] = ()) -> list[str]:
    """What is wrong with a log, a sentence each; `records`: content by name, `older`: names that were not read."""
    found = []
    names = [*older, *records]
    numbers = {chain.number_in(name) for name in names}
    gaps = sorted(set(range(1, max(numbers, default=0) + 1)) - numbers)
    if gaps:
        found.append(f"entry {gaps[0]} is missing{f' and {len(gaps) - 1} more' if len(gaps) > 1 else ''}")
    hashes = {chain.hash_in(name): chain.number_in(name) for name in names}
    for name, record in sorted(records.items()):
        if not isinstance(record, dict) or chain.digest(record) != chain.hash_in(name):
            found.append(f"{PREFIX}/{name}: content was changed after it was written")
            continue
        before = record.get("before", ())
        if any(each not in hashes for each in before):
            found.append(f"{PREFIX}/{name}: an entry before it was removed")
        elif record.get("number") != chain.number_in(name) or record["number"] != 1 + max(
            (hashes[each] for each in before), default=0
        ):
            found.append(f"{PREFIX}/{name}: its number does not follow the entries before it")
    return found
