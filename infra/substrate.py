"""What realizations stand on: one of three, handed to every `build()`."""

from typing import TypeVar

from infra.aws.substrate import Aws
from infra.host.substrate import Local
from infra.kube.substrate import Kubernetes

Substrate = Local | Kubernetes | Aws
"""Every substrate that a realization can be asked to stand on."""

_Wanted = TypeVar("_Wanted", Local, Kubernetes, Aws)


def narrow(substrate: Substrate, wanted: type[_Wanted]) -> _Wanted:
    """The substrate as the one that a realization stands on; what stands on a cluster also stands on a cloud's.

    Raises: TypeError for a realization that the stack's settings model should not have offered on this substrate.
    """
    for each in (substrate, substrate.kubernetes):
        if isinstance(each, wanted):
            return each
    raise TypeError(f"a realization on {wanted.__name__} was asked to stand on {type(substrate).__name__}")
