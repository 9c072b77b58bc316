"""What becomes of data when the store that holds it is to be deleted or replaced."""

from typing import Literal

import pulumi

Protection = Literal["protect", "retain", "delete"]
"""`protect`: the engine refuses, until another update has lifted the protection; `retain`: the store stays, with its
data and its bill, and the stack forgets it; `delete`: the data goes with the store."""


def options(parent: pulumi.Resource, protection: Protection, *needs: pulumi.Resource) -> pulumi.ResourceOptions:
    """Options of what holds data; also of the key that the data is encrypted with.

    Source: https://www.pulumi.com/docs/iac/concepts/resources/options/protect/
    """
    return pulumi.ResourceOptions(
        parent=parent,
        depends_on=list(needs),
        protect=protection == "protect",
        retain_on_delete=protection == "retain",
    )
