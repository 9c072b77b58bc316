"""Compute on this machine: services are supervised processes, jobs run once; all in the `workloads` environment."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi

from infra.base.images import Target
from infra.compute.settings import ComputeOnHostSettings
from infra.compute.spec import JobSpec, ScheduleSpec, ServiceSpec, TaskSpec
from infra.host import File, Folder, Job, Port, Process
from infra.host.substrate import LOOPBACK, Local
from infra.identity import Identity, Need

START_TIMEOUT_SECONDS = 180
"""Importing a model server's libraries takes 7 s on an idle core, many times that on a busy one."""


@dataclass(frozen=True, kw_only=True)
class TaskOnHostArgs:
    """What every task needs beside its specification."""

    substrate: Local

    identity: Identity


@dataclass(frozen=True, kw_only=True)
class ComputeOnHostArgs(TaskOnHostArgs):
    """The settings, and what other components hand over."""

    settings: ComputeOnHostSettings


class ServiceOnHost(pulumi.ComponentResource):
    """One supervised process that serves HTTP on a loopback port.

    Realizes `infra.compute.Service`.
    """

    url: pulumi.Output[str]

    ready: pulumi.Resource
    """The process, once it is live."""

    def __init__(
        self, name: str, spec: ServiceSpec, args: TaskOnHostArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("mlplatform:index:ServiceOnHost", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)

        port = Port(f"{name}-port", number=spec.port, opts=child)
        scratch = Folder(f"{name}-scratch", path=f"data/{name}", opts=child)
        self.url = pulumi.Output.format("http://{0}:{1}", LOOPBACK, port.chosen)
        self.ready = Process(
            f"{name}-process",
            command=spec.command,
            directory=str(args.substrate.checkout),
            environment=_environment(name, spec, args, WORK_DIR=scratch.absolute_path, PORT=port.chosen.apply(str)),
            ports=[port.chosen],
            health={"http_url": pulumi.Output.concat(self.url, spec.health_path)},
            start_timeout_seconds=START_TIMEOUT_SECONDS,
            opts=args.substrate.child(self),
        )

        self.register_outputs({"url": self.url})


class JobOnHost(pulumi.ComponentResource):
    """One command that runs to its end; it starts once the stores that it needs answer.

    Realizes `infra.compute.Job`.
    """

    done: pulumi.Resource

    def __init__(
        self, name: str, spec: JobSpec, args: TaskOnHostArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("mlplatform:index:JobOnHost", name, None, opts)

        scratch = Folder(f"{name}-scratch", path=f"data/{name}", opts=pulumi.ResourceOptions(parent=self))
        self.done = Job(
            f"{name}-run",
            command=spec.command,
            directory=str(args.substrate.checkout),
            environment=_environment(name, spec, args, WORK_DIR=scratch.absolute_path),
            triggers=spec.triggers,
            check=spec.check,
            repair=spec.repair,
            timeout_seconds=spec.timeout_seconds,
            opts=args.substrate.child(self, *(need.store.ready for need in spec.needs)),
        )

        self.register_outputs({})


class ScheduleOnHost(pulumi.ComponentResource):
    """One supervised timer that runs a command at the times of a cron expression."""

    def __init__(
        self, name: str, spec: ScheduleSpec, args: TaskOnHostArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("mlplatform:index:ScheduleOnHost", name, None, opts)

        scratch = Folder(f"{name}-scratch", path=f"data/{name}", opts=pulumi.ResourceOptions(parent=self))
        record = pulumi.Output.concat(scratch.absolute_path, "/timer.json")
        Process(
            f"{name}-timer",
            command=[
                # By its path, because importing the package would keep Pulumi's SDK in memory.
                *(args.substrate.python, str(args.substrate.checkout / "infra" / "host" / "timer.py")),
                *("--cron", spec.cron),
                *("--record", record),
                "--",
                *spec.command,
            ],
            directory=str(args.substrate.checkout),
            environment=_environment(name, spec, args, WORK_DIR=scratch.absolute_path),
            health={"command": ["test", "-s", record]},
            opts=args.substrate.child(self, *spec.after),
        )

        self.register_outputs({})


class ComputeOnHost(pulumi.ComponentResource):
    """Runs what workloads declare as processes and jobs below the stack's supervisor.

    Realizes `infra.compute.Compute`. A need for a store becomes the store's own credentials: on one machine with one
    user there is no narrower identity to give.
    """

    def __init__(self, name: str, args: ComputeOnHostArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:ComputeOnHost", name, None, opts)
        self._args = args
        self.register_outputs({})

    def service(self, name: str, spec: ServiceSpec, opts: pulumi.ResourceOptions | None = None) -> ServiceOnHost:
        """Keep a service running."""
        return ServiceOnHost(name, spec, self._args, opts)

    def job(self, name: str, spec: JobSpec, opts: pulumi.ResourceOptions | None = None) -> JobOnHost:
        """Run a job; `up` waits for its end and fails with it."""
        return JobOnHost(name, spec, self._args, opts)

    def schedule(self, name: str, spec: ScheduleSpec, opts: pulumi.ResourceOptions | None = None) -> None:
        """Run a task at the times of a cron expression."""
        ScheduleOnHost(name, spec, self._args, opts)

    def executors(
        self, name: str, image: Target, needs: Sequence[Need], opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """None: a task's own process does all the work."""

    def document(
        self, name: str, variable: str, content: pulumi.Input[str], opts: pulumi.ResourceOptions | None = None
    ) -> dict[str, pulumi.Input[str]]:
        """The path of a file that only this person can read, rewritten in one move."""
        return {f"{variable}_FILE": File(name, path=f"documents/{name}", content=content, opts=opts).absolute_path}


def _environment(
    name: str, spec: TaskSpec, args: TaskOnHostArgs, **more: pulumi.Input[str]
) -> dict[str, pulumi.Input[str]]:
    grant = args.identity.grant(name, spec.needs, None)
    return {
        "PATH": args.substrate.search_path,
        **grant.environment,
        **grant.secrets,
        **spec.environment,
        **spec.secrets,
        **more,
    }
