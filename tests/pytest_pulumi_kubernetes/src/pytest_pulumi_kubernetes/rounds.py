"""Rounds of a thread that reconciles, and the wait for one that has seen everything so far."""

from __future__ import annotations

import threading

SECONDS = 60.0
"""How long a round may take on a busy machine; on an idle one it takes a tenth of a second."""


class Rounds:
    """Counts rounds, so that a test need not guess when a thread has noticed what the test did."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._begun = self._completed = 0

    def begin(self) -> None:
        """Say that a round begins."""
        with self._changed:
            self._begun += 1

    def complete(self) -> None:
        """Say that the round did all of its work."""
        with self._changed:
            self._completed = self._begun
            self._changed.notify_all()

    def settle(self, seconds: float = SECONDS) -> None:
        """Wait until a round is complete that began after this call.

        Raises: TimeoutError.
        """
        with self._changed:
            wanted = self._begun + 1
            if not self._changed.wait_for(lambda: self._completed >= wanted, seconds):
                raise TimeoutError(f"no round was complete within {seconds:g} s: is the API server stopped?")
