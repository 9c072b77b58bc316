"""What every role shares and no cluster or cloud is needed for: settings, names, pins, paths."""
