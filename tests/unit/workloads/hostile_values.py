"""Seeded values that a server should never name, and the places that build a path out of what servers name."""

import itertools
import os
import random
import string
from pathlib import Path


def word(rng):
    return "".join(rng.choices(string.ascii_lowercase, k=rng.randint(1, 8)))


def kinds(rng, outside):
    """One value of every kind."""
    strange = [rng.choice([rng.randint(0x80, 0x2FFF), 0x202E, 0xFEFF, 0xD800]) for _ in range(9)]
    encoded = rng.choice(["%2e%2e%2f", "%2F", "..%2f", "%00", "%252e%252e/"])
    return [
        str(outside / rng.choice(["precious", "precious/work", "link", "..", "."])),
        "../" * rng.randint(1, 12) + rng.choice(["precious", "precious/work", "etc/passwd", ""]),
        f"{word(rng)}/../../{'../' * rng.randint(0, 6)}precious",
        f"precious\0{word(rng)}",
        word(rng) + rng.choice("\n\r\t\x1b\x7f") + word(rng),
        "".join(map(chr, strange)),
        rng.choice("a/.~%") * rng.choice([255, 256, 1_000, 5_000]),
        rng.choice(["", " ", ".", "..", "/", "//", "~", "~root", "-rf", "*", "C:\\x", "\\\\host\\x"]),
        f"~/{word(rng)}",
        f"{encoded * rng.randint(1, 5)}precious",
        f"{rng.choice(['link', 'loop', 'cache/link'])}/{word(rng)}",
        f"{rng.choice(['file://', 's3://', 'http://', 'mlflow-artifacts:'])}{outside}/precious",
        "".join(rng.choices("0123456789abcdefABCDEFg/.\n", k=rng.choice([63, 64, 65]))),
        "".join(rng.choices(string.printable, k=rng.randint(1, 300))),
    ]


def values(count, outside, seed=20261123):
    """`count` values, every kind in turn; `outside` is the folder that they try to reach."""
    rng = random.Random(seed)
    return list(itertools.islice(itertools.chain.from_iterable(kinds(rng, outside) for _ in range(count)), count))


def snapshot(folder, but):
    """Kind, time of change, size and inode of every path below a folder, links not followed, without folders `but`."""
    found = {}
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if Path(place, name) not in but]
        for name in (*folders, *files):
            status = Path(place, name).lstat()
            found[str(Path(place, name))] = (status.st_mode, status.st_mtime_ns, status.st_size, status.st_ino)
    return found
