"""Versions of the model, and the evidence of each promotion."""
