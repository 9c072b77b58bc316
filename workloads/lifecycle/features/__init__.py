"""Stage 2: the published features, offline and online."""
