"""How Feast is told to reach an online store."""

import pulumi

from infra.online_store import OnlineStore


def redis_connection(online: OnlineStore) -> pulumi.Output[str]:
    """Feast's Redis connection string, with the password: secret.

    Source: https://docs.feast.dev/reference/online-stores/redis
    """
    return pulumi.Output.concat(online.address, ",password=", online.password, ",ssl=true" if online.tls else "")
