"""Which edits one preview can tell apart, and what each of them does.

What an edit changes is known from the program, which is run once more for each, without an engine. Edits share a
preview where no input is changed by two of them, or all that they change is the same, and where nothing that one
changes depends on what another one does. A step of the engine is then the edit's whose inputs differ in it, or on whose
resources its resource depends. Where that leaves a step to nobody, where something is lost, and where the preview
fails, the edits are previewed in halves, down to each alone.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, cached_property
from multiprocessing import get_context
from typing import Any

import networkx as nx
from pydantic import ValidationError
from pytest_pulumi.engine import Stack
from pytest_pulumi.result import OperationError, Step

from tests import edits, prod

Changes = Mapping[str, Any]
"""Keys of the stack file, with dots, to values."""
Touched = Mapping[str, frozenset[str]]
"""URN to the inputs that differ; `WHOLE` for a resource that is made or left out."""

WHOLE = "*"
PROCESSES = 2


@dataclass(frozen=True)
class Groups:
    """Edits of the prod file, and what each of them changes."""

    made: Mapping[str, Changes]
    touched: Mapping[str, Touched]
    dependents: "nx.DiGraph[str]"
    """An arrow leads from each resource to those that are computed from it."""

    @cached_property
    def below(self) -> dict[str, set[str]]:
        """URNs of what depends on what each edit changes."""
        known = set(self.dependents)
        return {
            key: {urn for each in some.keys() & known for urn in nx.descendants(self.dependents, each)}
            for key, some in self.touched.items()
        }

    def groups(self, alone: Collection[str]) -> list[list[str]]:
        """Every edit once, with those that it can be told from; those of `alone` by themselves."""
        found = [[key] for key in self.made if key in alone]
        shared: list[list[str]] = []
        for key in (key for key in self.made if key not in alone):
            for group in shared:
                if all(self.apart(key, other) for other in group) and self._accepted([*group, key]):
                    group.append(key)
                    break
            else:
                shared.append([key])
        return found + shared

    def apart(self, one: str, other: str) -> bool:
        """Whether each step can be told to be of one of two edits, or of both alike."""
        if any(_within(key, another) for key in self.made[one] for another in self.made[other]):
            return False
        mine, theirs = self.touched[one], self.touched[other]
        if mine == theirs:
            return True
        if self.below[one] & theirs.keys() or self.below[other] & mine.keys():
            return False
        return not any(
            WHOLE in mine[urn] | theirs[urn] or mine[urn] & theirs[urn] for urn in mine.keys() & theirs.keys()
        )

    def _accepted(self, group: Sequence[str]) -> bool:
        try:
            edits.edited(self._changes(group))
        except ValidationError:
            return False
        return True

    def _changes(self, group: Sequence[str]) -> Changes:
        return {key: value for each in group for key, value in self.made[each].items()}

    def effects(self, stack: Stack, group: Sequence[str]) -> Iterator[tuple[str, str]]:
        """Each edit of a group and what a preview says that it does, in a line."""
        try:
            steps = edits.previewed(stack, self._changes(group))
        except OperationError as error:
            if len(group) == 1:
                yield group[0], edits.stopped(error)
                return
            steps = None
        if len(group) == 1 and steps is not None:
            yield group[0], edits.told(steps)
        elif steps is None or any(not self._owners(step, group) for step in steps) or edits.lost(edits.told(steps)):
            yield from self.effects(stack, group[: len(group) // 2])
            yield from self.effects(stack, group[len(group) // 2 :])
        else:
            for key in group:
                yield key, edits.told([step for step in steps if key in self._owners(step, group)])

    def _owners(self, step: Step, group: Sequence[str]) -> list[str]:
        """The edits that a step is of: none where an input differs that none of them changes."""
        differing = {re.split(r"[.\[]", path, maxsplit=1)[0] for path in step.changed}
        mine = {key: self.touched[key].get(step.urn, frozenset()) for key in group}
        known = frozenset().union(*mine.values())
        found = [key for key, some in mine.items() if WHOLE in some or some & differing]
        if WHOLE in known or (found and differing <= known):
            return found
        return [key for key in group if step.urn in self.below[key]]


def groups_of(made: Mapping[str, Changes]) -> Groups:
    """What each edit changes is found out, which takes seconds for each."""
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
        found = pool.map(_touched, made.values())
        return Groups(made, dict(zip(made, found, strict=True)), _dependents())


def _dependents() -> "nx.DiGraph[str]":
    graph: nx.DiGraph[str] = nx.DiGraph()
    for each in prod.graph(prod.declared(edits.edited({}))).resources:
        needed = {*each.dependencies, *([each.provider] if each.provider else [])}
        graph.add_edges_from((urn, each.urn) for urn in needed)
    return graph


def _touched(changes: Changes) -> Touched:
    before, after = _unedited(), _registered(changes)
    found = {urn: frozenset({WHOLE}) for urn in before.keys() ^ after.keys()}
    for urn in before.keys() & after.keys():
        one, other = before[urn], after[urn]
        differing = frozenset(key for key in one.keys() | other.keys() if one.get(key) != other.get(key))
        found |= {urn: differing} if differing else {}
    return found


@cache
def _unedited() -> dict[str, dict[str, Any]]:
    return _registered({})


def _registered(changes: Changes) -> dict[str, dict[str, Any]]:
    with prod.without_collections():
        graph = prod.graph(prod.declared(edits.edited(changes)))
    return {each.urn: each.inputs for each in graph.resources}


def _within(one: str, other: str) -> bool:
    return f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}.")
