"""A command that runs to its end on a cluster, and again whenever what it runs changes."""

from dataclasses import dataclass

import pulumi
from pulumi_kubernetes import batch

from infra.kube.pod import PodArgs, metadata, template


@dataclass(frozen=True, kw_only=True)
class OnceArgs(PodArgs):
    """A container that runs to its end; it must bear being run again."""

    timeout_seconds: int

    attempts: int = 3
    """Times that it is tried before `up` fails with it."""


class Once(pulumi.ComponentResource):
    """A Job that `up` waits for."""

    done: pulumi.Resource
    """The Job, once its command has exited with 0."""

    def __init__(self, name: str, args: OnceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:Once", name, None, opts)

        # A Job that is gone after its end would be made, and run, at every `up`: it has no time to live.
        self.done = batch.v1.Job(
            f"{name}-job",
            metadata=metadata(name, args.substrate),
            spec=batch.v1.JobSpecArgs(
                active_deadline_seconds=args.timeout_seconds,
                backoff_limit=args.attempts - 1,
                template=template(name, args, self),
            ),
            opts=args.substrate.child(self, *args.needs),
        )

        self.register_outputs({})
