"""What a stack file says, as one typed model, and the one place that reads configuration and environment variables."""

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import pulumi
import yaml
from pydantic import ValidationError, model_validator

from infra.artifact_store.settings import VersitygwOnHostSettings, VersitygwOnKubernetesSettings
from infra.base import data_paths, images, paths
from infra.base.settings import Settings
from infra.base.supply import Supply
from infra.cluster.settings import PlainClusterSettings
from infra.compute.settings import ComputeOnHostSettings
from infra.credentials.settings import GeneratedOnHostSettings
from infra.database.settings import PostgresOnKubernetesSettings, SqliteOnHostSettings
from infra.exposure.settings import ExposureSettings
from infra.feature_store.settings import FeastOnHostSettings
from infra.gpu_node_pool.settings import GpuNodePoolSettings
from infra.host.substrate import PythonEnvironment
from infra.identity.settings import StoreKeysSettings
from infra.monitoring.settings import PrometheusOnHostSettings
from infra.online_store.settings import RedisOnHostSettings, RedisOnKubernetesSettings
from infra.pipelines.settings import HostPipelinesSettings, PipelinesSettings
from infra.policy_server.settings import OpaOnHostSettings
from infra.serving.settings import KserveOnHostSettings
from infra.tracking.settings import MlflowOnHostSettings
from policies.settings import PolicySettings
from stacks import neighbours
from stacks.alert_settings import ALERT_SECRETS, AlertsSettings
from stacks.aws_settings import AwsStack
from stacks.cluster_settings import ClusterStack
from stacks.former_keys import translated
from stacks.workload_settings import NO_FILE_FOR_PODS, with_blocks
from workloads.lifecycle.base.settings import STORED, drill_profile

PROJECT = "mlplatform"
TOOLS = (
    ("versitygw",),
    ("opa",),
    ("redis-server",),
    ("prometheus",),
    ("prometheus-alertmanager", "alertmanager"),
    ("prometheus-pushgateway", "pushgateway"),
    ("java",),
)
"""Programs of the local stack; where distributions differ, every name that one goes by."""
IMAGES_VARIABLE = "MLPLATFORM_IMAGES"
"""Names another file than `stacks/images.json`; a preview without an account brings its own."""
LOGIN_CLIENT_SECRET = "login_client_secret"  # noqa: S105  a key
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class LocalSubstrateSettings(Settings):
    """This machine."""

    kind: Literal["local"]

    keep_data: bool = False
    """Whether `make down` leaves the stores' data (objects, runs, features, samples) for the next `make up`."""


class LocalStack(AlertsSettings):
    """The stack file of a stack on this machine: one block per role, one per workload."""

    on_cluster: ClassVar[None] = None
    on_aws: ClassVar[None] = None

    substrate: LocalSubstrateSettings
    identity: StoreKeysSettings
    credentials: GeneratedOnHostSettings
    database: SqliteOnHostSettings
    artifact_store: VersitygwOnHostSettings
    online_store: RedisOnHostSettings
    feature_store: FeastOnHostSettings
    tracking: MlflowOnHostSettings
    pipelines: HostPipelinesSettings
    policy_server: OpaOnHostSettings
    monitoring: PrometheusOnHostSettings
    compute: ComputeOnHostSettings
    serving: KserveOnHostSettings
    policies: PolicySettings = PolicySettings()

    @model_validator(mode="after")
    def _no_port_twice(self) -> "LocalStack":
        seen: dict[int, str] = {}
        blocks = {role: getattr(self, role) for role in type(self).model_fields}
        for role, block in blocks.items():
            for key in type(block).model_fields if isinstance(block, Settings) else ():
                port = getattr(block, key)
                if not key.endswith("port") or port is None:
                    continue
                if port in seen:
                    raise ValueError(f"{role}.{key} and {seen[port]} are both {port}: give one of them another port")
                seen[port] = f"{role}.{key}"
        return self


class KubernetesSubstrateSettings(Settings):
    """One Kubernetes cluster, in two namespaces of it."""

    kind: Literal["kubernetes"]

    supply: Supply = Supply()
    """Where others' images, charts and manifests come from."""


class KubernetesStack(ClusterStack):
    """The stack file of a stack on a Kubernetes cluster: what `ClusterStack` holds, and where it stands."""

    on_aws: ClassVar[None] = None

    substrate: KubernetesSubstrateSettings
    cluster: PlainClusterSettings
    gpu_node_pool: GpuNodePoolSettings
    exposure: ExposureSettings
    identity: StoreKeysSettings
    database: PostgresOnKubernetesSettings
    artifact_store: VersitygwOnKubernetesSettings
    online_store: RedisOnKubernetesSettings
    pipelines: PipelinesSettings


StackSettings = LocalStack | KubernetesStack | AwsStack
"""One stack file; each substrate has a model of its own, which offers the realizations that can stand on it."""

StackModel = type[LocalStack] | type[KubernetesStack] | type[AwsStack]

STACKS: Mapping[str, StackModel] = {
    "local": with_blocks(LocalStack),
    "kubernetes": with_blocks(KubernetesStack),
    "aws": with_blocks(AwsStack),
}
"""The model of a stack file by its substrate's kind."""


class StackFileError(Exception):
    """The stack file cannot be used; one line for each mistake, without a traceback."""


def parse(config: Mapping[str, str], stack: str) -> StackSettings:
    """Validate the configuration of a stack (key -> JSON or plain text); raises StackFileError."""
    ours = {key.removeprefix(f"{PROJECT}:"): text for key, text in config.items() if _is_ours(key)}
    values = {key: text if key == LOGIN_CLIENT_SECRET else _value(text) for key, text in ours.items()}
    values, notices = translated(values)
    for notice in notices:
        sys.stderr.write(f"Pulumi.{stack}.yaml: {notice}\n")
    model = _model(values.get("substrate"), stack)
    try:
        return model.model_validate(values)
    except ValidationError as error:
        lines = [_line(dict(each), model) for each in error.errors(include_url=False)]
        raise StackFileError("\n".join(f"Pulumi.{stack}.yaml: {line}" for line in lines)) from None


def read(stack: str) -> StackSettings:
    """Settings of a stack by its file in the checkout, secrets made up, for commands beside the engine.

    Raises: StackFileError for a file that is missing or wrong.
    """
    file = paths.CHECKOUT / f"Pulumi.{stack}.yaml"
    if not file.exists():
        raise StackFileError(f"there is no stack {stack!r}: {file.name} is missing")
    if reason := neighbours.shared(stack):
        raise StackFileError(reason)
    config = with_made_up_secrets(yaml.safe_load(file.read_text(encoding="utf-8"))["config"])
    return parse({key: text if isinstance(text, str) else json.dumps(text) for key, text in config.items()}, stack)


def read_on_aws(stack: str) -> AwsStack | None:
    """Settings of a stack on AWS, as `read` gives them; None for a stack elsewhere. Raises StackFileError."""
    return read(stack).on_aws


def with_made_up_secrets(config: Mapping[str, Any]) -> dict[str, Any]:
    """A stack file's configuration with every secret that it needs, made up where nobody could read it."""
    login = config.get(f"{PROJECT}:exposure", {}).get("login", {})
    needed = {f"{PROJECT}:{LOGIN_CLIENT_SECRET}": "made-up"} if login.get("kind") == "oidc" else {}
    receivers = config.get(f"{PROJECT}:monitoring", {}).get("receivers", ())
    alerts = {f"{PROJECT}:{ALERT_SECRETS}": {each["name"]: "made-up" for each in receivers}} if receivers else {}
    return {**needed, **config, **alerts}


def _model(substrate: Any, stack: str) -> StackModel:
    kind = substrate.get("kind") if isinstance(substrate, dict) else None
    if not isinstance(kind, str) or kind not in STACKS:
        said = f"is {substrate!r}" if substrate is not None else "is missing"
        kinds = " | ".join(STACKS)
        raise StackFileError(
            f"Pulumi.{stack}.yaml: {PROJECT}:substrate {said}: give `kind: {kinds}`, as in Pulumi.local.yaml"
        )
    return STACKS[kind]


def load(environ: Mapping[str, str] = os.environ) -> StackSettings:
    """Settings of the stack that the engine runs.

    `DATA` overrides `data` of the workload that `WORKLOAD` names, else of the default one; `DRILL` shortens its times.
    """
    stack = pulumi.get_stack()
    _refuse_other_stacks_file(environ, stack)
    if reason := neighbours.shared(stack):
        raise StackFileError(reason)
    settings = parse(_stack_config(), stack)
    named = workload_named(settings, environ)
    blocks = settings.blocks
    if environ.get("DRILL"):
        blocks[named] = drill_profile(blocks[named])
    for name, data in data_paths.given(stack, settings.default, environ).items():
        if name in blocks:  # what was given to a workload that the stack no longer lists is for later
            blocks[name] = blocks[name].model_copy(update={"data": data})
    return settings.model_copy(
        update={
            name: block if block.data is None else block.model_copy(update={"data": _found(block.data, name, settings)})
            for name, block in blocks.items()
        }
    )


def _found(data: str, workload: str, settings: StackSettings) -> str:
    """The address or absolute path of a workload's raw data; raises StackFileError where the stack cannot read it."""
    if data.startswith(STORED):
        return data
    command = f"make up STACK={pulumi.get_stack()}{'' if workload == settings.default else f' WORKLOAD={workload}'}"
    if not settings.reads_files_of_this_machine:
        raise StackFileError(
            f"DATA is {data}, {NO_FILE_FOR_PODS} run `{command} DATA=s3://bucket/key`, or `{command} DATA=generated` "
            "for generated rows"
        )
    path = Path(data).expanduser().resolve()
    if not path.is_file():
        raise StackFileError(
            f"DATA: there is no file {path}; give the path of the CSV, or `{command} DATA=generated` for generated rows"
        )
    return str(path)


def workload_named(settings: StackSettings, environ: Mapping[str, str] = os.environ) -> str:
    """The workload that `WORKLOAD` names, or the stack's default; raises StackFileError for one it does not list."""
    name = (environ.get("WORKLOAD") or settings.default).replace("-", "_")
    if name not in settings.workloads:
        raise StackFileError(
            f"WORKLOAD is {name!r}, which is none of the stack's workloads ({', '.join(settings.workloads)}): "
            f"name one of them, or add it to {PROJECT}:workloads"
        )
    return name


def search_path(environ: Mapping[str, str] = os.environ) -> str:
    """PATH of the stack's processes: the same for every shell that has the same tools."""
    folders = [str(paths.environment_dir("workloads", environ) / "bin"), str(paths.tools_dir(environ) / "bin")]
    for names in TOOLS:
        searched = os.pathsep.join([*folders, environ.get("PATH", ""), SYSTEM_PATH])
        found = next(filter(None, (shutil.which(name, path=searched) for name in names)), None)
        if found is None:
            raise StackFileError(f"{names[0]} is not installed: run `make up`, which installs it or says how to")
        folders.append(str(Path(found).parent))
    return os.pathsep.join(dict.fromkeys([*folders, *SYSTEM_PATH.split(os.pathsep)]))


def python_environment(name: str, environ: Mapping[str, str] = os.environ) -> PythonEnvironment:
    """The installed environment of a kind; raises StackFileError without its lock, or where it is not installed."""
    folder, lock = paths.environment_dir(name, environ), paths.CHECKOUT / "requirements" / f"{name}.txt"
    if not lock.is_file():
        raise StackFileError(
            f"requirements/{lock.name}, the lock of the Python environment {name}, is missing: restore it with "
            f"`git checkout requirements/{lock.name}`"
        )
    if not (folder / "bin" / "python").exists() or paths.unfinished_mark(name, environ).exists():
        raise StackFileError(
            f"the Python environment {name} is not installed, or only in part: `python3 -m tools.install {name}` "
            "installs it, and so does `make up`"
        )
    return PythonEnvironment(folder=folder, lock_sha256=hashlib.sha256(lock.read_bytes()).hexdigest())


def images_file(stack: str, environ: Mapping[str, str] = os.environ) -> Path:
    """The file that names a stack's images by target."""
    return Path(environ.get(IMAGES_VARIABLE) or images.file_of(stack))


def stack_dir(stack: str, environ: Mapping[str, str] = os.environ) -> Path:
    """The folder that a local stack keeps its data, logs and sockets in."""
    return paths.state_dir(environ) / stack


def _stack_config() -> dict[str, str]:
    config: dict[str, str] = pulumi.runtime.config.CONFIG.get() or pulumi.runtime.config.get_config_env()
    return config


def _is_ours(key: str) -> bool:
    return key.startswith(f"{PROJECT}:")


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _line(error: dict[str, Any], stack: StackModel) -> str:
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"{PROJECT}:{key}: unknown key, remove it or correct its spelling{_known(error['loc'], stack)}"
    if error["type"] == "missing":
        return f"{PROJECT}:{key} is missing: add it, as docs/reference.md describes it"
    if error["type"] == "union_tag_invalid":
        context = error["ctx"]
        return (
            f"{PROJECT}:{key}.kind is {context['tag']!r}, which does not stand on this substrate: give one of "
            f"{context['expected_tags']}"
        )
    if error["type"] == "value_error":
        return f"{PROJECT}:{key}: {error['ctx']['error']}" if key else str(error["ctx"]["error"])
    return f"{PROJECT}:{key} is {error['input']!r}: {error['msg']}"


def _known(location: tuple[int | str, ...], stack: StackModel) -> str:
    model: Any = stack
    for part in location[:-1]:
        annotation = model.model_fields[str(part)].annotation if hasattr(model, "model_fields") else None
        model = annotation
    return f" (known: {', '.join(model.model_fields)})" if hasattr(model, "model_fields") else ""


def _refuse_other_stacks_file(environ: Mapping[str, str], stack: str) -> None:
    file = environ.get("PULUMI_OPTION_CONFIG_FILE")
    if file and Path(file).name != f"Pulumi.{stack}.yaml":
        raise StackFileError(
            f"this shell is set up for {Path(file).name}, not for the stack {stack!r}: "
            f'run `eval "$(make -s env STACK={stack})"` first'
        )
