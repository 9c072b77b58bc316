"""What realizations stand on: one of three, handed to every `build()`."""

from typing import TypeVar

from infra.aws.substrate import Aws
from infra.host.substrate import Local
from infra.kube.substrate import Kubernetes

Substrate = Local | Kubernetes | Aws
"""Every substrate that a realization can be asked to stand on."""

_Wanted = TypeVar("_Wanted", Local, Kubernetes, Aws)


def narrow(substrate: Substrate, wanted: type[_Wanted]) -> _Wanted:
    """The substrate as the one that a realization stands on; what stands on a cluster also stands on AWS' cluster.

    Raises: TypeError for a realization that the stack's settings model should not have offered on this substrate.
    """
    if isinstance(substrate, Aws) and wanted is Kubernetes:
        return substrate.kubernetes  # type: ignore[return-value]  # `wanted` is Kubernetes here
    if not isinstance(substrate, wanted):
        raise TypeError(f"a realization on {wanted.__name__} was asked to stand on {type(substrate).__name__}")
    return substrate
