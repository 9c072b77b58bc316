"""What the resources of the host provider take; the provider checks each request against these."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from infra.base import health

PortNumber = Annotated[int, Field(ge=1024, le=65535)]
RelativePath = Annotated[str, Field(min_length=1, pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$")]
"""A path below the stack's folder."""


class Inputs(BaseModel):
    """Base: unknown properties are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class HealthCheck(Inputs):
    """How a process shows that it works: an HTTP 2xx answer, or a command that exits with 0.

    A started process is ready once it shows it. From then on the watchdog asks, and restarts a process that hangs: one
    without any answer, with an HTTP status of 500 or more, or stopped by a signal, several times in a row.
    """

    http_url: str | None = None

    command: list[str] | None = None

    login: str | None = None
    """`user:password` that `http_url` asks for."""

    interval_seconds: Annotated[float, Field(ge=0.1, le=600)] = health.INTERVAL_SECONDS
    """Time from one look of the watchdog to the next."""

    timeout_seconds: Annotated[float, Field(ge=0.1, le=600)] = health.TIMEOUT_SECONDS
    """Time within which an answer must come; a later one is a miss."""

    misses: Annotated[int, Field(ge=1, le=1000)] = health.MISSES
    """Misses in a row after which the process counts as hung and is restarted."""

    grace_seconds: Annotated[float, Field(ge=0, le=86400)] = health.GRACE_SECONDS
    """Time after a launch in which misses do not count, unless the process has answered already."""

    @model_validator(mode="after")
    def _exactly_one(self) -> "HealthCheck":
        if (self.http_url is None) == (self.command is None):
            raise ValueError("give either http_url or command")
        return self


class SupervisorInputs(Inputs):
    """The process supervisor of the stack."""

    search_path: str
    """PATH of everything it starts."""


class ProcessInputs(Inputs):
    """A supervised process."""

    command: Annotated[list[str], Field(min_length=1)]

    environment: dict[str, str] = {}

    directory: str | None = None
    """Absolute working directory; None is the stack's folder."""

    health: HealthCheck

    ports: list[PortNumber] = []
    """Loopback ports that it will listen on; each must be free before it starts."""

    triggers: dict[str, str] = {}
    """Values whose change restarts it, e.g. the digest of a configuration file."""

    folders: list[str] = []
    """Absolute paths of folders that it keeps open: `up` restarts it when one was deleted and made anew."""

    start_timeout_seconds: Annotated[float, Field(gt=0, le=600)] = 60

    stop_timeout_seconds: Annotated[float, Field(gt=0, le=120)] = 10

    log_max_mib: Annotated[int, Field(ge=1, le=1024)] = 10

    log_backups: Annotated[int, Field(ge=0, le=20)] = 2

    runbook: str | None = None
    """Document with remedies, which the error of a process that does not start names."""


class JobInputs(Inputs):
    """A command that runs to its end once for each set of inputs."""

    command: Annotated[list[str], Field(min_length=1)]

    environment: dict[str, str] = {}

    directory: str | None = None

    triggers: dict[str, str] = {}

    check: list[str] = []
    """Command that tells whether the result of the job still exists: exit status 0 says that it does, 3 that it does
    not, any other that nobody can tell now. Its last line of output says why. Empty: the result is taken to exist."""

    repair: list[str] = []
    """Command that runs instead of `command` when the inputs are those of the last run and `check` finds no result."""

    timeout_seconds: Annotated[float, Field(gt=0, le=86400)] = 3600


class FolderInputs(Inputs):
    """A folder below the stack's folder."""

    path: RelativePath

    keep: bool = False
    """Whether deleting the resource leaves the folder and what is in it."""


class FileInputs(Inputs):
    """A file of given content, readable by its owner only."""

    path: RelativePath

    content: str

    check: list[str] = []
    """Command that must accept the file before it replaces the old one; `{path}` stands for the candidate."""

    reload: str | None = None
    """Name of the process that is told of a change, by SIGHUP, so that it reads the file again."""

    reload_url: str | None = None
    """Of a stack that an earlier version made; nothing is sent there any more."""


class SecretInputs(Inputs):
    """A random value made once."""

    length: Annotated[int, Field(ge=16, le=128)] = 32
    """Number of characters, each of `A-Za-z0-9`."""


class PortInputs(Inputs):
    """A loopback port, chosen once."""

    number: PortNumber | None = None
    """The port to take; None chooses a free one below the range that the kernel lends to outgoing connections."""


class KindClusterInputs(Inputs):
    """A Kubernetes cluster in Docker."""

    cluster_name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
    """Name among this machine's kind clusters."""

    node_image: str | None = None
    """Image of the nodes; None takes the program's own."""

    registry_port: Annotated[int, Field(ge=1024, le=65535)] | None = None
    """Port on 127.0.0.1 of the registry that nodes pull from; None: there is none."""

    configuration: str
    """Its configuration file, as JSON."""
