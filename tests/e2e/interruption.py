"""Interrupting `make up` at a moment, in one of the ways that it happens."""

import os
import signal
import subprocess
import time

import psutil

from .stack import LocalStack

END_SECONDS = 90


def interrupt(stack: LocalStack, after_seconds: float, how: str) -> bool:
    """Begin `make up`, interrupt it and wait for its end; False when it had ended before.

    `ctrl-c` is what a terminal sends, `kill -9` ends every process of the command at once (not the stack's own).
    """
    with stack.start_up() as process:
        try:
            process.wait(timeout=after_seconds)
        except subprocess.TimeoutExpired:
            begun = True
        else:
            return False
        if how == "ctrl-c":
            os.killpg(process.pid, signal.SIGINT)
        else:
            for each in _command(process.pid):
                each.kill()
        process.wait(timeout=END_SECONDS)
    wait_for_the_end_of_plugins(stack)
    return begun


def _command(pid: int) -> list[psutil.Process]:
    """make, the CLI, its language host, the program and the provider."""
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def wait_for_the_end_of_plugins(stack: LocalStack) -> None:
    """A plugin whose engine died ends by itself; until then it may still write."""
    deadline = time.monotonic() + END_SECONDS
    while any(_is_plugin_of(stack, each) for each in psutil.process_iter(["cmdline", "environ"])):
        if time.monotonic() > deadline:
            raise AssertionError("a plugin outlived its engine")
        time.sleep(0.1)


def _is_plugin_of(stack: LocalStack, process: psutil.Process) -> bool:
    command = " ".join(process.info["cmdline"] or [])
    environ = process.info["environ"] or {}
    return "infra.host.provider" in command and environ.get("XDG_STATE_HOME") == str(stack.state)
