"""What is counted of champion and challenger on the same kind of requests: calls, failures, times, scores.

Each replica of the model server counts for itself and keeps one object for a challenge in the store, written anew every
few seconds; the retraining service adds them up. A killed replica loses what it counted since its last write.
"""

import base64
import json
import math
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from workloads.lifecycle.base.identifiers import ModelVersion
from workloads.lifecycle.schema import Outcome

SCORE_BINS = 50
"""Equal steps between the bounds of the outcome; an answer beyond them is in the outermost one."""

TIME_BINS, FASTEST_SECONDS, TIME_STEP = 48, 2e-5, 1.25
"""Bins of the time to score one row: from 20 microseconds, each a quarter longer than the one before; the last from
0.7 s on."""

MARKS = 65_536
"""Bits that remember whose first score was counted; of more entities some are taken for others, and left out."""

ARMS: tuple[Literal["champion", "challenger"], ...] = ("champion", "challenger")


class Arm:
    """Counts of one version. Scores are counted once for each entity, so that a busy one is no sample of its own."""

    def __init__(self) -> None:
        self.calls = 0
        """Requests, or their parts, that the model scored or failed to score."""

        self.failed = 0
        """Those without an answer."""

        self.rows = 0
        self.scores = [0] * SCORE_BINS
        self.times = [0] * TIME_BINS
        self.marks = bytearray(MARKS // 8)

    def add(self, outcome: Outcome, marks: Iterable[int], scores: Iterable[float], seconds: float) -> None:
        """Count a call; `marks` has a number for each row that is the same for the same entity."""
        lowest, width = outcome.lowest, outcome.highest - outcome.lowest
        rows = 0
        for mark, score in zip(marks, scores, strict=True):
            rows += 1
            place, bit = divmod(mark % MARKS, 8)
            if not self.marks[place] >> bit & 1:
                self.marks[place] |= 1 << bit
                share = (score - lowest) / width
                self.scores[min(SCORE_BINS - 1, max(0, int(share * SCORE_BINS)))] += 1
        self.calls += 1
        self.rows += rows
        self.times[_time_bin(seconds / rows)] += 1

    def fail(self) -> None:
        """Count a call that got no answer."""
        self.calls += 1
        self.failed += 1

    def counted(self) -> "Counted":
        """The counts as they are now."""
        return Counted(
            calls=self.calls,
            failed=self.failed,
            rows=self.rows,
            scores=tuple(self.scores),
            times=tuple(self.times),
            marks=base64.b64encode(self.marks).decode(),
        )


def _time_bin(seconds: float) -> int:
    if seconds <= FASTEST_SECONDS:
        return 0
    return min(TIME_BINS - 1, 1 + int(math.log(seconds / FASTEST_SECONDS) / math.log(TIME_STEP)))


def seconds_of(place: int) -> float:
    """Upper edge of a bin of times, in seconds."""
    return float(FASTEST_SECONDS * TIME_STEP**place)


def _decoded(marks: str) -> str:
    if len(base64.b64decode(marks, validate=True)) != MARKS // 8:
        raise ValueError(f"marks must hold {MARKS // 8} bytes")
    return marks


_Count = Annotated[int, Field(ge=0)]


class Counted(BaseModel):
    """Counts of one version, of a replica or of all of them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    calls: _Count
    failed: _Count
    rows: _Count
    scores: Annotated[tuple[_Count, ...], Field(min_length=SCORE_BINS, max_length=SCORE_BINS)]
    times: Annotated[tuple[_Count, ...], Field(min_length=TIME_BINS, max_length=TIME_BINS)]
    marks: Annotated[str, AfterValidator(_decoded)]

    @property
    def entities(self) -> int:
        """Entities whose score was counted, each once over all replicas; a few too low beyond tens of thousands."""
        return int.from_bytes(base64.b64decode(self.marks), "big").bit_count()

    @classmethod
    def total(cls, parts: Iterable[Self]) -> "Counted":
        """The sum over replicas."""
        found = list(parts)
        marks = 0
        for part in found:
            marks |= int.from_bytes(base64.b64decode(part.marks), "big")
        return Counted(
            calls=sum(part.calls for part in found),
            failed=sum(part.failed for part in found),
            rows=sum(part.rows for part in found),
            scores=tuple(map(sum, zip(*(part.scores for part in found), strict=True))) or (0,) * SCORE_BINS,
            times=tuple(map(sum, zip(*(part.times for part in found), strict=True))) or (0,) * TIME_BINS,
            marks=base64.b64encode(marks.to_bytes(MARKS // 8, "big")).decode(),
        )


class Tally(BaseModel):
    """One replica's object of a challenge."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    versions: dict[Literal["champion", "challenger"], ModelVersion]
    """What was compared."""

    arms: dict[Literal["champion", "challenger"], Counted]
    """What was counted of each."""

    @model_validator(mode="after")
    def _both(self) -> Self:
        if set(self.versions) != set(ARMS) or set(self.arms) != set(ARMS):
            raise ValueError("versions and arms must name champion and challenger")
        return self

    def content(self) -> bytes:
        """As an object of the store."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()


def total(objects: Iterable[bytes], versions: Mapping[str, str]) -> dict[str, Counted]:
    """Counts of all replicas that compared these versions, by arm; raises ValueError for an object that is no tally."""
    try:
        found = [Tally.model_validate_json(content) for content in objects]
    except ValidationError as error:
        first: Any = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc'])) or 'content'}: {first['msg']}") from error
    same = [tally for tally in found if dict(tally.versions) == dict(versions)]
    return {arm: Counted.total(tally.arms[arm] for tally in same) for arm in ARMS}
