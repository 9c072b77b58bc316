"""What a rule may say about a resource of which something is not known yet.

A verdict on one element of a list holds whatever an unknown in another element turns out to be. Every other verdict may
depend on the unknown, and is "undecided" then: never a violation, and never a silent pass.
"""

from collections.abc import Iterable, Sequence

from policies.model import Path

_STRUCTURE = frozenset(
    {
        *("spec", "template", "jobTemplate", "predictor", "transformer", "explainer", "workerSpec", "metadata"),
        *("model", "sklearn", "xgboost", "tensorflow", "pytorch", "triton", "onnx", "huggingface", "pmml"),
        *("lightgbm", "paddle", "alibi", "art"),
        *("containers", "initContainers", "ephemeralContainers"),
    }
)
"""Keys below which anything may be that a rule reads."""


def certain(verdict: Path, unknowns: Iterable[Path]) -> bool:
    """Whether a verdict about one place holds in spite of unknown places: each stands in another element of a list."""
    return all(_apart(verdict, unknown) for unknown in unknowns)


def _apart(one: Path, other: Path) -> bool:
    for left, right in zip(one, other, strict=False):
        if left != right:
            return isinstance(left, int) and isinstance(right, int)
    return False


def affecting(reads: Sequence[str], unknowns: Iterable[Path]) -> list[Path]:
    """The unknowns that a rule may read: at, below or above what `reads` in its metadata names.

    `$` at the end of an entry stands for the value at exactly those keys, and nothing below it.
    """
    wanted = [read.split() for read in reads]
    return [path for path in unknowns if any(_touches(read, path) for read in wanted)]


def _touches(read: list[str], path: Path) -> bool:
    keys = [step for step in path if isinstance(step, str)]
    if read[-1] == "$":
        return keys[1 - len(read) :] == read[:-1] or keys[-1] in _STRUCTURE
    remaining = iter(keys)
    below = all(key in remaining for key in read)
    return below or keys[-1] in {*read[:-1], *_STRUCTURE}
