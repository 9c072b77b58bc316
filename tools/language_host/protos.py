"""The SDK's gRPC definitions without the SDK.

`import pulumi` costs 0.5 s at every start of the host, gRPC and the generated modules alone 0.2 s. The modules import
one another relatively, so they load under any package name.
"""

import importlib
import importlib.util
import sys
import types
from pathlib import Path
from typing import Any


def _package() -> str:
    spec = importlib.util.find_spec("pulumi")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"the Pulumi SDK is not installed in {sys.prefix}")
    package = types.ModuleType("mlplatform_pulumi_protos")
    package.__path__ = [str(Path(spec.origin).parent / "runtime" / "proto")]
    sys.modules[package.__name__] = package
    return package.__name__


_name = _package()
language: Any = importlib.import_module(f"{_name}.language_pb2")
"""Messages of `pulumirpc.LanguageRuntime`."""
language_grpc: Any = importlib.import_module(f"{_name}.language_pb2_grpc")
"""Servicer base and registration of `pulumirpc.LanguageRuntime`."""
plugin: Any = importlib.import_module(f"{_name}.plugin_pb2")
"""Messages about plugins, `PluginInfo` among them."""
