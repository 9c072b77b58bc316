import json

import pytest

from infra.base.images import ImageError, reference

DIGEST = "sha256:" + "0a" * 32


def test_a_target_is_the_repository_and_digest_that_were_pushed(tmp_path):
    file = tmp_path / "images.json"
    file.write_text(json.dumps({"serve": f"127.0.0.1:5000/mlplatform/serve@{DIGEST}"}))
    assert reference("serve", file) == f"127.0.0.1:5000/mlplatform/serve@{DIGEST}"


@pytest.mark.parametrize("content", [None, "{}"])
def test_a_missing_image_is_an_error_that_names_the_command(tmp_path, content):
    file = tmp_path / "images.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ImageError, match=r"no image for the target 'train-gpu': run `make images`"):
        reference("train-gpu", file)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "cannot be read as JSON"),
        ("[]", "must be an object"),
        ('{"workload": "registry/workload:latest"}', "workload is 'registry/workload:latest'; it must be"),
        ('{"workload": "registry/workload@sha256:abc"}', "64 hex digits"),
        ('{"worklaod": "x"}', "unknown target 'worklaod'"),
    ],
)
def test_file_that_pins_nothing_is_refused_with_the_entry_and_the_fix(tmp_path, content, said):
    file = tmp_path / "images.json"
    file.write_text(content)
    with pytest.raises(ImageError, match=said):
        reference("workload", file)
