from workloads.lifecycle.ingestion.header import check_header
from workloads.loan_default.definition import LOAN_DEFAULT
from workloads.loan_default.generator import generate


def test_generator_repeats_its_bytes_by_seed_and_keeps_the_contract(tmp_path):
    generate(tmp_path / "a.csv", 500, seed=1)
    generate(tmp_path / "b.csv", 500, seed=1)
    generate(tmp_path / "c.csv", 500, seed=2)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    assert (tmp_path / "a.csv").read_bytes() != (tmp_path / "c.csv").read_bytes()
    check_header(tmp_path / "a.csv", LOAN_DEFAULT.source)
    for line in (tmp_path / "a.csv").read_text().splitlines()[1:]:
        for column, value in zip(LOAN_DEFAULT.source.columns, line.split(","), strict=True):
            assert column.lowest <= int(value) <= column.highest, column.name
