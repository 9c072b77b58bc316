"""`docs/reference.md`: stack file, outputs, metrics and alerts, from their definitions.

`python -m stacks.commands.schema` writes it.
"""

import ast
import inspect
import itertools
import json
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from infra.base.paths import CHECKOUT
from stacks.outputs import SERVERS
from stacks.settings import PROJECT, STACKS
from stacks.workload_settings import FIRST, INSTALLED, REGISTERED
from workloads.lifecycle import discovery
from workloads.lifecycle.base import metrics
from workloads.lifecycle.base.settings import AlertSettings, FairnessSettings
from workloads.lifecycle.monitoring import alerts

FILE = CHECKOUT / "docs" / "reference.md"
HEAD = """\
# Reference

<!-- Made by `python -m stacks.commands.schema` from the definitions themselves: do not edit. -->

What a stack file can say, role by role; the names of outputs, metrics and alerts. Editors complete stack files from
`stacks/schema.json`.

A heading is a block of the file, and a dotted key is a key of a block within it. `kind`, `maxmemory_mib` and
`volume.size_gib` of `mlplatform:online_store`, with `release.mode` of a workload's block, are written so:

```yaml
"""
SHOWN = discovery.find(REGISTERED[FIRST])
"""The workload whose keys and alerts are shown: those of others differ in its name alone."""
EXAMPLE = f"""\
config:
  mlplatform:online_store:
    kind: redis-on-kubernetes
    maxmemory_mib: 1024
    volume:
      size_gib: 5
  mlplatform:{SHOWN.module_name}:
    release:
      mode: canary
"""
"""Part of a stack file on a cluster."""
BOUNDS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


def text() -> str:
    """The whole document."""
    return "\n".join([f"{HEAD}{EXAMPLE}```\n", *_stack_files(), *_outputs(), *_metrics(), *_alerts()]).rstrip() + "\n"


def _stack_files() -> Iterator[str]:
    """Each block of a stack file once: its kinds, and on which substrates they can be chosen."""
    yield "## Stack file"
    blocks: dict[str, dict[type[BaseModel], list[str]]] = {}
    for substrate, stack in STACKS.items():
        for key, field in stack.model_fields.items():
            for model in _models(field.annotation) if key not in INSTALLED else ():
                blocks.setdefault(key, {}).setdefault(model, []).append(substrate)
    for key, models in blocks.items():
        yield f"\n### `{PROJECT}:{key}`"
        for model, substrates in models.items():
            kind = _kind(model)
            yield f"\n{f'**`kind: {kind}`** ' if kind else ''}({', '.join(substrates)}): {_sentence(model.__doc__)}\n"
            yield from _table(model)


def _table(model: type[BaseModel]) -> Iterator[str]:
    rows = list(_rows(model, ""))
    if rows:
        yield from ("| key | type | default | what it says |", "|---|---|---|---|", *rows)


def _rows(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for key, field in model.model_fields.items():
        if key == "kind":
            continue
        nested = [each for each in _models(field.annotation) if each is not model]
        if len(nested) == 1 and isinstance(field.annotation, type):
            yield from _rows(nested[0], f"{prefix}{key}.")
            continue
        yield f"| `{prefix}{key}` | {_type(field)} | {_default(field)} | {_cell(field.description or '')} |"
        for each in nested:
            yield from _rows(each, f"{prefix}{key}.")


def _models(annotation: Any) -> list[type[BaseModel]]:
    """Every settings model in an annotation, in order."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) is Annotated:
        return _models(get_args(annotation)[0])
    if get_origin(annotation) in {Union, types.UnionType, tuple, list}:
        return [model for each in get_args(annotation) for model in _models(each)]
    return []


def _kind(model: type[BaseModel]) -> str:
    field = model.model_fields.get("kind")
    return str(get_args(field.annotation)[0]) if field is not None and get_args(field.annotation) else ""


def _type(field: FieldInfo) -> str:
    bounds = [
        f"{sign} {getattr(rule, name)}"
        for rule in field.metadata
        for name, sign in BOUNDS.items()
        if getattr(rule, name, None) is not None
    ]
    return " ".join([_name(field.annotation), ", ".join(bounds)]).strip()


def _name(annotation: Any) -> str:
    """A type in words a stack file's author knows."""
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _name(inside[0])
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in inside)
    if origin in {Union, types.UnionType}:
        return " or ".join("none" if each is types.NoneType else _name(each) for each in inside)
    return _plain_name(annotation) if origin is None else _container(origin, inside)


def _container(origin: Any, inside: tuple[Any, ...]) -> str:
    if issubclass(origin, Mapping):
        return f"map of {_name(inside[0])} to {_name(inside[1])}"
    return f"list of {_name(inside[0])}"


def _plain_name(annotation: Any) -> str:
    if _models(annotation):
        return f"`{_kind(annotation)}`" if _kind(annotation) else "block"
    words = {str: "text", int: "whole number", float: "number", bool: "true or false"}
    return words.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "needed"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return f"`{_kind(type(value))}`" if _kind(type(value)) else "see below"
    plain = sorted(value) if isinstance(value, set | frozenset) else value
    return "none" if plain is None else f"`{json.dumps(plain, default=str)}`"


def _outputs() -> Iterator[str]:
    yield "\n## Outputs\n"
    yield "The same names in every stack; what a stack has no server for is absent.\n"
    yield "| output | server |"
    yield "|---|---|"
    yield from (f"| `{name}` | {server.name} |" for name, server in sorted(SERVERS.items()))
    yield "| `artifact_store_uri` | artifact store, `s3://...` |"
    yield "| `start_url` | start page |"
    yield "| `retrain_token` | an operator's bearer token of the retraining service; secret |"
    yield "| `outcomes_token` | bearer token that delivers outcomes and does nothing else; secret |"
    yield "| `prediction_probe` | header `x-probe` of a request that only tries the model server; secret |"
    yield "| `prometheus_login`, `alertmanager_login` | `user:password` of servers that ask for one; secret |"
    yield "| `kubeconfig` | of the cluster, where there is one; secret |"


def _metrics() -> Iterator[str]:
    yield "\n## Metrics\n"
    yield "Each series has the label `workload`, beside those named here; its value is the workload's name.\n"
    yield "| metric | what it is |"
    yield "|---|---|"
    said = _docstrings(Path(inspect.getfile(metrics)).read_text())
    for constant, name in vars(metrics).items():
        if (
            constant in said
            and isinstance(name, str)
            and name.startswith((metrics.PREFIX, "evidently_"))
            and name != metrics.PREFIX
        ):
            yield f"| `{name}` | {_cell(said[constant])} |"


def _docstrings(source: str) -> dict[str, str]:
    """The string below each constant of a module."""
    body = ast.parse(source).body
    return {
        statement.targets[0].id: inspect.cleandoc(after.value.value)
        for statement, after in itertools.pairwise(body)
        if isinstance(statement, ast.Assign)
        and isinstance(statement.targets[0], ast.Name)
        and isinstance(after, ast.Expr)
        and isinstance(after.value, ast.Constant)
        and isinstance(after.value.value, str)
    }


def _alerts() -> Iterator[str]:
    yield "\n## Alerts\n"
    yield "| alert | severity | waits | fires when | runbook |"
    yield "|---|---|---|---|---|"
    for group in json.loads(alerts.rules(SHOWN, AlertSettings(), FairnessSettings()))["groups"]:
        for rule in group["rules"]:
            runbook = rule["annotations"]["runbook_url"]
            condition = rule["expr"].replace("|", "\\|")
            yield (
                f"| `{rule['alert']}` | {rule['labels']['severity']} | {rule['for']} | `{condition}` "
                f"| [{Path(runbook).stem}]({runbook.removeprefix('docs/')}) |"
            )


def _sentence(docstring: str | None) -> str:
    return inspect.cleandoc(docstring or "").partition("\n\n")[0].replace("\n", " ")


def _cell(described: str) -> str:
    return inspect.cleandoc(described).replace("\n", " ").replace("|", "\\|")
