"""Certificates by which pods know the database that they call, in a ConfigMap of each namespace where there are any.

Needs the Kubernetes SDK, which `local` does not have: only realizations on clusters import this module.
"""

from collections.abc import Collection
from pathlib import Path

import pulumi
from pulumi_kubernetes import core, meta

from infra.base import names
from infra.base.supply import SupplyError
from infra.kube.substrate import Kubernetes

NAME, FOLDER = names.DATABASE_AUTHORITY, names.DATABASE_AUTHORITY_FOLDER
FILE = "authority.pem"
PATH = f"{FOLDER}/{FILE}"
"""In the containers."""
BEGINNING = "-----BEGIN CERTIFICATE-----"


class AuthorityError(SupplyError):
    """A file holds no certificates; the text is one line that names the fix."""


def read(file: Path, fix: str) -> str:
    """The certificates of a file; raises AuthorityError, whose text ends with `fix`."""
    try:
        text = file.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        text = ""
    if BEGINNING not in text or "PRIVATE KEY" in text:
        raise AuthorityError(f"{file} is no file of certificates in PEM and nothing else: {fix}")
    return text


def publish(name: str, substrate: Kubernetes, opts: pulumi.ResourceOptions | None) -> list[pulumi.Resource]:
    """Put the certificates, where there are any, into the substrate's namespace."""
    if substrate.authority is None:
        return []
    metadata = meta.v1.ObjectMetaArgs(name=NAME, namespace=substrate.namespace)
    return [core.v1.ConfigMap(name, metadata=metadata, data={FILE: substrate.authority}, opts=opts)]


def volumes(substrate: Kubernetes, calls: Collection[str]) -> list[tuple[core.v1.VolumeArgs, str]]:
    """What a pod that calls these roles has mounted, and where."""
    if substrate.authority is None or "database" not in calls:
        return []
    source = core.v1.ConfigMapVolumeSourceArgs(name=NAME)
    return [(core.v1.VolumeArgs(name=NAME, config_map=source), FOLDER)]
