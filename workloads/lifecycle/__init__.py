"""The eight stages as a library, for any workload; imports nothing by itself."""
