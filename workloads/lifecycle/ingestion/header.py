"""Whether a file can be a workload's raw data, judged by its first lines.

Columns are read by their place, so a header that is accepted by an alias needs no change of the file.
"""

import csv
import difflib
import io
import itertools
from pathlib import Path

from workloads.lifecycle.base.errors import DataError
from workloads.lifecycle.schema import Source

_LONGEST_LINE = 1_000_000
"""Characters of a line above which the file is no CSV with these columns."""

_SHOWN = 40


def check_header(path: Path, source: Source) -> None:
    """Raise DataError when the file cannot be this data: unreadable, empty, a column missing, extra or moved."""
    first, second, blank = _first_lines(path)
    if source.format == "blanks":
        _check_width(first, path, source)
        return
    expected = f"a header line with {len(source.columns)} columns"
    if first is None:
        raise DataError(f"DATA={path} is empty; expected {expected}")
    if blank:
        raise DataError(f"DATA={path}: the first {blank} lines are blank; remove them, line 1 must be {expected}")
    header = _fields(first.removeprefix("\ufeff"))
    if not all(name.isprintable() for name in header):
        raise DataError(f"DATA={path}: the header is not UTF-8 text; is this a CSV file?")
    if second is not None and _names(_fields(second), source) == _expected(source):
        raise DataError(f"DATA={path}: the header is line 2; remove line 1, which is {first.strip()[:_SHOWN]!r}")
    _compare(_names(header, source), path, source)
    if second is None:
        raise DataError(f"DATA={path} has a header and no rows")


def _check_width(first: str | None, path: Path, source: Source) -> None:
    """Raise DataError when the first row of a file without header has another number of fields."""
    expected = f"rows of {len(source.columns)} fields between blanks and no header, as in {source.title}"
    if first is None:
        raise DataError(f"DATA={path} is empty; expected {expected}")
    width = len(first.split())
    if width != len(source.columns):
        raise DataError(f"DATA={path}: the first row has {width} fields; expected {expected}")


def _first_lines(path: Path) -> tuple[str | None, str | None, int]:
    """The first two lines with text, if there are such, and the number of blank lines before the first."""
    try:
        with path.open(encoding="utf-8", errors="surrogateescape") as file:
            lines = iter(lambda: file.readline(_LONGEST_LINE), "")
            blank = 0
            first = None
            for line in lines:
                if line.strip("\ufeff \t\r\n"):
                    first = line
                    break
                blank += 1
            second = next((line for line in itertools.islice(lines, _LONGEST_LINE) if line.strip()), None)
    except OSError as error:
        raise DataError(f"DATA={path} cannot be read: {error.strerror}") from error
    return first, second, blank


def _fields(line: str) -> list[str]:
    return [name.strip() for name in next(csv.reader(io.StringIO(line)), [])]


def _expected(source: Source) -> list[str]:
    return [column.name for column in source.columns]


def _names(header: list[str], source: Source) -> list[str]:
    """The header with each alias replaced by the name of its column."""
    known = {alias: column.name for column in source.columns for alias in column.aliases}
    return [known.get(name, name) for name in header]


def _compare(header: list[str], path: Path, source: Source) -> None:
    expected = _expected(source)
    if header == expected:
        return
    if header[1:] == expected:
        raise DataError(
            f"DATA={path}: column {header[0]!r} stands before {expected[0]!r}: an index that a data frame wrote; "
            "save the file without it (pandas: `to_csv(index=False)`)"
        )
    if header[-1] == "" and header[:-1] == expected:
        raise DataError(f"DATA={path}: the header ends in a comma; remove the last comma from every line")
    missing = [name for name in expected if name not in header]
    extra = [name for name in header if name not in expected]
    if missing or extra:
        parts = [f"missing: {', '.join(missing)}"] * bool(missing) + [f"not expected: {', '.join(extra)}"] * bool(extra)
        raise DataError(
            f"DATA={path}: wrong columns ({'; '.join(parts)}){_nearest(missing, extra)}; "
            f"expected the header of {source.title}"
        )
    moved = next(want for want, got in zip(expected, header, strict=False) if want != got)
    raise DataError(f"DATA={path}: columns are not in the expected order, or repeated, from {moved!r} on")


def _nearest(missing: list[str], extra: list[str]) -> str:
    """The renaming that would mend the first missing column, if one is likely."""
    for name in missing:
        for close in difflib.get_close_matches(name, extra, n=1):
            return f"; is {close!r} the column {name!r}? Rename it"
    return ""
