"""The model online and in batches."""
