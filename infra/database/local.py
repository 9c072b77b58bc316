"""Database on this machine: one sqlite file for each user of the role."""

from dataclasses import dataclass
from pathlib import Path

import pulumi

from infra.database.settings import SqliteOnHostSettings
from infra.host import Folder
from infra.host.substrate import Local

SQLITE = "sqlite:///"


@dataclass(frozen=True, kw_only=True)
class SqliteOnHostArgs:
    """The settings, and what other components hand over."""

    settings: SqliteOnHostSettings

    substrate: Local


class SqliteOnHost(pulumi.ComponentResource):
    """Files in the stack's folder; sqlite makes each at its first use.

    Realizes `infra.database.Database`.
    """

    def __init__(self, name: str, args: SqliteOnHostArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:SqliteOnHost", name, None, opts)
        self._name, self._keep = name, args.substrate.keep_data
        self.register_outputs({})

    def create(self, name: str, opts: pulumi.ResourceOptions | None = None) -> pulumi.Output[str]:
        """SQLAlchemy URL of a database of its own."""
        folder = Folder(name, path=f"data/{self._name}/{name}", keep=self._keep, opts=opts)
        return pulumi.Output.format(SQLITE + "{0}/{1}.db", folder.absolute_path, name)


def folders(url: str) -> list[str]:
    """Folders that a server with this database keeps open."""
    return [str(Path(url.removeprefix(SQLITE)).parent)] if url.startswith(SQLITE) else []
