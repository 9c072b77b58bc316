"""Rules on AWS resources, by area. They read what the engine hands over and import no SDK."""

from policies.typed import TypedRule


def rules() -> list[TypedRule]:
    """All of them."""
    from policies.aws import compute, identity, network, storage  # noqa: PLC0415  `types` must not import them all

    return [rule for book in (network, compute, storage, identity) for rule in book.BOOK.rules]
