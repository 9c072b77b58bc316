"""Runs one Pulumi program to its end, in a process of its own and with the program's interpreter.

Started as a file, so that the program's environment need not contain this project; it imports the standard library and
the program's own Pulumi SDK only. Configuration comes in `PULUMI_CONFIG` and `PULUMI_CONFIG_SECRET_KEYS`, everything
else as arguments. Exits with 0, with the program's own exit code, or with `REPORTED` when the engine already showed
what went wrong.
"""

import argparse
import asyncio
import logging
import os
import runpy
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

REPORTED = 32
"""Exit code of a failure that was reported to the user; the host then adds nothing."""

SHOWS_DEBUG_MESSAGES = "PULUMI_OPTION_DEBUG"
"""Variable that says the same as the CLI's flag `--debug`, which no host is told of."""

INTERRUPTED = 130
"""Exit code after an interrupt, as of a shell."""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("monitor", "engine", "project", "stack", "organization", "root", "directory"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--parallel", type=int, required=True)
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("entry_point")
    parser.add_argument("arguments", nargs="*")
    return parser.parse_args()


def _end_with(parent: int) -> None:
    """Leave as soon as the host is gone: nobody could see this program's work or stop it any more."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _without_machinery(start: TracebackType | None, sdk: Path) -> TracebackType | None:
    """A traceback without its leading frames of this file, runpy, asyncio and the SDK."""
    machinery = (str(Path(__file__).parent), str(Path(asyncio.__file__).parent), str(sdk), "<frozen ")
    frame = start
    while frame is not None and frame.tb_frame.f_code.co_filename.startswith(machinery):
        frame = frame.tb_next
    return frame


class _Engine:
    """The engine without the SDK's debug messages: each is a call that the program waits for, several per resource.

    Nobody sees them unless the CLI shows them; of its flags a host knows those that stand in the environment.
    """

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def Log(self, request: Any) -> None:  # noqa: N802  named by the service
        """Pass a message on, unless it is for debugging."""
        if request.severity:
            self._engine.Log(request)


class _LeftError(Exception):
    """The program called `sys.exit`: as an ordinary exception, so that what it registered before is awaited."""

    def __init__(self, code: object) -> None:
        super().__init__(code)
        self.code = code


def _program(entry_point: str) -> None:
    try:
        runpy.run_path(entry_point, run_name="__main__")
    except SystemExit as exit_:
        raise _LeftError(exit_.code) from None


def _run(arguments: argparse.Namespace) -> int:
    try:
        import pulumi  # noqa: PLC0415
        import pulumi.runtime  # noqa: PLC0415
    except ImportError as error:
        sys.stderr.write(
            f"the Pulumi SDK cannot be imported by {sys.executable}: {error}\n"
            "install it there, or name another environment as runtime.options.virtualenv in Pulumi.yaml\n"
        )
        return REPORTED

    pulumi.runtime.set_all_config(pulumi.runtime.get_config_env(), pulumi.runtime.get_config_secret_keys_env())
    settings = pulumi.runtime.Settings(
        monitor=arguments.monitor,
        engine=arguments.engine,
        project=arguments.project,
        stack=arguments.stack,
        parallel=arguments.parallel,
        dry_run=arguments.dry_run,
        organization=arguments.organization,
        root_directory=arguments.root,
    )
    if os.environ.get(SHOWS_DEBUG_MESSAGES, "false") == "false":
        settings.engine = _Engine(settings.engine)
    pulumi.runtime.configure(settings)
    os.chdir(arguments.directory)
    entry = Path(arguments.entry_point).resolve()
    if entry.is_dir() and not (entry / "__main__.py").is_file():
        pulumi.log.error(f"unable to find the program: there is no __main__.py in {entry}")
        return REPORTED
    sys.argv = [arguments.entry_point, *arguments.arguments]

    # Futures that nobody awaits are how the SDK works when a program fails; asyncio's complaints would bury the reason.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    executor = ThreadPoolExecutor(max_workers=4 * max(arguments.parallel, 1))
    loop.set_default_executor(executor)

    try:
        loop.run_until_complete(pulumi.runtime.run_in_stack(lambda: _program(arguments.entry_point)))
    except pulumi.RunError as error:
        pulumi.log.error(str(error))
        return REPORTED
    except _LeftError as left:
        if not left.code:
            pulumi.log.error("the program called sys.exit(0): what it had not registered by then would be deleted")
            return REPORTED
        sys.exit(left.code)  # type: ignore[arg-type]  # whatever the program gave it
    except Exception as error:  # noqa: BLE001  whatever a program raises is shown to its author
        trace = _without_machinery(error.__traceback__, Path(pulumi.__file__).parent)
        shown = traceback.format_exception(type(error), error, trace)
        pulumi.log.error("Program failed with an unhandled exception:\n" + "".join(shown))
        return REPORTED
    finally:
        executor.shutdown(wait=True)
        loop.close()
    return 0


def main() -> None:
    """Run the program that the arguments name and exit as it did."""
    del sys.path[0]  # the folder of this file, whose modules must not hide the program's
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    try:
        sys.exit(_run(_arguments()))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
