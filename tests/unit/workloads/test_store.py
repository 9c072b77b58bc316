import pytest

from workloads.loan_default.errors import WorkloadError
from workloads.loan_default.settings import Environment
from workloads.loan_default.store import Store


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


def test_a_tree_that_is_not_there_leaves_the_folder_alone_and_names_the_store(store, tmp_path):
    target = tmp_path / "target"
    target.mkdir()
    with pytest.raises(WorkloadError, match=r"artifact store file:.*/store/loan-default: "):
        store.download_tree("nothing", target)
    assert target.exists()


@pytest.mark.parametrize("uri", ["http://x/y", "relative/path", "s3://", "file://host/path"])
def test_other_uris_are_refused_with_what_is_allowed(uri):
    with pytest.raises(WorkloadError, match=r"must be s3://bucket\[/prefix\] or file:///absolute/path"):
        Store.open(Environment(artifact_store_uri=uri))
