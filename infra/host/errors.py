"""Failures that a person can mend; the provider hands their text to the engine without a traceback."""


class HostError(Exception):
    """Something on this machine is not as asked; the message names it and the fix."""


class CancelledError(HostError):
    """The engine asked to stop (Ctrl-C); what had been begun was undone."""
