"""Serving on this machine: the KServe Python model server as a supervised process, without KServe's controller."""

from dataclasses import dataclass

import pulumi

from infra.compute.local import ServiceOnHost, TaskOnHostArgs
from infra.compute.spec import ServiceSpec
from infra.serving.settings import KserveOnHostSettings
from infra.serving.spec import ModelServerSpec

LIVE_PATH = "/v2/health/live"


@dataclass(frozen=True, kw_only=True)
class KserveOnHostArgs(TaskOnHostArgs):
    """The settings, and what other components hand over."""

    settings: KserveOnHostSettings


class ModelServerOnHost(pulumi.ComponentResource):
    """One KServe model server process.

    Realizes `infra.serving.ModelServer`.
    Source: https://kserve.github.io/website/docs/concepts/architecture/data-plane
    """

    model_url: pulumi.Output[str]

    prediction_url: pulumi.Output[str]

    metrics_target: pulumi.Output[str]

    ready: pulumi.Resource

    def __init__(
        self, name: str, spec: ModelServerSpec, args: KserveOnHostArgs, opts: pulumi.ResourceOptions | None
    ) -> None:
        super().__init__("mlplatform:index:ModelServerOnHost", name, None, opts)

        service = ServiceOnHost(
            f"{name}-service",
            ServiceSpec(
                image=spec.image,
                command=spec.command,
                environment=spec.environment,
                secrets=spec.secrets,
                needs=spec.needs,
                calls=spec.calls,
                resources=spec.resources,
                health_path=LIVE_PATH,
                port=args.settings.port,
            ),
            args,
            pulumi.ResourceOptions(parent=self),
        )
        self.ready = service.ready
        self.model_url = pulumi.Output.concat(service.url, "/v1/models/", spec.model_name)
        self.prediction_url = pulumi.Output.concat(self.model_url, ":predict")
        self.metrics_target = service.url.apply(lambda url: url.removeprefix("http://"))
        self.register_outputs(
            {
                "model_url": self.model_url,
                "prediction_url": self.prediction_url,
                "metrics_target": self.metrics_target,
            }
        )


class KserveOnHost(pulumi.ComponentResource):
    """Model servers on this machine.

    Realizes `infra.serving.Serving`.
    """

    def __init__(self, name: str, args: KserveOnHostArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlplatform:index:KserveOnHost", name, None, opts)
        self._args = args
        self.register_outputs({})

    def deploy(self, name: str, spec: ModelServerSpec, opts: pulumi.ResourceOptions | None = None) -> ModelServerOnHost:
        """Keep a model server running."""
        return ModelServerOnHost(name, spec, self._args, opts)
