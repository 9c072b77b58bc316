"""Credentials for clusters of any kind: random texts that live in the engine's encrypted state."""

import pulumi
import pulumi_random


class RandomCredentials(pulumi.ComponentResource):
    """Draws credentials with the provider `random`, once; a Secret hands each to the pods that need it.

    Realizes `infra.credentials.Credentials`.
    Source: https://www.pulumi.com/registry/packages/random/api-docs/randompassword/
    """

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:RandomCredentials", name, None, opts)
        self.register_outputs({})

    def generate(self, name: str, length: int = 40, opts: pulumi.ResourceOptions | None = None) -> pulumi.Output[str]:
        """A secret text of `length` letters and digits, made once."""
        return pulumi_random.RandomPassword(name, length=length, special=False, opts=opts).result
