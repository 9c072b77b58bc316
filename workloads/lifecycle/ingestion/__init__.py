"""Stage 1: from raw data to checked rows."""
