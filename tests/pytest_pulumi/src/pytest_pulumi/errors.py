"""What the plugin raises beyond `simulated_pulumi.errors`."""

from simulated_pulumi.errors import PulumiTestError


class GoldenError(PulumiTestError):
    """A graph differs from its golden text, or has none yet."""


class EngineError(PulumiTestError):
    """The Pulumi CLI refused or failed an operation; the message ends with what it printed."""
