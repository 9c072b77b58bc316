"""`python -m stacks.commands.forward`: opens the loopback ports that a stack's outputs name, until it is interrupted.

Reads the stack's outputs as JSON from standard input (`pulumi stack output --json --show-secrets`). A connection that
breaks, because a pod was replaced, is opened again; a server that is absent is tried less and less often. With
`--outputs` it opens none and prints the outputs as programs use them that go through those ports: a login before a
gateway is for people.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from infra.exposure.spec import Address, rebased
from infra.host.substrate import LOOPBACK
from stacks.outputs import SECRETS_OF_A_WORKLOAD, ending_of, named

PAUSE_SECONDS = 1.0
"""Between two looks at the connections, and before one that has worked is opened again."""

LONGEST_PAUSE_SECONDS = 60.0
"""Before the next attempt at a server that is absent; each failed attempt doubles the pause up to it."""

STEADY_SECONDS = 10.0
"""A connection that lasted as long has worked: `kubectl` gives up sooner where the Service is absent."""


class ForwardError(Exception):
    """Nothing can be forwarded; one line that says why."""


def commands(outputs: Mapping[str, Any], kubeconfig: Path) -> dict[str, list[str]]:
    """The command that opens each server's port; raises ForwardError when the outputs name none."""
    if "forwards" not in outputs or "kubeconfig" not in outputs:
        raise ForwardError("this stack names no ports to forward: its servers are reached as `make outputs` says")
    return {
        name: [
            *("kubectl", "--kubeconfig", str(kubeconfig), "--namespace", address.namespace),
            *("port-forward", "--address", LOOPBACK, f"service/{address.service}"),
            f"{outputs['forwards'][name]['local_port']}:{address.port}",
        ]
        for name, address in _addresses(outputs).items()
    }


def led(outputs: Mapping[str, Any]) -> dict[str, Any]:
    """The outputs, with each server's URL that a loopback port stands in for led to that port."""
    default = next((name for name, each in outputs.get("workloads", {}).items() if each == outputs["workload"]), "")
    endpoints = {
        name: _led(found, outputs, ending_of(name, default)) for name, found in outputs.get("endpoints", {}).items()
    }
    return {**_led(outputs, outputs), **({"endpoints": endpoints} if endpoints else {})}


def _led(urls: Mapping[str, Any], outputs: Mapping[str, Any], ending: str = "") -> dict[str, Any]:
    """Some of the outputs; `ending`: of a workload's servers."""
    ports = {name: outputs["forwards"][name]["local_port"] for name in _addresses(outputs)}
    servers = named(ending)
    changed = {
        output: rebased(urls[output], f"http://{LOOPBACK}:{ports[server.name]}")
        for output, server in servers.items()
        if output in urls and server.http and server.name in ports
    }
    return {**urls, **changed}


def of_workload(outputs: Mapping[str, Any], workload: str) -> dict[str, Any]:
    """The outputs with one workload's addresses and token in place of the default one's; raises ForwardError."""
    if not workload:
        return dict(outputs)
    name = workload.replace("_", "-")
    endpoints = outputs.get("endpoints", {})
    if name not in endpoints:
        known = ", ".join(sorted(endpoints)) or "none"
        raise ForwardError(f"the stack has no workload {name!r} (it has {known}): correct WORKLOAD")
    secrets = {output: outputs.get(plural, {}).get(name) for output, plural in SECRETS_OF_A_WORKLOAD.items()}
    return {**outputs, **endpoints[name], "workload": outputs["workloads"][name], **secrets}


def _addresses(outputs: Mapping[str, Any]) -> dict[str, Address]:
    """The Services that are forwarded to; a managed store is none, and is reached from inside of its network only."""
    found = {}
    for name, each in outputs.get("forwards", {}).items():
        with contextlib.suppress(ValueError):
            found[name] = Address.of(each["url"])
    return found


def run(outputs: Mapping[str, Any], folder: Path) -> None:
    """Keep every port open until a signal ends this process; raises ForwardError."""
    kubeconfig = folder / "kubeconfig"
    chosen = commands(outputs, kubeconfig)
    kubeconfig.touch(mode=0o600)
    kubeconfig.write_text(outputs["kubeconfig"])
    connections = [
        Connection(name=name, port=outputs["forwards"][name]["local_port"], command=command)
        for name, command in chosen.items()
    ]
    try:
        while True:
            for connection in connections:
                if line := connection.look(time.monotonic()):
                    sys.stdout.write(f"{line}\n")
                    sys.stdout.flush()
            time.sleep(PAUSE_SECONDS)
    finally:
        for connection in connections:
            connection.close()


@dataclass(kw_only=True)
class Connection:
    """The loopback port of one server, and the `kubectl` that forwards it."""

    name: str
    port: int
    command: Sequence[str]
    process: subprocess.Popen[bytes] | None = None
    opened: float = 0.0
    """When the process was started; any clock, in seconds, that `look` is called with."""

    pause: float = 0.0
    """Seconds that the next attempt was put off after the last failure."""

    next_attempt: float = 0.0

    def look(self, now: float) -> str | None:
        """Open the connection where it is due; one line where something changed. Raises ForwardError."""
        if self.process is None:
            return self._open(now) if now >= self.next_attempt else None
        if self.process.poll() is None:
            return None
        self.process = None
        worked = now - self.opened >= STEADY_SECONDS
        self.pause = PAUSE_SECONDS if worked else min(max(2 * self.pause, PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)
        self.next_attempt = now + self.pause
        return f"{self.name}: no connection, next attempt in {self.pause:.0f} s"

    def _open(self, now: float) -> str:
        try:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        except FileNotFoundError as error:
            raise ForwardError("there is no `kubectl`: install it (https://kubernetes.io/docs/tasks/tools)") from error
        self.opened = now
        return f"{self.name}: {LOOPBACK}:{self.port}"

    def close(self) -> None:
        """End the process, if one runs."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait()


def _end(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main(arguments: Sequence[str] | None = None) -> int:
    """Forward until interrupted, or print what programs are told."""
    parser = argparse.ArgumentParser(prog="python -m stacks.commands.forward", description=__doc__)
    parser.add_argument(
        "--outputs", action="store_true", help="print the outputs as programs use them, forward nothing"
    )
    parser.add_argument("--workload", default="", help="whose addresses they are (default: the default workload's)")
    chosen = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _end)
    given = sys.stdin.read()
    if not given:
        return 1  # the command that should have given the outputs said why it did not
    if chosen.outputs:
        try:
            sys.stdout.write(json.dumps(of_workload(led(json.loads(given)), chosen.workload)))
        except ForwardError as error:
            sys.stderr.write(f"{error}\n")
            return 1
        return 0
    os.umask(0o077)
    with tempfile.TemporaryDirectory(prefix="mlp-forward-") as folder:
        try:
            run(json.loads(given), Path(folder))
        except ForwardError as error:
            sys.stderr.write(f"{error}\n")
            return 1
        except KeyboardInterrupt:
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
