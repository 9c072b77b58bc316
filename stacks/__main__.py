"""The Pulumi program: reads the stack file, declares what it says."""

import gc
import os
from functools import partial

import pulumi

from infra.base import images
from infra.base.supply import SupplyError
from infra.cluster.kubeconfig import KubeconfigError
from infra.exposure import LoginError
from stacks import composition, settings
from stacks.surroundings import Surroundings

JUDGED = "MLPLATFORM_JUDGED"
"""Environment variable of a shell or command whose engine asks the policy pack; `tools.env` sets it."""


def main() -> None:
    """Declare the stack."""
    if JUDGED not in os.environ:
        pulumi.log.warn(
            "NO POLICY JUDGES THIS UPDATE: neither its rules nor its guard over losses were asked. "
            f'Run `make up STACK={pulumi.get_stack()}`, or plain pulumi after `eval "$(make -s env)"`.'
        )
    gc.disable()  # the process lives for seconds and leaves little garbage: collections took 40 % of its time on prod
    try:
        surroundings = Surroundings(
            stack=pulumi.get_stack(),
            folder=settings.stack_dir(pulumi.get_stack()),
            image=partial(images.reference, file=settings.images_file(pulumi.get_stack())),
        )
        composition.declare(settings.load(), surroundings)
    except (settings.StackFileError, KubeconfigError, images.ImageError, LoginError, SupplyError) as error:
        raise pulumi.RunError(str(error)) from None


main()
