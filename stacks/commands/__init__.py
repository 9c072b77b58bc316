"""What operators run about a stack: preview, review, cost, doctor and their like."""
