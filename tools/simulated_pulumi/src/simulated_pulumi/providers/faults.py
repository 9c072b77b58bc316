"""Faults of a provider: which operation goes wrong, and how."""

from __future__ import annotations

import fnmatch
import random
import threading
from dataclasses import dataclass, field
from typing import Literal

How = Literal["fail", "hang", "lose_answer", "crash"]
"""`fail`: refused, nothing done. `hang`: no answer until released. `lose_answer`: done, but the answer never arrives.
`crash`: the provider's server dies, nothing done."""

CHANGES = ("create", "update", "delete")


@dataclass(frozen=True)
class Operation:
    """One request to a provider."""

    kind: str
    """`check`, `diff`, `create`, `read`, `update`, `delete`, `invoke` or `construct`."""

    type: str
    name: str
    preview: bool = False


@dataclass
class _Rule:
    how: How
    operations: tuple[str, ...]
    type: str
    name: str
    nth: int | None
    probability: float
    message: str
    dice: random.Random
    seen: int = 0

    def strikes(self, operation: Operation) -> bool:
        if operation.preview or operation.kind not in self.operations:
            return False
        if not (fnmatch.fnmatchcase(operation.type, self.type) and fnmatch.fnmatchcase(operation.name, self.name)):
            return False
        self.seen += 1
        if self.nth is not None:
            return self.seen == self.nth
        return self.dice.random() < self.probability


@dataclass
class Faults:
    """The faults of one provider. Previews are spared; counting starts at one, over operations that match."""

    released: threading.Event = field(default_factory=threading.Event)
    unreachable: bool = False
    """While true, every request ends as if the service could not be reached."""

    _rules: list[_Rule] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(
        self,
        how: How,
        *,
        on: tuple[str, ...] | str = CHANGES,
        type: str = "*",  # noqa: A002  (the word that programs use)
        name: str = "*",
        nth: int | None = None,
        probability: float | None = None,
        seed: int = 0,
        message: str = "simulated failure",
    ) -> None:
        """Let the n-th matching operation go wrong, or each with a probability (reproducible by its seed).

        With neither, every matching operation goes wrong.
        """
        chance = 1.0 if probability is None else probability
        operations = (on,) if isinstance(on, str) else on
        dice = random.Random(seed)  # noqa: S311  (reproducible on purpose)
        self._rules.append(_Rule(how, operations, type, name, nth, chance, message, dice))

    def clear(self) -> None:
        """Heal: no operation goes wrong any more, and what hangs goes on."""
        with self._lock:
            self._rules.clear()
            self.unreachable = False
        self.release()

    def release(self) -> None:
        """Let what hangs go on; later operations hang again."""
        waiting, self.released = self.released, threading.Event()
        waiting.set()

    def strike(self, operation: Operation) -> tuple[How, str] | None:
        """Say how this operation goes wrong, if it does."""
        with self._lock:
            if self.unreachable:
                return "fail", "the service cannot be reached (simulated)"
            for rule in self._rules:
                if rule.strikes(operation):
                    return rule.how, rule.message
            return None
