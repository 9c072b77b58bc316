"""Identity by keys, on every substrate whose stores know no identities."""

from collections.abc import Sequence

import pulumi

from infra.identity.spec import Grant, Need, Principal


class StoreKeys(pulumi.ComponentResource):
    """Hands a store's keys to each process that needs the store; they open a whole folder, to read and to write.

    Realizes `infra.identity.Identity`.
    """

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:StoreKeys", name, None, opts)
        self.register_outputs({})

    def grant(
        self, name: str, needs: Sequence[Need], principal: Principal | None, opts: pulumi.ResourceOptions | None = None
    ) -> Grant:
        """The variables of every store in `needs`; nothing is made, so `name`, `principal` and `opts` say nothing."""
        del name, principal, opts
        return Grant(
            environment={key: value for need in needs for key, value in need.store.client_env.items()},
            secrets={key: value for need in needs for key, value in need.store.keys(need.prefix).items()},
        )
