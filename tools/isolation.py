"""What a person's shell must not change about the commands: foreign Python modules, and a proxy before loopback."""

from collections.abc import Mapping

FOREIGN = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP")
"""Variables that put other modules, or another library, before those of the project's environments."""

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy")
"""In lower or upper case, what sends a program's connections through a proxy."""

LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""Never proxied: engine, plugins and the stack's servers talk to each other here.
Source: https://github.com/grpc/grpc/blob/master/doc/environment_variables.md (`no_proxy` of gRPC)"""


def isolated(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables without `FOREIGN`, and with loopback exempted from a proxy."""
    return {name: value for name, value in environ.items() if name not in FOREIGN} | unproxied(environ)


def unproxied(environ: Mapping[str, str]) -> dict[str, str]:
    """What to set so that loopback is reached directly; empty where no proxy is set, or `no_proxy` exempts all."""
    given = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    if given.strip() == "*" or not any(environ.get(name) or environ.get(name.upper()) for name in PROXIES):
        return {}
    hosts = [host.strip() for host in given.split(",") if host.strip()]
    exempted = ",".join([*hosts, *(host for host in LOOPBACK if host not in hosts)])
    return {"no_proxy": exempted, "NO_PROXY": exempted}
