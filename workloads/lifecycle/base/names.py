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

CLIENT_ID = "client_id"
"""Column of captured rows: the client's own name for its request, null without one. Captures of before lack it."""

SMOKE = "smoke-"
"""Beginning of the ids that the model server gives to requests of probes, which count neither as data nor as outcomes.
Before ids were the server's, a client's id could begin like this."""

PROBE_HEADER = "x-probe"
"""Header in which a part of the stack shows the probe token: its request only tries the server."""
