import pytest

TEST = """
import fakes
import pulumi
import pytest

def program():
    password = pulumi.Output.secret("hunter2")
    store = fakes.Store("artifacts", fakes.explicit(), password=password, tags={{"team": "{team}"}})
    pulumi.export("bucket", store.bucket.id)

@pytest.mark.parametrize("kind", ["a b/c"])
def test_graph(pulumi_run, pulumi_golden, kind):
    pulumi_golden(pulumi_run(program))
"""

GOLDEN = """\
stack project-test

mine:index:Store artifacts
  outputs:
    uri: "s3://artifacts-bucket-id"

fake:s3/bucket:Bucket artifacts/artifacts-bucket
  inputs:
    password: [secret]
    tags:
      team: "ml"
  provider: "main"

fake:s3/bucket:Bucket artifacts/artifacts-logs
  depends on:
    - "artifacts/artifacts-bucket"
  inputs:
    target: "artifacts-bucket-id"
  provider: "main"

pulumi:providers:fake main
  inputs:
    region: "here"

exports
  bucket: "artifacts-bucket-id"
"""


@pytest.fixture
def written(pytester):
    pytester.makepyfile(test_it=TEST.format(team="ml"))
    result = pytester.runpytest_inprocess("--pulumi-update")
    result.assert_outcomes(passed=1)
    return pytester.path / "golden" / "test_it" / "test_graph-a-b-c.txt"


def test_update_flag_writes_reviewable_text_without_secrets_or_paths(written):
    assert written.read_text() == GOLDEN


def test_an_equal_graph_passes(written, pytester):
    pytester.runpytest_inprocess().assert_outcomes(passed=1)


def test_a_changed_graph_fails_with_a_diff_and_the_flag(written, pytester):
    pytester.makepyfile(test_it=TEST.format(team="web"))
    result = pytester.runpytest_inprocess()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*accept it with --pulumi-update*", '*-      team: "ml"', '*+      team: "web"'])
    assert written.read_text() == GOLDEN


def test_a_missing_golden_text_fails_with_the_flag(written, pytester):
    written.unlink()
    result = pytester.runpytest_inprocess()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*there is no golden text *write it with: pytest --pulumi-update*"])
    assert not written.exists()


@pytest.fixture
def hashed(pytester):
    test = TEST.replace("pulumi_golden(pulumi_run", "pulumi_golden.hashed(pulumi_run")
    pytester.makepyfile(test_it=test.format(team="ml"))
    pytester.runpytest_inprocess("--pulumi-update").assert_outcomes(passed=1)
    return pytester.path / "golden" / "test_it" / "test_graph-a-b-c.txt", test


def test_hashed_text_has_a_line_for_each_resource(hashed):
    path, _ = hashed
    digests, titles = zip(*(line.split(" ", 1) for line in path.read_text().splitlines()), strict=True)
    assert list(titles) == [block.partition("\n")[0] for block in GOLDEN.strip().split("\n\n")]
    assert {len(digest) for digest in digests} == {12}


def test_equal_graph_passes_by_its_hashes(hashed, pytester):
    pytester.runpytest_inprocess().assert_outcomes(passed=1)


def test_changed_resource_is_shown_as_it_is_now(hashed, pytester):
    pytester.makepyfile(test_it=hashed[1].format(team="web"))
    result = pytester.runpytest_inprocess()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*accept it with --pulumi-update*", "*~ fake:s3/bucket:Bucket artifacts/artifacts-bucket", '*team: "web"']
    )
    result.stdout.no_fnmatch_line("*artifacts-logs*")


def test_resources_that_came_and_went_are_named(hashed, pytester):
    _, test = hashed
    renamed = test.replace('fakes.Store("artifacts"', 'fakes.Store("models"').format(team="ml")
    pytester.makepyfile(test_it=renamed)
    result = pytester.runpytest_inprocess()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*- mine:index:Store artifacts", "*+ mine:index:Store models"])
