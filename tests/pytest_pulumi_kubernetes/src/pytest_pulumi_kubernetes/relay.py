"""Relay connections, and run a server in a network of its own that has nothing but loopback.

Some controllers listen on all addresses and cannot be told otherwise. In a network namespace whose only interface is
`lo`, all addresses are loopback; unix sockets lead in and out. Standard library only: it is run as a script,

    relay.py FROM=TO [FROM=TO ...] [-- COMMAND ...]

where FROM and TO are `port:N` (of 127.0.0.1) or `path:P` (a unix socket). With a command, the script brings `lo` up,
starts the command once everything listens, and ends with it; in either case it ends when its parent does.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import fcntl
import signal
import socket
import struct
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_PR_SET_PDEATHSIG = 1
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1
_CHUNK = 65536


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _bring_loopback_up() -> None:
    """Set IFF_UP on `lo`: a new network namespace has it down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sh14x", b"lo", 0)
        (flags,) = struct.unpack_from("h", fcntl.ioctl(control, _SIOCGIFFLAGS, request), 16)
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))


async def _open(target: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    kind, _, where = target.partition(":")
    if kind == "path":
        return await asyncio.open_unix_connection(where)
    return await asyncio.open_connection("127.0.0.1", int(where))


async def _listen(source: str, handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> None:
    kind, _, where = source.partition(":")
    if kind == "path":
        await asyncio.start_unix_server(handle, where)
    else:
        await asyncio.start_server(handle, "127.0.0.1", int(where))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


async def _relay(source: str, target: str) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await _open(target)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_pump(reader, back), _pump(there, writer))
        back.close()
        writer.close()

    await _listen(source, handle)


async def _main(pairs: list[str], command: list[str]) -> int:
    for pair in pairs:
        source, _, target = pair.partition("=")
        await _relay(source, target)
    if not command:
        await asyncio.Event().wait()
    process = await asyncio.create_subprocess_exec("setpriv", "--pdeathsig", "KILL", "--", *command)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, process.terminate)
    return await process.wait()


if __name__ == "__main__":
    _die_with_parent()
    words = sys.argv[1:]
    cut = words.index("--") if "--" in words else len(words)
    program = words[cut + 1 :]
    if program:
        _bring_loopback_up()
    sys.exit(asyncio.run(_main(words[:cut], program)))
