"""The program's two phases: parts register what they need as plain data, then one thing is built from all of it."""

from typing import Generic, TypeVar

_Item = TypeVar("_Item")


class LateRegistrationError(RuntimeError):
    """Something was registered after what holds all registrations was built; the text is one line with the fix."""


class Collected(Generic[_Item]):
    """Registrations of the first phase, in the order in which they came."""

    def __init__(self, what: str, built: str) -> None:
        """What is registered and what is built from it, both for the error."""
        self._what, self._built = what, built
        self._items: list[_Item] = []
        self._closed = False

    def add(self, item: _Item) -> None:
        """Register one; raises LateRegistrationError in the second phase."""
        if self._closed:
            raise LateRegistrationError(
                f"{self._what} was registered after {self._built} was built: register it while the program declares "
                "its parts, and not in a callback of an output"
            )
        self._items.append(item)

    def close(self) -> tuple[_Item, ...]:
        """All registrations; begins the second phase, also when it is called again."""
        self._closed = True
        return tuple(self._items)
