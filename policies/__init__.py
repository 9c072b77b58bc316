"""What must not exist."""
