"""`pulumi-language-python [flags] ENGINE`: serves that engine until it is told to stop or its parent is gone."""

import argparse
import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc

from tools.language_host import protos
from tools.language_host.server import Children, LanguageHost

WORKERS = 64
"""Calls served at once: a program or a policy pack occupies one for as long as it runs."""

PARENT_SECONDS = 1.0
"""How often the host looks whether the CLI that started it is still there."""


def main() -> None:
    """Serve; the first line on standard output is the port, as the engine expects."""
    parser = argparse.ArgumentParser(prog="pulumi-language-python")
    parser.add_argument("engine", nargs="?", default="", help="address of the engine")
    known, _flags_for_logging = parser.parse_known_args()

    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    parent = os.getppid()

    children = Children()
    server = grpc.server(ThreadPoolExecutor(WORKERS), options=[("grpc.max_receive_message_length", -1)])
    protos.language_grpc.add_LanguageRuntimeServicer_to_server(LanguageHost(known.engine, children), server)
    sys.stdout.write(f"{server.add_insecure_port('127.0.0.1:0')}\n")
    sys.stdout.flush()
    server.start()
    while not stopped.wait(PARENT_SECONDS) and os.getppid() == parent:
        pass
    children.stop_all()
    server.stop(grace=None).wait()


if __name__ == "__main__":
    main()
