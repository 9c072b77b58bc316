"""Every pin is one that Renovate finds, by itself or by our expressions, and the bill of materials shows it."""

import json
import re
import subprocess
from typing import NamedTuple

import pytest
from pydantic import TypeAdapter

from infra.base import materials, pins
from infra.base.paths import CHECKOUT
from infra.base.supply import ImageReference
from infra.cluster.eks_versions import ADDONS
from infra.kube import charts
from infra.kube.charts import Chart
from stacks.commands import bom

IMAGE = re.compile(r'"((?:[\w-]+\.)+[a-z]+(?:/[\w.-]+)+:v?\d[\w.-]*)[@"]')
PROGRAM = ("infra", "stacks", "workloads", "policies", "tools")
RENOVATE = json.loads((CHECKOUT / "renovate.json").read_text())
MANAGERS = RENOVATE["customManagers"]
VERSIONS, IMAGES, ADD_ONS = MANAGERS


class Pin(NamedTuple):
    name: str
    version: str
    file: str


def seen(manager, checkout=CHECKOUT):
    """What Renovate finds by one of its custom managers."""
    expressions = [re.compile(re.sub(r"\(\?<(?=\w)", "(?P<", each)) for each in manager["matchStrings"]]
    patterns = [re.compile(each.strip("/")) for each in manager["managerFilePatterns"]]
    for path in sorted((checkout / "infra").rglob("*.py")):
        file = str(path.relative_to(checkout))
        if not any(each.search(file) for each in patterns):
            continue
        outer, inner = expressions if len(expressions) == 2 else (re.compile(r"(?s).+"), *expressions)
        for block in outer.finditer(path.read_text()):
            for each in inner.finditer(block[0]):
                values = block.groupdict() | each.groupdict()
                kubernetes = f" ({values['kubernetes']})" if "kubernetes" in values else ""
                yield Pin(f"{values['depName']}{kubernetes}", values["currentValue"], file)


def components():
    return json.loads(bom.bill())["components"]


def pins_of_comments():
    return [*seen(VERSIONS), *seen(IMAGES)]


def versions():
    return {pin.version for manager in MANAGERS for pin in seen(manager)}


def test_the_bill_of_materials_is_fresh():
    assert bom.FILE.read_text() == bom.text(), "run `python -m stacks.commands.bom`"
    assert bom.FILE.with_suffix(".json").read_text() == bom.bill(), "run `python -m stacks.commands.bom`"


def test_bill_of_materials_holds_every_version_that_renovate_raises():
    listed = {(each["version"], *(one["location"] for one in each["evidence"]["occurrences"])) for each in components()}
    raised = {(pin.version, pin.file) for manager in MANAGERS for pin in seen(manager)}
    assert raised
    assert raised - listed == set()


def test_each_component_of_the_bill_is_listed_once_with_a_purl():
    listed = [(each["purl"], str(each["evidence"])) for each in components()]
    assert len(set(listed)) == len(listed) > 100
    assert [purl for purl, _ in listed if not re.match(r"pkg:[a-z]+/\S+$", purl)] == []


@pytest.mark.parametrize("file", ["infra/base/pins.py", "infra/kube/charts.py"])
def test_every_comment_for_renovate_is_one_that_it_understands(file):
    comments = re.findall(r"# renovate: .*depName=(\S+)", (CHECKOUT / file).read_text())
    assert comments
    assert sorted(comments) == sorted(pin.name for pin in pins_of_comments() if pin.file == file)


def test_every_chart_has_a_version_that_renovate_finds():
    found = {each.version for each in vars(charts).values() if isinstance(each, Chart)}
    assert found
    assert found <= versions()


def test_every_constant_of_the_pins_is_found_by_renovate():
    found = [each for name, each in vars(pins).items() if name.isupper()]
    assert found
    assert len(found) == len([pin for pin in pins_of_comments() if pin.file == "infra/base/pins.py"])
    assert [each for each in found if each.partition("@")[0].rpartition(":")[2] not in versions()] == []


def test_renovate_finds_every_add_on_of_every_kubernetes_version():
    expected = {
        (f"{addon} ({kubernetes})", version) for kubernetes, of in ADDONS.items() for addon, version in of.items()
    }
    assert {(pin.name, pin.version) for pin in seen(ADD_ONS)} == expected


def renewed(text, name, value, digest):
    """The pins once Renovate has put a version and a digest in the place of what its second manager finds.

    Source: https://docs.renovatebot.com/configuration-options/#autoreplacestringtemplate
    """
    outer, inner = (re.compile(each.replace("(?<", "(?P<")) for each in IMAGES["matchStrings"])
    template = IMAGES["autoReplaceStringTemplate"]
    assert "{{#if newDigest}}@{{{newDigest}}}{{/if}}" in template
    new = template.replace("{{#if newDigest}}", "").replace("{{/if}}", "").replace("{{{depName}}}", name)
    new = new.replace("{{{newValue}}}", value).replace("{{{newDigest}}}", digest)
    (block,) = [each for each in outer.finditer(text) if each["depName"] == name]
    (found,) = inner.finditer(block[0])
    return text[: block.start()] + block[0].replace(found[0], new) + text[block.end() :]


def test_renovate_adds_a_digest_to_each_image_and_renews_it():
    text = (CHECKOUT / "infra" / "base" / "pins.py").read_text()
    images = {name: value for name, value in vars(pins).items() if name.endswith("_IMAGE")}
    for name, value in images.items():
        repository, _, tag = value.partition("@")[0].rpartition(":")
        text = renewed(text, repository, tag, "sha256:" + "a" * 64)
        assert f'{name} = "{repository}:{tag}@sha256:{"a" * 64}"' in text
        text = renewed(text, repository, "v9.9.9", "sha256:" + "b" * 64)
        assert f'{name} = "{repository}:v9.9.9@sha256:{"b" * 64}"' in text
    values = {}
    exec(text, values)
    accepted = TypeAdapter(ImageReference)
    assert images
    assert all(accepted.validate_python(values[name]) == values[name] for name in images)
    (rule,) = [each for each in RENOVATE["packageRules"] if each.get("pinDigests")]
    assert (rule["matchFileNames"], rule["matchDatasources"]) == (["infra/base/pins.py"], ["docker"])


def test_an_image_with_a_digest_is_listed_by_its_tag():
    listed = materials.image(f"docker.io/library/redis:8.2.2@sha256:{'a' * 64}", "pins.py")
    assert (listed["name"], listed["version"]) == ("docker.io/library/redis", "8.2.2")
    assert listed["purl"] == (f"pkg:oci/redis@sha256%3A{'a' * 64}?repository_url=docker.io/library/redis&tag=8.2.2")


def test_no_image_of_others_is_pinned_anywhere_else():
    command = ["git", "grep", "--untracked", "-nE", ":v?[0-9]", "--", *(f"{name}/*.py" for name in PROGRAM)]
    lines = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False).stdout.splitlines()
    pinned = [line for line in lines if IMAGE.search(line)]
    assert pinned
    assert [line for line in pinned if not line.startswith("infra/base/pins.py:")] == []


def test_every_action_is_pinned_by_a_commit_beside_its_version():
    workflows = sorted((CHECKOUT / ".github" / "workflows").glob("*.yml"))
    used = [line for path in workflows for line in path.read_text().splitlines() if "uses:" in line]
    assert used
    assert [line for line in used if not re.search(r"@[0-9a-f]{40} # v\d", line)] == []
