"""What a stack file can say about the role identity; without any provider's SDK, which `local` does not have."""

from typing import Literal

from infra.core.settings import Settings


class StoreKeysSettings(Settings):
    """Whoever needs a store gets the store's own keys; for substrates whose stores know one account."""

    kind: Literal["store-keys"]


IdentitySettings = StoreKeysSettings
