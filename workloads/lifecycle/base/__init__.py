"""What every stage stands on: errors; imports no other package of the library."""
