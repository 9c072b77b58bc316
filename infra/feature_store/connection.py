"""How Feast is told to reach an online store."""

import pulumi

from infra.online_store import OnlineStore
from infra.online_store.acl import Access


def redis_connection(online: OnlineStore, project: str, access: Access) -> pulumi.Output[str]:
    """Feast's Redis connection string for processes of a project, with the password: secret.

    Source: https://docs.feast.dev/reference/online-stores/redis
    """
    login = online.login(project, access)
    user = "" if login.user is None else f",username={login.user}"
    return pulumi.Output.concat(online.address, user, ",password=", login.password, ",ssl=true" if online.tls else "")
