"""How good predictions are: what training, validation and monitoring measure alike."""
