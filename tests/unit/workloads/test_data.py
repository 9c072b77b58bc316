import pytest

from workloads.loan_default.data import COLUMNS, check_header, generate
from workloads.loan_default.errors import DataError

HEADER = ",".join(column.name for column in COLUMNS)
ROW = "1,20000,2,2,1,24,2,2,-1,-1,-2,-2,3913,3102,689,0,0,0,0,689,0,0,0,0,1"


def written(tmp_path, content: bytes):
    path = tmp_path / "data.csv"
    path.write_bytes(content)
    return path


def test_a_byte_order_mark_and_windows_line_ends_are_fine(tmp_path):
    check_header(written(tmp_path, b"\xef\xbb\xbf" + f"{HEADER}\r\n{ROW}\r\n".encode()))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty; expected a header line with 25 columns"),
        (f"{HEADER}\n".encode(), "has a header and no rows"),
        (f"{HEADER.replace('PAY_3', 'PAY_9')}\n{ROW}\n".encode(), "missing: PAY_3; not expected: PAY_9"),
        (f"{HEADER},EXTRA\n{ROW},1\n".encode(), "not expected: EXTRA"),
        (
            f"{HEADER.replace('SEX,EDUCATION', 'EDUCATION,SEX')}\n{ROW}\n".encode(),
            "not in the expected order.*from 'SEX' on",
        ),
        (b"PK\x03\x04\xff\xfe\n", "is not UTF-8 text"),
    ],
)
def test_a_file_that_cannot_be_this_data_is_refused_with_the_reason(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        check_header(written(tmp_path, content))


def test_a_file_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(DataError, match=r"DATA=.*nothing.csv cannot be read: No such file"):
        check_header(tmp_path / "nothing.csv")


def test_the_generator_gives_the_same_bytes_for_the_same_seed_and_keeps_the_contract(tmp_path):
    generate(tmp_path / "a.csv", 500, seed=1)
    generate(tmp_path / "b.csv", 500, seed=1)
    generate(tmp_path / "c.csv", 500, seed=2)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    assert (tmp_path / "a.csv").read_bytes() != (tmp_path / "c.csv").read_bytes()
    check_header(tmp_path / "a.csv")
    for line in (tmp_path / "a.csv").read_text().splitlines()[1:]:
        for column, value in zip(COLUMNS, line.split(","), strict=True):
            assert column.lowest <= int(value) <= column.highest, column.name
