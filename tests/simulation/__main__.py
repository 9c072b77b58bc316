"""`python -m tests.simulation`: days of production in minutes, as a table and, with `--json`, as JSON."""
