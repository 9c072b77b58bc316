"""Measurements of a model, and the release policy's verdict."""
