"""Roles of the platform and their realizations: what can exist."""
