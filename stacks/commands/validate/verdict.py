"""What validators found, less what is excepted with a reason."""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

FILE = Path(__file__).with_name("exceptions.toml")

Finding = Mapping[str, str]
"""`judge`, `rule`, `where`, `message`."""


@dataclass(frozen=True, kw_only=True)
class Exempt:
    """One finding, or some alike, that the platform keeps."""

    judge: str
    rule: str
    reason: str
    where: str = "*"
    message: str = "*"

    def covers(self, finding: Finding) -> bool:
        """Whether this is the finding that the reason is about."""
        patterns = {"judge": self.judge, "rule": self.rule, "where": self.where, "message": self.message}
        return all(fnmatchcase(finding[key], pattern) for key, pattern in patterns.items())


def exceptions(file: Path = FILE) -> tuple[Exempt, ...]:
    """Those of a file."""
    return tuple(Exempt(**each) for each in tomllib.loads(file.read_text())["exception"])


def refused(findings: Iterable[Finding], excepted: Sequence[Exempt] | None = None) -> list[Finding]:
    """The findings that no exception covers, in the order of their judges."""
    known = exceptions() if excepted is None else excepted
    return [each for each in findings if not any(one.covers(each) for one in known)]


def unused(findings: Sequence[Finding], excepted: Sequence[Exempt]) -> list[Exempt]:
    """Exceptions that hide nothing."""
    return [one for one in excepted if not any(one.covers(each) for each in findings)]
