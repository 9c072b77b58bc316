"""Names that the library itself gives, the same for every workload."""

CAPTURES = "captures"
"""Where scored requests are kept, below the workload's prefix in the store: all that the model server writes."""

SMOKE = "smoke-"
"""Beginning of the ids of requests that only try the server: they count neither as data nor as outcomes."""
