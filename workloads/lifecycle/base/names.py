"""Names that the library itself gives, the same for every workload."""

CAPTURES = "captures"
"""Where scored requests are kept, below the workload's prefix in the store: of champions and
canaries."""

CHALLENGERS = "challengers"
"""Where the model server keeps what it knows of challengers: the only other place to which it writes."""

TALLIES = f"{CHALLENGERS}/tallies"
"""Counts of champion and challenger, one object for each challenge and replica."""

SHADOWED = f"{CHALLENGERS}/captures"
"""What shadows scored, in the form of captures; no outcome, drift check or retrain reads it as an answer."""

SMOKE = "smoke-"
"""Beginning of the ids of requests that only try the server: they count neither as data nor as outcomes."""
