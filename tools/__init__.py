"""The installer, the command-line environment and the small language host; nothing of the platform itself."""
