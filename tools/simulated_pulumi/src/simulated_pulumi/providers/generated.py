"""Simulated providers made from any SDK's classes, or from a package schema: no code for each provider.

Read are the inputs, with their types, which are required and which replace, and the names and types of outputs.
Made up are the values of outputs: plausible by type and name, and always the same for the same resource.
"""

from __future__ import annotations

import collections.abc
import enum
import hashlib
import importlib
import importlib.util
import json
import re
import typing
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pulumi import _types

from simulated_pulumi.providers import schema
from simulated_pulumi.providers.base import Planned, RefusedError, SimulatedProvider
from simulated_pulumi.providers.schema_file import SchemaFile

if TYPE_CHECKING:
    from collections.abc import Mapping

_DEPTH: Final = 4
"""How deep objects in outputs are filled; types may contain themselves."""

_BY_NAME: Final = (
    (re.compile(r"(?i)cidr"), "10.0.0.0/16"),
    (re.compile(r"(?i)(^|[a-z])ip(v4)?(address)?$"), "192.0.2.1"),
    (re.compile(r"(?i)email"), "name@example.com"),
    (re.compile(r"(?i)(url|uri|endpoint|selflink)$"), "https://{text}.example"),
    (re.compile(r"(?i)(fqdn|domain|host|hostname|dnsname)$"), "{text}.example"),
    (re.compile(r"(?i)(json|policydata|kubeconfigraw)$"), "{{}}"),
    (re.compile(r"(?i)certificate|base64|kubeconfig$|^value$"), "c2ltdWxhdGVk"),  # decodes to `simulated`
    (re.compile(r"(?i)zones?$"), "{text}a"),
)


class Generated(SimulatedProvider):
    """A provider whose types come from its SDK or schema; `generated(…)` makes one."""

    schema_file: typing.ClassVar[SchemaFile | None] = None

    @property
    def version(self) -> str:
        """The SDK's version, or the schema's."""
        return super().version if self.schema_file is None else self.schema_file.version

    def shape(self, token: str) -> schema.Shape | None:
        """Give the inputs and outputs of a type.

        Raises: schema.UnknownTypeError.
        """
        return super().shape(token) if self.schema_file is None else self.schema_file.shape(token)

    def compute(self, planned: Planned) -> dict[str, Any]:
        """Make up the outputs that the inputs do not give."""
        try:
            shape = self.shape(planned.type)
        except schema.UnknownTypeError:
            return {}
        outputs = {} if shape is None else shape.outputs
        wanted = {name: hint for name, hint in outputs.items() if planned.inputs.get(name) is None}
        return {name: plausible(hint, name, planned.digest(8, name)) for name, hint in wanted.items()}

    def call(self, token: str, args: dict[str, Any]) -> dict[str, Any]:
        """Answer a function: as `answers` says, or made up by the types that it returns.

        Raises: RefusedError for a function that neither the SDK nor the schema has.
        """
        if token in self.answers:
            return super().call(token, args)
        outputs = self._function_outputs(token)
        if outputs is None:
            raise RefusedError(f"{self.sdk or self.package} has no function {token}; pass answers={{{token!r}: {{…}}}}")
        digest = hashlib.sha256(f"{token} {json.dumps(args, sort_keys=True, default=repr)}".encode()).hexdigest()
        made = {name: plausible(hint, name, digest[:8]) for name, hint in outputs.items()}
        return made | {name: value for name, value in args.items() if name in made and value is not None}

    def _function_outputs(self, token: str) -> dict[str, Any] | None:
        if self.schema_file is not None:
            return self.schema_file.function_outputs(token)
        found = _result_class(str(self.sdk), token)
        return None if found is None else schema.output_fields(found)


def generated(sdk: str | None = None, *, schema: Path | str | Mapping[str, Any] | None = None) -> Generated:
    """Make a simulated provider from an SDK (`generated("pulumi_gcp")`) or a schema (`generated(schema=path)`).

    Raises: TypeError unless exactly one of them is given; ImportError if the SDK is not installed.
    """
    if (sdk is None) == (schema is None):
        raise TypeError("generated() takes either the name of an SDK's Python package or schema=")
    if schema is not None:
        file = SchemaFile(schema)
        return _made(package=file.package, schema_file=file)
    return _made(package=package_of(str(sdk)), sdk=sdk)


def _made(**attributes: Any) -> Generated:
    """Make a class with these attributes, which are those of a class, and one provider of it."""
    provider: Generated = type("GeneratedProvider", (Generated,), attributes)()
    return provider


def package_of(sdk: str) -> str:
    """Give a package's name, which its SDK carries in `pulumi-plugin.json`.

    Raises: ImportError if the SDK is not installed.
    """
    found = importlib.util.find_spec(sdk)  # does not import it: some SDKs take seconds
    if found is None:
        raise ImportError(f"the SDK {sdk} is not installed: run `pip install {sdk.replace('_', '-')}`")
    files = [Path(folder, "pulumi-plugin.json") for folder in found.submodule_search_locations or ()]
    named = next((json.loads(file.read_text(encoding="utf-8")).get("name") for file in files if file.is_file()), None)
    return str(named or sdk.removeprefix("pulumi_").replace("_", "-"))


def plausible(hint: Any, name: str, digest: str, depth: int = 0) -> Any:
    """Make up a value of a type: the same for the same digest, and in the form that its name suggests."""
    options = schema.value_types(hint)
    if not options or depth > _DEPTH:
        return None if depth > _DEPTH else _text(name, digest)
    hint = options[0]
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (list, collections.abc.Sequence):
        items = (plausible(parts[0] if parts else str, name, f"{digest}{letter}", depth + 1) for letter in "abc")
        return [item for item in items if item is not None]
    if origin is not None:
        return {} if origin is not typing.Literal else parts[0]
    fields = schema.object_fields(hint)
    if fields is not None:
        return {key: plausible(each, key, digest, depth + 1) for key, each in fields.items()}
    return _scalar(hint, name, digest)


def _scalar(hint: Any, name: str, digest: str) -> Any:
    scalars: dict[Any, Any] = {bool: False, int: 443 if name.lower().endswith("port") else 1, float: 1.0, dict: {}}
    if hint in scalars:
        return scalars[hint]
    members = list(hint) if isinstance(hint, type) and issubclass(hint, enum.Enum) else []
    return members[0].value if members else _text(name, digest)


def _text(name: str, digest: str) -> str:
    text = f"{name.lower()}-{digest}"
    return next((form.format(text=text) for pattern, form in _BY_NAME if pattern.search(name)), text)


def _result_class(sdk: str, token: str) -> type | None:
    """Find the class of what a function returns, by the names that all generated SDKs use."""
    _, module, function = token.split(":", 2)
    home = module.split("/", 1)[0]
    wanted = f"{function[:1].upper()}{function[1:]}Result"
    places = [sdk, f"{sdk}.{home.replace('-', '_')}", f"{sdk}.{home.replace('-', '_').lower()}"]
    for place in dict.fromkeys(places):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            try:
                found = getattr(importlib.import_module(place), wanted, None)
            except ImportError:
                continue
        if isinstance(found, type) and _types.is_output_type(found):
            return found
    return None
