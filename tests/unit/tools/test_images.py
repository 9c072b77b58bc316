import json

import pytest

from tools import images
from tools.console import ToolError

DIGEST = "sha256:" + "0a" * 32
OLD = f"old.example/serve@sha256:{'0b' * 32}"
DOCKER = f"""
case "$1 $2" in
  "image inspect") for last in "$@"; do :; done; echo "[\\"elsewhere/x@{DIGEST}\\", \\"${{last%:*}}@{DIGEST}\\"]" ;;
esac
"""
WRITES_DIGEST = f"""
if [ "$1" = push ]; then
  while [ "$1" != --digestfile ]; do shift; done
  echo "{DIGEST}" > "$2"
fi
"""


@pytest.fixture
def sources(checkout):
    for source in images.SOURCES:
        (checkout / source / "images").mkdir(parents=True)
        (checkout / source / "a.py").write_text("a = 1\n")
    return checkout


@pytest.fixture
def file(tmp_path):
    return tmp_path / "images.json"


@pytest.mark.usefixtures("sources")
@pytest.mark.parametrize(
    ("name", "script"), [("docker", DOCKER), ("podman", WRITES_DIGEST), ("buildah", WRITES_DIGEST)]
)
def test_each_builder_builds_pushes_and_leaves_the_registrys_digests(commands, file, name, script):
    commands.add(name, script)
    images.make("127.0.0.1:5001/ml", ["serve", "train-gpu"], file=file, sign=False)
    assert json.loads(file.read_text()) == {
        "serve": f"127.0.0.1:5001/ml/serve@{DIGEST}",
        "train-gpu": f"127.0.0.1:5001/ml/train-gpu@{DIGEST}",
    }
    built = commands.called(f"{name} build")
    assert ["--target serve" in built[0], "--target train-gpu" in built[1]] == [True, True]
    assert len(commands.called(f"{name} push")) == 2


@pytest.mark.usefixtures("sources")
@pytest.mark.parametrize(
    ("registry", "plain"), [("127.0.0.1:5001/ml", True), ("localhost/ml", True), ("ecr.example/ml", False)]
)
def test_tls_is_left_out_for_a_registry_on_loopback_and_nowhere_else(commands, file, registry, plain):
    commands.add("buildah", WRITES_DIGEST)
    images.make(registry, ["serve"], file=file, sign=False)
    assert ("--tls-verify=false" in commands.called("buildah push")[0]) is plain


@pytest.mark.usefixtures("sources")
def test_a_builder_that_does_not_work_is_passed_over(commands, file):
    commands.add("docker", 'echo "Cannot connect to the Docker daemon" >&2; exit 1')
    commands.add("buildah", WRITES_DIGEST)
    images.make("127.0.0.1:5001/ml", ["serve"], file=file, sign=False)
    assert len(commands.called("buildah build")) == 1


def test_without_a_builder_the_error_says_what_is_wrong_with_each(commands):
    commands.add("docker", 'echo "Cannot connect to the Docker daemon" >&2; exit 1')
    with pytest.raises(
        ToolError,
        match=r"docker failed \(Cannot connect.*\); podman is not installed; buildah is not installed\. Start",
    ):
        images.find_builder()


@pytest.mark.usefixtures("commands")
@pytest.mark.parametrize("registry", ["https://ecr.example/ml", "ecr.example/ml:latest", "ecr.example/ML", ""])
def test_what_is_no_registry_is_refused_before_anything_is_built(file, registry):
    with pytest.raises(ToolError, match="is no place to push to: give host"):
        images.make(registry, ["serve"], file=file, sign=False)


def test_without_a_registry_the_error_gives_an_example():
    with pytest.raises(ToolError, match=r"say where to push: `make images REGISTRY=127\.0\.0\.1:5001/mlplatform`"):
        images.main(["--registry", ""])


@pytest.mark.usefixtures("sources")
@pytest.mark.parametrize(
    ("script", "said"),
    [
        (
            '[ "$1" = build ] && { echo "pull access denied for python" >&2; exit 1; }; true',
            "base image cannot be pulled",
        ),
        ('[ "$1" = push ] && { echo "connection refused" >&2; exit 1; }; true', "is the registry of 127"),
        ("true", "the registry gave no digest"),
    ],
)
def test_failing_step_names_the_way_out_and_keeps_what_was_written(commands, file, script, said):
    file.write_text(json.dumps({"serve": OLD}))
    commands.add("buildah", script)
    with pytest.raises(ToolError, match=said):
        images.make("127.0.0.1:5001/ml", ["serve"], file=file, sign=False)
    assert json.loads(file.read_text()) == {"serve": OLD}


@pytest.mark.usefixtures("sources")
def test_other_targets_keep_what_was_written(commands, file):
    file.write_text(json.dumps({"serve": OLD}))
    commands.add("buildah", WRITES_DIGEST)
    images.make("127.0.0.1:5001/ml", ["workload"], file=file, sign=False)
    assert json.loads(file.read_text()) == {"serve": OLD, "workload": f"127.0.0.1:5001/ml/workload@{DIGEST}"}


def test_the_tag_changes_with_the_content_and_with_nothing_else(sources, tmp_path):
    tags = []
    for change in (None, "__pycache__/a.pyc", "component.py", "a.py"):
        if change:
            (sources / "workloads" / "__pycache__").mkdir(exist_ok=True)
            (sources / "workloads" / change).write_text("changed")
        context = tmp_path / f"context-{len(tags)}"
        context.mkdir()
        tags.append(images.prepare(context))
    assert tags[0] == tags[1] == tags[2] != tags[3]
