import pytest

from workloads.lifecycle.base.errors import DataError
from workloads.lifecycle.ingestion.header import check_header
from workloads.loan_default.definition import LOAN_DEFAULT
from workloads.turbofan.definition import TURBOFAN

SOURCE = LOAN_DEFAULT.source
HEADER = ",".join(column.name for column in SOURCE.columns)
ROW = "1,20000,2,2,1,24,2,2,-1,-1,-2,-2,3913,3102,689,0,0,0,0,689,0,0,0,0,1"
ORIGINAL_FIRST_LINE = "," + ",".join(f"X{number}" for number in range(1, 24)) + ",Y"


def written(tmp_path, content: bytes):
    path = tmp_path / "data.csv"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_byte_order_mark_and_every_line_end_are_accepted(tmp_path, end):
    check_header(written(tmp_path, b"\xef\xbb\xbf" + f"{HEADER}{end}{ROW}{end}".encode()), SOURCE)


def test_quoted_names_and_names_of_common_copies_are_accepted(tmp_path):
    quoted = ",".join(f'"{column.name}"' for column in SOURCE.columns)
    common = HEADER.replace("PAY_0", "PAY_1").replace("default payment next month", "default.payment.next.month")
    for header in (quoted, common):
        check_header(written(tmp_path, f"{header}\n{ROW}\n".encode()), SOURCE)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty; expected a header line with 25 columns"),
        (b"\n\n", "is empty; expected a header line with 25 columns"),
        (f"\n{HEADER}\n{ROW}\n".encode(), "the first 1 lines are blank; remove them"),
        (f"{HEADER}\n".encode(), "has a header and no rows"),
        (f"{ORIGINAL_FIRST_LINE}\n{HEADER}\n{ROW}\n".encode(), "the header is line 2; remove line 1, which is ',X1,X2"),
        (f",{HEADER}\n0,{ROW}\n".encode(), r"column '' stands before 'ID'.*index=False"),
        (f"Unnamed: 0,{HEADER}\n0,{ROW}\n".encode(), r"column 'Unnamed: 0' stands before 'ID'.*index=False"),
        (f"{HEADER},\n{ROW},\n".encode(), "the header ends in a comma; remove the last comma from every line"),
        (f"{HEADER.replace('PAY_3', 'PAY_9')}\n{ROW}\n".encode(), "missing: PAY_3; not expected: PAY_9"),
        (f"{HEADER.replace('LIMIT_BAL', 'limit_bal')}\n{ROW}\n".encode(), "expected the header of UCI dataset 350"),
        (f"{HEADER.replace('PAY_3', 'PAY3')}\n{ROW}\n".encode(), "is 'PAY3' the column 'PAY_3'"),
        (f"{HEADER},EXTRA\n{ROW},1\n".encode(), "not expected: EXTRA"),
        (
            f"{HEADER.replace('SEX,EDUCATION', 'EDUCATION,SEX')}\n{ROW}\n".encode(),
            "not in the expected order.*from 'SEX' on",
        ),
        (b"PK\x03\x04\xff\xfe\n", "is not UTF-8 text"),
    ],
)
def test_file_that_cannot_be_this_data_is_refused_with_the_reason(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        check_header(written(tmp_path, content), SOURCE)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"DATA=.*nothing.csv cannot be read: No such file"):
        check_header(tmp_path / "nothing.csv", SOURCE)


def test_rows_between_blanks_need_no_header(tmp_path):
    check_header(written(tmp_path, b"1 1 " + b"0.5 " * 24 + b"\n"), TURBOFAN.source)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\n", "is empty; expected rows of 26 fields between blanks and no header, as in NASA C-MAPSS FD001"),
        (b"1 1 0.5\n", "the first row has 3 fields; expected rows of 26 fields between blanks"),
        (b"1,1,0.5\n", "the first row has 1 fields"),
    ],
)
def test_rows_between_blanks_of_another_width_are_refused(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        check_header(written(tmp_path, content), TURBOFAN.source)
