"""What every role shares: settings base, names, pins, paths."""
