"""Every rule there is: in Rego below `policies/rules` and `policies/release`, in Python the others."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import ValidationError

from policies import aws, builtin, stack
from policies.model import PolicyError, one_line
from policies.rule import Metadata, RegoMetadata, Rule

FOLDER = Path(__file__).parent
RULES = FOLDER / "rules"
RELEASE = FOLDER / "release"
PACK = FOLDER / "pack"
REPORT = "MLPLATFORM_POLICY_REPORT"
"""Environment variable that names the file to which the pack writes its report, in JSON."""

STEPS_JUDGED = "MLPLATFORM_POLICY_STEPS"
"""Environment variable that is set for an engine whose steps this package has judged or will judge."""

SETTINGS = "MLPLATFORM_POLICY_SETTINGS"
"""Environment variable with the stack file's block in JSON, for a command that hands packs no configuration."""

Described = TypeVar("Described", bound=Metadata)


class RegoRule(Rule):
    """A rule on Kubernetes objects."""

    metadata: RegoMetadata
    folder: Path

    @property
    def package(self) -> str:
        """Name of the Rego package below `rules`."""
        return self.id.lower().replace("-", "_")


class ReleaseRule(Rule):
    """A rule on a trained model, which the policy server decides."""

    folder: Path

    @property
    def package(self) -> str:
        """Name of the Rego package below `promotion`."""
        return self.id.lower().replace("-", "_")


@cache
def rego_rules(folder: Path = RULES) -> Mapping[str, RegoRule]:
    """The rules in Rego on Kubernetes objects by id.

    Raises: PolicyError for a folder whose name is no id, or whose metadata is incomplete or of the wrong type.
    """
    return {
        identifier: RegoRule(id=identifier, folder=each, metadata=_metadata(each / "metadata.yaml", RegoMetadata))
        for identifier, each in _folders(folder, "rules").items()
    }


@cache
def release_rules(folder: Path = RELEASE) -> Mapping[str, ReleaseRule]:
    """The rules in Rego on trained models by id; no stack file changes their level and no exemption covers them.

    Raises: PolicyError, as `rego_rules`.
    """
    return {
        identifier: ReleaseRule(id=identifier, folder=each, metadata=_metadata(each / "metadata.yaml", Metadata))
        for identifier, each in _folders(folder, "promotion").items()
    }


def _folders(folder: Path, packages: str) -> dict[str, Path]:
    """The folders of rules by id, each with Rego in the package that the others look for."""
    found: dict[str, Path] = {}
    for each in sorted(path for path in folder.iterdir() if path.is_dir()):
        name = re.fullmatch(r"([a-z0-9]+-[0-9]{2})(-[a-z0-9]+)+", each.name)
        if name is None:
            raise PolicyError(f"{each}: the name must be <group>-<number>-<slug>, e.g. k8s-01-privileged")
        identifier = name[1].upper()
        if identifier in found:
            raise PolicyError(f"{each}: {identifier} is the rule in {found[identifier]} already: take another number")
        source, package = each / "rule.rego", f"{packages}.{identifier.lower().replace('-', '_')}"
        if not source.exists() or not re.search(rf"^package {package}$", source.read_text(), re.MULTILINE):
            raise PolicyError(f"{source} must be there and begin with `package {package}`, or the rule never fires")
        found[identifier] = each
    return found


def _metadata(file: Path, model: type[Described]) -> Described:
    try:
        return model.model_validate(yaml.safe_load(file.read_text()))
    except FileNotFoundError as error:
        raise PolicyError(f"{file} is missing: every rule has one, with title, severity, fix and link") from error
    except yaml.YAMLError as error:
        raise PolicyError(f"{file} is no YAML: {one_line(error)}") from error
    except ValidationError as error:
        lines = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise PolicyError(f"{file}: {lines}") from error


@cache
def all_rules() -> Mapping[str, Rule]:
    """Every rule on a stack by id: Rego, Python, and what the gate itself sees to."""
    typed = [*aws.rules(), *stack.BOOK.rules]
    found: dict[str, Rule] = {**rego_rules(), **{rule.id: rule for rule in typed}, **builtin.RULES}
    return dict(sorted(found.items()))


def known(identifier: str) -> Metadata:
    """The metadata of a rule.

    Raises: ValueError that lists the rules there are.
    """
    rules = all_rules()
    if identifier in release_rules():
        raise ValueError(f"{identifier} judges trained models: only a commit to its folder in {RELEASE} changes it")
    if identifier not in rules:
        raise ValueError(f"there is no rule {identifier!r}; rules are {', '.join(rules)}")
    return rules[identifier].metadata
