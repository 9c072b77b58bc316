"""The Feast repository: configuration and definitions."""
