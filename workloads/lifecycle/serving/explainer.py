"""Explains predictions in a process of its own, so that TreeSHAP never holds the process that answers.

The model server starts it with the first request that wants an explanation, gives it one request at a time by pipes,
and ends one that takes too long. The process yields the CPU to the server (`nice`). Boosters come from the verified
bundle, by the pipe; nothing is read from a disk.
"""

import asyncio
import contextlib
import json
import os
import struct
import sys
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np

from workloads.lifecycle.base import metrics
from workloads.lifecycle.base.errors import RequestError, run_command
from workloads.lifecycle.base.settings import ServingSettings

if TYPE_CHECKING:
    import numpy.typing as npt

BASELINE = "baseline"
"""Name of the last contribution: what the model answers on average over its training."""

_SIZES = struct.Struct("!II")
"""Before each message: bytes of its JSON header, and of what follows."""

_NICE = 10
_KEPT = 2
"""Boosters that the process keeps loaded: the champion's and a challenger's."""


class Explained(NamedTuple):
    """A booster of a verified bundle."""

    checksum: str

    content: bytes


class Explainer:
    """The server's side: one process, one request at a time, a short queue, a limit on every wait."""

    def __init__(self, settings: ServingSettings) -> None:
        self._seconds = settings.explain_seconds
        self._most_waiting = settings.max_waiting_explanations
        self._process: asyncio.subprocess.Process | None = None
        self._sent: list[str] = []
        self._waiting = 0
        self._turn = asyncio.Lock()

    async def explain(self, booster: Explained, rows: "npt.NDArray[np.float32]") -> "npt.NDArray[np.float64]":
        """Contributions [rows, features + 1], the baseline last; raises RequestError (503) when it is away or full."""
        if self._waiting >= self._most_waiting:
            raise _away(f"{self._waiting} explanations wait (serving.max_waiting_explanations)")
        self._waiting += 1
        try:
            async with asyncio.timeout(self._seconds), self._turn:
                return await self._ask(booster, rows)
        except TimeoutError:
            raise _away(f"the explainer took more than {self._seconds:g} s (serving.explain_seconds)") from None
        except (OSError, EOFError, asyncio.IncompleteReadError):
            raise _away("the explainer ended; it starts again with the next request") from None
        finally:
            self._waiting -= 1

    async def _ask(self, booster: Explained, rows: "npt.NDArray[np.float32]") -> "npt.NDArray[np.float64]":
        is_done = False
        try:
            process = await self._running()
            sent = booster.content if booster.checksum not in self._sent else b""
            header = {"booster": booster.checksum, "size": len(sent), "shape": rows.shape}
            _write(process.stdin, header, sent + np.ascontiguousarray(rows, dtype=np.float32).tobytes())
            self._sent = [*(each for each in self._sent if each != booster.checksum), booster.checksum][-_KEPT:]
            answer, content = await _read(process.stdout)
            is_done = True
        finally:
            if not is_done:  # what comes next on its pipes would be the answer to this request
                self.stop()
        if "error" in answer:
            raise _away(f"the explainer failed: {answer['error']}")
        return np.frombuffer(content, dtype=np.float32).reshape(answer["shape"]).astype(np.float64)

    async def _running(self) -> "asyncio.subprocess.Process":
        if self._process is None or self._process.returncode is not None:
            self._sent = []
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "workloads.lifecycle.serving.explainer"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
        return self._process

    def stop(self) -> None:
        """End the process; the next request starts another one."""
        process, self._process, self._sent = self._process, None, []
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()


def _away(why: str) -> RequestError:
    return RequestError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        metrics.NOT_EXPLAINED,
        f"{why}; ask again, or without explanation: predictions are answered",
        retry_after_seconds=1,
    )


def _write(stream: Any, header: dict[str, Any], content: bytes) -> None:
    text = json.dumps(header).encode()
    stream.write(_SIZES.pack(len(text), len(content)) + text + content)


async def _read(stream: Any) -> tuple[dict[str, Any], bytes]:
    text, content = _SIZES.unpack(await stream.readexactly(_SIZES.size))
    return json.loads(await stream.readexactly(text)), await stream.readexactly(content)


def work(requests: BinaryIO, answers: BinaryIO) -> None:
    """The process's side: answer until the server closes the pipe."""
    from workloads.lifecycle.training import explanations  # noqa: PLC0415  after the priority was lowered

    loaded: dict[str, Any] = {}
    while sizes := requests.read(_SIZES.size):
        text, size = _SIZES.unpack(sizes)
        header, content = json.loads(requests.read(text)), requests.read(size)
        checksum, sent = header["booster"], header["size"]
        try:
            made = loaded.pop(checksum) if checksum in loaded else explanations.load(content[:sent])
            loaded[checksum] = made
            while len(loaded) > _KEPT:
                del loaded[next(iter(loaded))]
            rows = np.frombuffer(content[sent:], dtype=np.float32).reshape(header["shape"])
            found = explanations.explain(made, rows)
            _write(answers, {"shape": found.shape}, found.astype(np.float32).tobytes())
        except Exception as error:  # noqa: BLE001  XGBoost's errors have no common base; the client gets one line
            _write(answers, {"error": str(error).splitlines()[0][:200]}, b"")
        answers.flush()


def main() -> None:
    """Answer the model server's requests from standard input."""
    os.nice(_NICE)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints must not be an answer
    work(sys.stdin.buffer, answers)


if __name__ == "__main__":
    run_command(main)
