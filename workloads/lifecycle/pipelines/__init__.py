"""Ways to run the stages."""
