"""From features to a logged, reproducible model."""
