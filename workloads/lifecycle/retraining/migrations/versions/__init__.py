"""One file for each change of the schema; released ones never change."""
