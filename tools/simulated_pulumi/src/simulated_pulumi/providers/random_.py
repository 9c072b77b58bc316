"""A simulated `random` provider: values of the right form, the same in every run of a test."""

from __future__ import annotations

import base64
import random
import string
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from simulated_pulumi.providers.base import Item, Planned, RefusedError, SimulatedProvider

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from google.protobuf.struct_pb2 import Struct

_PETS = ("albatross", "badger", "crane", "dingo", "egret", "ferret", "gecko", "heron")
_SPECIAL = "!@#$%&*()-_=+[]{}<>:?"
"""Source: https://registry.terraform.io/providers/hashicorp/random/latest/docs/resources/password."""


@dataclass
class Random(SimulatedProvider):
    """Stands in for the provider `random`. Every input replaces the resource, as its documentation says."""

    package: ClassVar[str] = "random"
    sdk: ClassVar[str | None] = "pulumi_random"
    immutable: ClassVar[Mapping[str, tuple[str, ...]]] = {"random:*": ("*",)}

    def identify(self, planned: Planned) -> str:
        """Give the value itself where the provider does; passwords have the id `none`."""
        if planned.type.endswith(":RandomPassword"):
            return "none"
        drawn = self._draw(planned)
        return str(drawn.get("result") or drawn.get("b64Url") or drawn.get("hex") or drawn.get("id"))

    def remember(self, item: Item) -> None:
        """Keep a value by its resource: two may have drawn the same, and all passwords have one id."""
        self.items[item.type, item.urn] = item

    def read(self, planned: Planned, inputs: Struct) -> Item | None:
        """Give what the resource drew."""
        del inputs
        return self.items.get((planned.type, planned.urn))

    def lose(self, item: Item) -> None:
        """Delete an object behind Pulumi's back."""
        del self.items[item.type, item.urn]

    def delete(self, planned: Planned) -> None:
        """Forget nothing: another resource may have drawn the same value."""

    def compute(self, planned: Planned) -> dict[str, Any]:
        """Give the drawn values: of the id where that is the value, so that they fit together."""
        drawn = self._draw(planned)
        drawn.pop("id", None)
        return drawn

    def _draw(self, planned: Planned) -> dict[str, Any]:
        given = planned.inputs
        dice = random.Random(f"{planned.urn}{planned.generation}{sorted(given.items())!r}")  # noqa: S311
        kind = planned.type.rsplit(":", 1)[-1]
        if kind not in _DRAWS:
            raise RefusedError(f"the simulated provider random does not know {planned.type}")
        return _DRAWS[kind](given, dice)


def _text(given: dict[str, Any], dice: random.Random) -> str:
    """Draw a string of the wanted length with at least the wanted number of each class."""
    special = given.get("overrideSpecial") or _SPECIAL
    classes = {
        "lower": string.ascii_lowercase,
        "upper": string.ascii_uppercase,
        "numeric": string.digits,
        "special": special,
    }
    allowed = {name: signs for name, signs in classes.items() if given.get(name, True)}
    needed = [dice.choice(signs) for name, signs in allowed.items() for _ in range(given.get(f"min{name.title()}", 0))]
    everything = "".join(allowed.values())
    drawn = needed + [dice.choice(everything) for _ in range(given["length"] - len(needed))]
    dice.shuffle(drawn)
    return "".join(drawn)


def _bytes(raw: bytes, prefix: str) -> dict[str, Any]:
    return {
        "hex": prefix + raw.hex(),
        "dec": prefix + str(int.from_bytes(raw, "big")),
        "b64Std": prefix + base64.b64encode(raw).decode(),
        "b64Url": prefix + base64.urlsafe_b64encode(raw).decode().rstrip("="),
    }


def _pet(given: dict[str, Any], dice: random.Random) -> dict[str, Any]:
    words = [dice.choice(_PETS) for _ in range(given.get("length", 2))]
    parts = [given["prefix"], *words] if given.get("prefix") else words
    return {"id": given.get("separator", "-").join(parts)}


def _shuffle(given: dict[str, Any], dice: random.Random) -> dict[str, Any]:
    items = dice.sample(given["inputs"], len(given["inputs"]))
    return {"results": items[: given.get("resultCount", len(items))], "id": "-"}


def _raw(given: dict[str, Any], dice: random.Random) -> dict[str, Any]:
    raw = dice.randbytes(given["length"])
    return {"hex": raw.hex(), "base64": base64.b64encode(raw).decode()}


_DRAWS: Mapping[str, Callable[[dict[str, Any], random.Random], dict[str, Any]]] = {
    "RandomBytes": _raw,
    "RandomId": lambda given, dice: _bytes(dice.randbytes(given["byteLength"]), given.get("prefix", "")),
    "RandomInteger": lambda given, dice: {"result": dice.randint(given["min"], given["max"])},
    "RandomPassword": lambda given, dice: {"result": _text(given, dice)},
    "RandomPet": _pet,
    "RandomShuffle": _shuffle,
    "RandomString": lambda given, dice: {"result": _text(given, dice)},
    "RandomUuid": lambda _given, dice: {"result": str(uuid.UUID(int=dice.getrandbits(128), version=4))},
}
"""Class to how its outputs are drawn; the key `id` is the id."""
