"""Kubeflow Pipelines' pinned upstream manifests under the overlay beside this module.

Their contents come from upstream: Pod Security judges them at admission.
"""

from pathlib import Path
from typing import Any

import pulumi
import yaml
from pulumi_kubernetes.kustomize import v2 as kustomize
from pulumi_kubernetes.yaml import v2 as plain

from infra.base import pins
from infra.base.supply import Supply, SupplyError
from infra.kube.substrate import Kubernetes

OVERLAY = Path(__file__).with_name("kubeflow")
DIRECTORY, GROUP = "kubernetes:kustomize/v2:Directory", "kubernetes:yaml/v2:ConfigGroup"
"""What the objects hang under: built from upstream, and ready built."""


class ManifestsError(SupplyError):
    """The manifests that a stack needs cannot be had; the text is one line that names the fix."""


def apply(name: str, substrate: Kubernetes, opts: pulumi.ResourceOptions) -> pulumi.Resource:
    """Apply the manifests: built from upstream's repository, or as the stack's folder has them, ready built.

    Raises: ManifestsError when the folder lacks them, or there is a mirror without a folder.
    """
    supply = substrate.supply
    if supply.folder is None:
        if supply.registry is not None:
            raise ManifestsError(
                "substrate.supply.registry without substrate.supply.folder: images of Kubeflow Pipelines can only be "
                "taken from a mirror where its manifests are in a folder; " + _how(Path("<folder>"))
            )
        return kustomize.Directory(name, directory=str(OVERLAY), opts=_once(GROUP, opts))
    return plain.ConfigGroup(name, objs=built(supply), opts=_once(DIRECTORY, opts))


def _once(other: str, opts: pulumi.ResourceOptions) -> pulumi.ResourceOptions:
    """Over to a mirror, or back, objects stay the same to the engine; else it would delete those that are there."""
    return pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(aliases=[pulumi.Alias(type_=other)]))


def built(supply: Supply) -> list[dict[str, Any]]:
    """Every object of the folder's file, its images from the mirror where there is one."""
    assert supply.folder is not None  # noqa: S101  for the type checker
    path = supply.folder / "manifests" / f"kubeflow-pipelines-{pins.KUBEFLOW_PIPELINES}.yaml"
    if not path.is_file():
        raise ManifestsError(f"{path} does not exist: {_how(path)}")
    # Definitions of custom resources hold values that only the C parser reads as text.
    found = [each for each in yaml.load_all(path.read_text(), Loader=yaml.CSafeLoader) if each]
    return [_from_mirror(each, supply) for each in found]


def _from_mirror(manifest: Any, supply: Supply) -> Any:
    """The manifest with every image, wherever it stands, pulled through the mirror."""
    if isinstance(manifest, list):
        return [_from_mirror(each, supply) for each in manifest]
    if not isinstance(manifest, dict):
        return manifest
    # Drivers and launchers are named in variables of the API server.
    named = manifest.get("value") if str(manifest.get("name", "")).endswith("_IMAGE") else None
    changed = {key: _from_mirror(value, supply) for key, value in manifest.items()}
    if isinstance(manifest.get("image"), str):
        changed["image"] = supply.image(manifest["image"])
    if isinstance(named, str):
        changed["value"] = supply.image(named)
    return changed


def _how(path: Path) -> str:
    return f"`kubectl kustomize {OVERLAY} > {path}` on a machine that reaches GitHub makes the file"
