import io
from types import SimpleNamespace

import pytest
from pyarrow import fs

from workloads.lifecycle.base.environment import Environment
from workloads.lifecycle.base.errors import DataError, WorkloadError
from workloads.lifecycle.base.identifiers import IdentifierError
from workloads.lifecycle.base.store import Store, fetch
from workloads.lifecycle.ingestion.ingest import current

from . import servers

WORKLOAD = "workloads.loan_default.definition:LOAN_DEFAULT"


@pytest.fixture
def store(environment):
    return Store.open(environment)


def test_what_is_written_is_read_and_nothing_else_lies_beside_it(store):
    store.write("a/b.json", b"1")
    store.write("a/b.json", b"2")
    assert store.read("a/b.json") == b"2"
    assert store.names("a") == ["b.json"]
    assert store.read("a/c.json") is None
    assert store.names("nothing") == []


def test_a_tree_comes_back_whole_and_replaces_what_was_there(store, tmp_path):
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    (source / "deep" / "x").write_text("x")
    store.upload_tree(source, "tree")
    target = tmp_path / "target"
    target.mkdir()
    (target / "old").write_text("old")
    store.download_tree("tree", target)
    assert [path.relative_to(target).as_posix() for path in target.rglob("*")] == ["deep", "deep/x"]


def test_missing_tree_leaves_the_folder_alone_and_names_the_store(store, tmp_path):
    target = tmp_path / "target"
    target.mkdir()
    with pytest.raises(WorkloadError, match=r"artifact store file:.*/store/loan-default: "):
        store.download_tree("nothing", target)
    assert target.exists()


@pytest.mark.parametrize("uri", ["http://x/y", "relative/path", "s3://", "file://host/path"])
def test_other_uris_are_refused_with_what_is_allowed(uri):
    with pytest.raises(WorkloadError, match=r"must be s3://bucket\[/prefix\] or file:///absolute/path"):
        Store.open(Environment(workload=WORKLOAD, artifact_store_uri=uri))


@pytest.fixture
def s3(tmp_path, monkeypatch):
    """A store behind a real S3 API."""
    with servers.versitygw(tmp_path) as (url, variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield Environment(
            workload=WORKLOAD, artifact_store_uri="s3://bucket", aws_endpoint_url_s3=url, work_dir=tmp_path / "work"
        )


def test_a_store_on_s3_keeps_objects_trees_and_files(s3, tmp_path):
    store = Store.open(s3)
    store.write("a/b.json", b"2")
    source = tmp_path / "source"
    source.mkdir()
    (source / "x").write_text("x")
    store.upload_tree(source, "tree")
    store.upload_file(source / "x", "raw/now/x.csv")
    assert (store.read("a/b.json"), store.read("a/c.json")) == (b"2", None)
    assert (store.names("tree"), store.names("raw/now"), store.names("nothing")) == (["x"], ["x.csv"], [])
    store.download_tree("tree", tmp_path / "target")
    assert (tmp_path / "target" / "x").read_text() == "x"


def test_a_file_in_the_store_is_fetched_by_its_address(s3, tmp_path):
    Store.open(s3).write("data/loans.csv", b"1,2")
    fetch(s3, "s3://bucket/loan-default/data/loans.csv", tmp_path / "loans.csv")
    assert (tmp_path / "loans.csv").read_bytes() == b"1,2"


def test_file_missing_in_the_store_is_one_line_that_names_it(s3, tmp_path):
    with pytest.raises(WorkloadError, match=r"^artifact store s3://bucket/nothing\.csv: "):
        fetch(s3, "s3://bucket/nothing.csv", tmp_path / "nothing.csv")


@pytest.mark.parametrize("name", ["../../precious", "a/../../../precious", "/precious", "a//b", "."])
def test_object_that_leads_out_of_its_prefix_is_not_downloaded(environment, tmp_path, name):
    root = Store.open(environment)._root
    listed = [fs.FileInfo(f"{root}/tree/{name}", fs.FileType.File)]
    hostile = SimpleNamespace(get_file_info=lambda _: listed, open_input_stream=lambda _: io.BytesIO(b"evil"))
    target = tmp_path / "a" / "target"
    target.mkdir(parents=True)
    (target / "old").write_text("old")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(IdentifierError, match="object name"):
        Store(hostile, root, "s3://bucket").download_tree("tree", target)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("path", ["", ".", "..", "../x", "a/../b", "/a", "a/", "a//b", "a\0", "a\n", "a\\b", "x" * 256])
def test_path_that_could_leave_the_root_is_refused(store, path):
    for operation in (store.read, store.remove_tree, store.dataset, lambda path: store.write(path, b"x")):
        with pytest.raises(IdentifierError):
            operation(path)


def test_object_that_is_not_what_was_written_is_named(store):
    store.write("features/current.json", b'{"run": "../../x"}')
    with pytest.raises(DataError, match=r"features/current\.json is not what this workload wrote: run: "):
        current(store)
