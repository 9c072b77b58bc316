"""Who may do what in a Redis that several Feast projects share: each project's reader and writer reach its keys alone.

Feast ends every key with the project's name. Left out: the names of keys, which a writer can list for all projects.
Source: https://redis.io/docs/latest/operate/oss_and_stack/management/security/acl/
"""

import hashlib
from typing import Literal

Access = Literal["r", "rw"]
ROLES: dict[Access, str] = {"r": "reader", "rw": "writer"}
READS = ("ping", "hmget")
"""Commands of a feature lookup."""
WRITES = ("hset", "expire", "scan", "hkeys", "hdel", "del")
"""Commands that writing adds: rows, their time to live, and what deletes the rows of a view that is no more.
Source: Feast's `feast/infra/online_stores/redis.py`"""


def user(project: str, access: Access) -> str:
    """Name of a project's user."""
    return f"{project}_{ROLES[access]}"


def rule(project: str, access: Access) -> str:
    """What a project's user may do, as Redis and ElastiCache write it, but for passwords."""
    commands = (*READS, *(WRITES if access == "rw" else ()))
    return f"on ~*{project} -@all {' '.join(f'+{command}' for command in commands)}"


def line(project: str, access: Access, password: str) -> str:
    """A project's user in Redis' configuration, which holds the password's hash."""
    hashed = hashlib.sha256(password.encode()).hexdigest()
    return f"user {user(project, access)} #{hashed} {rule(project, access)}"
