"""Drift, bias, live quality, outcomes, and what alerts and dashboards say of them."""
